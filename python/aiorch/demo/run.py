"""`aiorch demo`: the main job on a private tmux server, with a scripted lead and scripted workers."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aiorch import paths
from aiorch.capture.directive import Source
from aiorch.demo.stage import REQUEST
from aiorch.errors import EngineError, TmuxError, UsageError
from aiorch.journal import ENDED, DirectiveRow, Event, Journal, Tag, WorkerRow, WorkerState
from aiorch.process import is_alive
from aiorch.ui.event_line import format_event
from aiorch.ui.report import worker_table
from aiorch.ui.terminal import use_color
from aiorch.workers.profile import lead_command
from aiorch.workers.profile_file import load_profiles

SESSION = "demo"
LIMIT_SECONDS = 60.0
# Nobody watches without a terminal.
HEADLESS_SPEED = 1.5
_LOOK_SECONDS = 0.1
_SOCKET_LIMIT = 90
_CONFIG = 'default_type = "demo"\nretries = 1\nretry_delay = 0.5\n'
_TMUX_CONF = """set -g default-shell /bin/sh
set -g default-terminal tmux-256color
set -g escape-time 10
set -g mouse on
set -g automatic-rename off
set -g status-style bg=colour235,fg=colour250
set -g status-left "#[bold] aiorch #[default]"
set -g status-right " C-b O menu, C-b d leave "
set -g status-right-length 60
set -g window-status-format " #W "
set -g window-status-current-format "#[bg=colour239] #W #[default]"
set -g pane-border-style fg=colour244
set -g pane-active-border-style fg=colour141
"""


class Stage:
    """The demo's private tmux server and all its files, in one folder that goes away with it."""

    def __init__(self, folder: Path, speed: float) -> None:
        self.folder = folder
        self.socket = str(folder / "sock")
        self.go = folder / "go"
        self.results = folder / "results"
        self.root: Path | None = None
        self.env = {
            **{name: value for name, value in os.environ.items() if name not in ("TMUX", "TMUX_PANE")},
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "AIORCH_DEMO_SPEED": str(speed),
        }
        # The pictures need UTF-8, whatever the caller's locale is.
        if "utf" not in "".join(self.env.get(name, "").lower() for name in ("LC_ALL", "LC_CTYPE", "LANG")):
            self.env["LC_ALL"] = "C.UTF-8"

    def tmux(self, *command: str) -> str:
        """Run a tmux command on the private server and return what it prints; raises TmuxError."""
        done = subprocess.run(
            self.argv(*command), env=self.env, capture_output=True, text=True, check=False, cwd=self.folder
        )
        if done.returncode:
            raise TmuxError(done.stderr.strip() or f"tmux refused {command[0]}")
        return done.stdout.rstrip("\n")

    def argv(self, *command: str) -> list[str]:
        """Return the argv of a tmux client of the private server."""
        return ["tmux", "-u", "-S", self.socket, "-f", str(self.folder / "tmux.conf"), *command]

    def open(self, size: tuple[int, int]) -> None:
        """Start the server with the lead in its only pane, load the plugin, adopt the pane."""
        (self.folder / "tmux.conf").write_text(_TMUX_CONF)
        config = self.folder / "config" / "aiorch"
        config.mkdir(parents=True)
        (config / "config.toml").write_text(_CONFIG)
        project = self.folder / "project"
        project.mkdir()
        lead = lead_command(load_profiles(None)["demo"])
        lead += ["--go", str(self.go), "--results", str(self.results)]
        cols, rows = map(str, size)
        place = ["-x", cols, "-y", rows, "-s", SESSION, "-n", SESSION, "-c", str(project)]
        self.tmux("new-session", "-d", *place, *lead)
        pane, server = self.tmux("display", "-p", "-t", SESSION, "#{pane_id} #{pid}").split()
        inside = {**self.env, "TMUX": f"{self.socket},{server},0"}
        subprocess.run([str(paths.plugin_dir() / "aiorch.tmux")], env=inside, check=True, capture_output=True)
        self._adopt(pane)

    def _adopt(self, pane: str) -> None:
        argv = paths.own_command("--socket", self.socket, "start", "--pane", pane, "--agent", "demo")
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EngineError(done.stderr.strip().removeprefix("aiorch: ") or "the engine did not start")
        self.root = Path(self.tmux("show-options", "-v", "-t", SESSION, "@aiorch_run"))

    def journal(self) -> Journal:
        """Open the run's journal for reading."""
        if self.root is None:
            raise EngineError("the demo has no run yet")
        return Journal(self.root / "journal.db", read_only=True)

    def close(self) -> None:
        """End the server, and wait for the engine, which ends with it and still writes until then."""
        engine = ""
        with suppress(TmuxError):
            engine = self.tmux("show-options", "-qv", "-t", SESSION, "@aiorch_engine")
        with suppress(TmuxError):
            self.tmux("kill-server")
        end = time.monotonic() + 5
        while engine.isdigit() and is_alive(int(engine)) and time.monotonic() < end:
            time.sleep(0.02)
        shutil.rmtree(self.folder, ignore_errors=True)


def main(options: argparse.Namespace) -> int:
    """Run the demo: attached where there is a terminal, else with the story on stdout.

    Returns 0 when all workers are done and one was seen to fail and to succeed when retried, or when the user
    left before, else 1. Raises TmuxError without tmux, UsageError for a size that is none.
    """
    if shutil.which("tmux") is None:
        raise TmuxError("tmux is not installed: apt install tmux, or brew install tmux")
    watched = sys.stdin.isatty() and sys.stdout.isatty() and not options.headless
    size = shutil.get_terminal_size() if watched else _size(options.size)
    speed = options.speed if watched else options.speed * HEADLESS_SPEED
    if speed <= 0:
        raise UsageError("--speed must be above 0")
    with _stage(speed, keep=options.keep) as stage:
        stage.open(size)
        if watched:
            _attach(stage)
        else:
            _tell_story(stage, LIMIT_SECONDS / min(options.speed, 1.0))
        return _report(stage, watched=watched)


@contextmanager
def _stage(speed: float, *, keep: bool) -> Iterator[Stage]:
    """Make the demo's folder, and leave no trace of it, also when a signal ends us."""
    folder = Path(tempfile.mkdtemp(prefix="aiorch-demo-"))
    if len(str(folder)) > _SOCKET_LIMIT:
        # A socket's path has a short limit, which TMPDIR may use up.
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="aiorch-demo-", dir="/tmp"))
    stage = Stage(folder, speed)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        yield stage
    finally:
        if keep:
            _say(f"\nattach: tmux -S {stage.socket} attach\nremove: tmux -S {stage.socket} kill-server")
            _say(f"        rm -r {stage.folder}")
        else:
            stage.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _size(text: str) -> tuple[int, int]:
    cols, _, rows = text.partition("x")
    if not (cols.isdigit() and rows.isdigit() and int(cols) >= 40 and int(rows) >= 10):
        raise UsageError(f'--size: "{text}" is no size like 140x40 (at least 40x10)')
    return int(cols), int(rows)


def _attach(stage: Stage) -> None:
    """Give the user's terminal to the session until they leave it."""
    over = threading.Event()
    helper = threading.Thread(target=_prompt, args=(stage, over), daemon=True)
    helper.start()
    env = {**stage.env, "TERM": os.environ.get("TERM") or "xterm-256color"}
    subprocess.run(stage.argv("attach-session", "-t", SESSION), env=env, check=False)
    over.set()
    helper.join(2)


def _prompt(stage: Stage, over: threading.Event) -> None:
    """Let the lead's request type itself once somebody sees it, and hand it the results."""
    with suppress(TmuxError):
        while not over.is_set() and not _is_watched(stage):
            over.wait(_LOOK_SECONDS)
        stage.go.touch()
        journal = stage.journal()
        while not over.is_set() and not _is_over(journal.workers()):
            over.wait(_LOOK_SECONDS)
        if not over.is_set():
            _hand_results(stage, journal.workers())
        journal.close()


def _is_watched(stage: Stage) -> bool:
    flags = stage.tmux("list-clients", "-F", "#{client_control_mode}").split()
    return "0" in flags


def _tell_story(stage: Stage, limit: float) -> None:
    """Print the event log as it grows, until all workers have ended or the time is over."""
    stage.go.touch()
    journal = stage.journal()
    end, last = time.monotonic() + limit, 0
    while True:
        is_over = _is_over(journal.workers()) or time.monotonic() > end
        for event in journal.events(last):
            last = event.number
            _say(format_event(event, color=use_color()))
        if is_over:
            break
        time.sleep(_LOOK_SECONDS)
    _hand_results(stage, journal.workers())
    journal.close()


def _is_over(workers: list[WorkerRow]) -> bool:
    return bool(workers) and all(row.state in ENDED for row in workers)


def _hand_results(stage: Stage, workers: list[WorkerRow]) -> None:
    lines = (f"{row.name}: {row.result or row.reason}" for row in workers)
    part = stage.results.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.rename(stage.results)


def _report(stage: Stage, *, watched: bool) -> int:
    """Print the table of workers and judge what was seen; whoever watches may leave when they like."""
    journal = stage.journal()
    workers, events, directives = journal.workers(), journal.events(), journal.directives()
    journal.close()
    _say("\n" + worker_table(workers) if workers else "no worker was started")
    problem = _missing(workers, events) or _changed(directives)
    if watched and not _is_over(workers):
        _say("\nyou left before the crew was done")
        return 0
    if problem:
        _say(f"\nthe demo is not complete: {problem}")
        return 1
    return 0


def _missing(workers: list[WorkerRow], events: list[Event]) -> str:
    """Return what did not happen that should have, empty when all did."""
    late = [row.name for row in workers if row.state is not WorkerState.DONE]
    if not workers or late:
        return f"not done: {', '.join(late) or 'no worker at all'}"
    if not any(event.tag is Tag.FAILED for event in events) or not any(row.attempt > 1 for row in workers):
        return "no failure and retry was seen"
    return ""


def _changed(directives: list[DirectiveRow]) -> str:
    """Return which directive is not what the lead printed, empty when all are."""
    tasks = [row.payload.get("task") for row in directives if row.source == Source.SCREEN]
    return next((f"the request was read as {task!r}" for task in tasks if task != REQUEST), "")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output
