"""A scripted worker: works visibly for some seconds on the task it was given, then reports.

The one that writes tests fails on its first attempt (exit 1) and succeeds when it is tried again.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME = 0.08
ROOMY_ROWS = 10
RESET = "\x1b[m"
BOLD = "\x1b[1m"
DIM = "\x1b[38;5;245m"
BLUE = "\x1b[38;5;75m"
GREEN = "\x1b[38;5;114m"
RED = "\x1b[38;5;203m"


@dataclass(frozen=True, slots=True)
class Step:
    """One visible piece of work."""

    doing: str
    thing: str
    outcome: str
    seconds: float
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker does for one task: its steps, and the one line it hands back."""

    steps: tuple[Step, ...]
    result: str


API = Job(
    (
        Step("reading", "docs/brief.md", "5 resources", 0.7),
        Step("writing", "api/models.py", "+62", 0.9),
        Step("writing", "api/routes/users.py", "+84", 1.1),
        Step("writing", "api/routes/items.py", "+71", 1.0),
        Step("checking", "openapi.json", "12 routes", 0.9),
    ),
    "12 routes in api/routes, described in openapi.json",
)
AUTH = Job(
    (
        Step("reading", "api/settings.py", "no login yet", 0.7),
        Step("writing", "auth/passwords.py", "+38", 1.0),
        Step("writing", "auth/tokens.py", "+57", 1.2),
        Step("writing", "auth/middleware.py", "+44", 1.1),
        Step("checking", "login flow", "4 of 4", 1.2),
    ),
    "login, refresh and logout in auth/, passwords by scrypt",
)
TESTS_FIRST = Job(
    (
        Step("writing", "tests/test_routes.py", "+96", 0.8),
        Step("writing", "tests/test_auth.py", "+73", 0.7),
        Step("running", "38 tests", "1 failed", 0.7, fails=True),
    ),
    "test_auth.py: expired token is accepted (200, not 401)",
)
TESTS_AGAIN = Job(
    (
        Step("reading", "the failed run", "clock not frozen", 0.6),
        Step("fixing", "tests/test_auth.py", "+9 -2", 0.9),
        Step("running", "tests/test_routes.py", "24 passed", 1.0),
        Step("running", "tests/test_auth.py", "14 passed", 1.0),
        Step("checking", "coverage", "96 %", 0.7),
    ),
    "38 tests pass, 96 % of the lines",
)
_PARTS = ("config.py", "storage.py", "service.py", "report.py", "queue.py", "notes.md", "schema.sql")


def job_for(task: str, attempt: int) -> Job:
    """Return what to do for a task: the same for the same words, always."""
    if task.startswith("Design and implement REST API routes for"):
        return API
    if task.startswith("Build complete authentication system for"):
        return AUTH
    if task.startswith("Write comprehensive tests for"):
        return TESTS_FIRST if attempt <= 1 else TESTS_AGAIN
    return _any_job(task)


def _any_job(task: str) -> Job:
    seed = zlib.crc32(task.encode())
    steps = [Step("reading", "the project", "understood", 0.8)]
    for place in range(3):
        part = _PARTS[(seed >> 3 * place) % len(_PARTS)]
        steps.append(Step("writing", f"src/{part}", f"+{20 + (seed >> 5 * place) % 70}", 0.8 + place * 0.3))
    steps.append(Step("checking", "the result", "good", 0.8))
    return Job(tuple(steps), f"{len(steps)} steps done")


class Page:
    """Line output that animates on a terminal and stays plain everywhere else."""

    def __init__(self, speed: float) -> None:
        self._live = sys.stdout.isatty()
        self._speed = max(speed, 0.01)

    def line(self, *parts: str) -> None:
        """Print one line cut to the terminal's width; parts that start with ESC are styles."""
        self._put(parts, "\r\n" if self._live else "\n")

    def text(self, text: str, *styles: str, mark: str = "", most: int = 9) -> None:
        """Print a sentence wrapped at the terminal's width, after a mark; cut after `most` rows."""
        indent = len(mark) + 1 if mark else 0
        width = shutil.get_terminal_size().columns - 1 - indent if self._live else sys.maxsize
        rows = textwrap.wrap(text, max(width, 8), max_lines=most, placeholder="…")
        for number, row in enumerate(rows):
            self.line(*styles, (mark if number == 0 else "").ljust(indent), row)

    def heading(self, task: str) -> None:
        """Print the task, in two rows where the terminal has room for them and the steps."""
        rows = shutil.get_terminal_size().lines
        self.text(task, BOLD, most=2 if rows >= ROOMY_ROWS else 1)

    def work(self, step: Step) -> None:
        """Spend the step's time with a moving spinner, and leave its outcome behind."""
        end = time.monotonic() + step.seconds / self._speed
        frame = 0
        while (left := end - time.monotonic()) > 0:
            if self._live:
                self._put((BLUE, SPINNER[frame % len(SPINNER)], RESET, f" {step.doing} {step.thing}"), "")
            frame += 1
            time.sleep(min(FRAME, left))
        mark, colour = ("✖", RED) if step.fails else ("✔", GREEN)
        self.line(colour, mark, RESET, f" {step.thing} ", RED if step.fails else DIM, step.outcome)

    def _put(self, parts: Sequence[str], end: str) -> None:
        room = shutil.get_terminal_size().columns - 1 if self._live else sys.maxsize
        out = ["\r"] if self._live else []
        for part in parts:
            if part.startswith("\x1b"):
                out += [part] if self._live else []
                continue
            out.append(part[:room])
            room -= len(out[-1])
        out.append(f"{RESET}\x1b[K{end}" if self._live else end)
        sys.stdout.buffer.write("".join(out).encode())
        sys.stdout.buffer.flush()


def work(task: str, attempt: int, page: Page) -> tuple[Job, bool]:
    """Do the task's job on the page; return it and whether it went well."""
    job = job_for(task, attempt)
    page.heading(task)
    if attempt > 1:
        page.line(DIM, f"attempt {attempt}")
    for step in job.steps:
        page.work(step)
        if step.fails:
            page.text(job.result, RED, BOLD, mark="✖")
            return job, False
    page.text(job.result, GREEN, BOLD, mark="✔")
    return job, True


def _attempt() -> int:
    text = os.environ.get("AIORCH_ATTEMPT", "")
    return int(text) if text.isdigit() else 1


def main(argv: Sequence[str]) -> int:
    """Work on the task named by the arguments; the result goes to the file in `AIORCH_RESULT`."""
    # A role's prompt stands before the task, in words of the engine.
    task = " ".join(argv).rpartition("The task: ")[2].strip()
    if not task:
        sys.stderr.write("usage: worker TASK\n")
        return 2
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        job, good = work(task, _attempt(), Page(float(os.environ.get("AIORCH_DEMO_SPEED") or 1)))
    except KeyboardInterrupt:
        return 130
    if not good:
        return 1
    if target := os.environ.get("AIORCH_RESULT"):
        Path(target).write_text(job.result + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
