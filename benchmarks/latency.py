"""From the last byte of a directive to the engine's decision, live: latency.py [ROUNDS]

plain   a program that prints the line; from the write to its terminal
screen  an agent that draws it and keeps no session file here; from the write to its terminal
file    an agent whose session file gets the line; from the write to the file

The decision is the journal's row. Milliseconds; a tmux server and a home of its own for each.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from aiorch.capture.transcript.locate.projects import folder_name  # noqa: E402
from aiorch.journal import DirectiveRow  # noqa: E402
from support.lab import Lab, until  # noqa: E402

# The default type does nothing, and no directive starts it: what is measured ends before that.
CONFIG = 'approve = "ask"\ndefault_type = "none"\n[types.none]\ncommand = ["true", "{task}"]\n'
PAUSE = 0.6
"""Seconds between two directives: a pane may bring two a second for long."""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    print(f"{rounds} rounds each, milliseconds from the last byte to the decision")
    for name, way in {"plain": plain, "screen": screen, "file": session_file}.items():
        with way() as (lab, say):
            times = [measure(lab, say, index) for index in range(rounds + 2)][2:]
        ordered = sorted(times)
        p90 = ordered[int(len(ordered) * 0.9) - 1]
        print(f"  {name:8} min {ordered[0]:6.2f}  median {statistics.median(times):6.2f}  p90 {p90:6.2f}")


def measure(lab: Lab, say: Callable[[str], None], index: int) -> float:
    """Let one directive be said and return how long its decision took."""
    task = f"task number {index}"
    time.sleep(PAUSE)
    begin = time.time()
    say(f"[ORCHESTRATE] {json.dumps({'task': task})}")
    row = until(lambda: _row(lab, task), task)
    return (row.created - begin) * 1000


def _row(lab: Lab, task: str) -> DirectiveRow | None:
    journal = lab.journal()
    rows = [row for row in journal.directives() if row.payload.get("task") == task]
    journal.close()
    return rows[0] if rows else None


Way = Iterator[tuple[Lab, Callable[[str], None]]]


@contextmanager
def plain() -> Way:
    """A pane that runs `cat`."""
    with _lab("cat") as lab:
        lab.start(CONFIG)
        terminal = _Terminal(lab)
        yield lab, lambda line: terminal.write(f"{line}\r\n")


@contextmanager
def screen() -> Way:
    """A pane that the user says to be Claude Code's; its process is not."""
    with _lab("cat") as lab:
        lab.start(CONFIG, "--agent", "claude")
        terminal = _Terminal(lab)
        yield lab, lambda line: terminal.write(f"\x1b[2J\x1b[H\x1b[38;5;231m●\x1b[39m {line}\r\n")


@contextmanager
def session_file() -> Way:
    """A pane that runs a program called `claude`, and the file it would write."""
    with _lab("claude") as lab:
        folder = lab.home / ".claude" / "projects" / folder_name(str(lab.project))
        folder.mkdir(parents=True)
        lab.start(CONFIG)
        append = _Append(folder / "5c5e6b0e-8f2b-4c0e-9a55-2f6f1f0a7a11.jsonl", str(lab.project))
        append("Hello.")
        until(lambda: lab.told("LISTENING", ".jsonl"), "the file is found")
        yield lab, append


@contextmanager
def _lab(program: str) -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="aiorch-bench-") as root:
        lab = Lab(Path(root) / "lab", size=(200, 50))
        if program != "cat":
            path = lab.put_program(program, "#!/bin/sh\nwhile :; do sleep 1; echo; done\n")
            lab._primary = [str(path)]
        else:
            lab._primary = ["cat", "-u"]
        lab.__enter__()
        try:
            yield lab
        finally:
            # It tells the story of the run, for tests that fail.
            with redirect_stdout(io.StringIO()):
                lab.__exit__(None, None, None)


class _Terminal:
    def __init__(self, lab: Lab) -> None:
        self._path = lab.tmux("display-message", "-p", "-t", "%0", "#{pane_tty}")

    def write(self, text: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_NOCTTY)
        os.write(descriptor, text.encode())
        os.close(descriptor)


class _Append:
    def __init__(self, path: Path, directory: str) -> None:
        self._path, self._directory, self._count = path, directory, 0

    def __call__(self, text: str) -> None:
        self._count += 1
        record = {
            "type": "assistant",
            "uuid": f"message-{self._count}",
            "sessionId": self._path.stem,
            "timestamp": datetime.now(UTC).isoformat(),
            "cwd": self._directory,
            "message": {"role": "assistant", "content": [{"type": "text", "text": text}]},
        }
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
