"""A scripted lead agent that behaves like a real one in a terminal, with no model behind it.

It draws in the alternate screen with its own input box, streams its answer word by word, wraps at
its text width with continuation indents, skips what did not change by cursor moves, and repaints
the whole frame when its spinner ticks and when the window changes. After its directive it stays
idle and takes keys until it is told to quit.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import signal
import socket
import sys
import termios
import time
import tty
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from aiorch.demo.frame import Grid, paint
from aiorch.demo.view import MARKER, Block, Kind, View, compose

REQUEST = "Build a REST API with authentication and tests"
DIRECTIVE = f"{MARKER} " + json.dumps({"task": REQUEST})
WAITING = "waiting for the crew"
FINISHED = "all parts are back"
TICK = 0.12
POLL = 0.1
ENTER = "\x1b[?1049h\x1b[H\x1b[2J\x1b[?2004h\x1b]0;✻ Demo agent\x07"
LEAVE = "\x1b[?2004l\x1b[?25h\x1b[?1049l\x1b]0;\x07"
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[O\]PX^_].?|.?)", re.DOTALL)

Steps = Generator[float, None, None]
"""A script: it changes the view and yields how many seconds pass before it goes on."""


def _think(view: View, seconds: float) -> Steps:
    view.busy = "Thinking"
    yield seconds
    view.busy = "Answering"


def _say(view: View, text: str) -> Steps:
    block = Block(Kind.SAID, "")
    view.blocks.append(block)
    for word in re.findall(r"\S+\s*", text):
        block.text += word
        yield 0.035
    yield 0.2


def _use_tool(view: View, call: str, output: str) -> Steps:
    view.blocks.append(Block(Kind.TOOL, call))
    view.busy = "Reading"
    yield 0.5
    view.blocks[-1].output = output
    yield 0.2


def story(view: View, request: str) -> Steps:
    """Answer the first request: look around, explain, print the directive, wait."""
    view.draft = ""
    view.blocks.append(Block(Kind.USER, request))
    yield from _think(view, 0.7)
    yield from _say(view, "I will look at the project first.")
    yield from _use_tool(view, "Read(README.md)", "A service skeleton: no routes, no login, no tests yet.")
    yield from _think(view, 0.4)
    yield from _say(
        view,
        "Three parts can be built side by side: the routes, the login and the tests. "
        f"I hand them to a crew.\n\n{DIRECTIVE}\n\nI go on when the results are back.",
    )
    view.busy = ""
    view.status = WAITING


def self_typed(view: View) -> Steps:
    """Type the request as a person would, then answer it."""
    yield 0.5
    for char in REQUEST:
        view.draft += char
        yield 0.022
    yield 0.25
    yield from story(view, REQUEST)


def small_talk(view: View, request: str) -> Steps:
    """Answer any later request: a script has one answer only."""
    view.draft = ""
    view.blocks.append(Block(Kind.USER, request))
    yield from _think(view, 0.5)
    yield from _say(view, "I am a script and know one answer. A new worker is one key away: prefix + O.")
    view.busy = ""


def results(view: View, lines: str) -> Steps:
    """Show what the crew brought back, and close the story."""
    view.status = ""
    view.blocks.append(Block(Kind.TOOL, "Results of the crew", lines.strip()))
    yield from _think(view, 0.4)
    yield from _say(view, "All parts fit together. Done.")
    view.busy = ""
    view.status = FINISHED


class Lead:
    """The agent's loop: keys, window changes and the script, drawn on one terminal."""

    def __init__(self, go: Path | None, results_file: Path | None, speed: float) -> None:
        self._view = View()
        self._go = go
        self._results = results_file
        self._speed = max(speed, 0.01)
        self._asked = False
        self._script: Iterator[float] = iter(())
        self._next_step: float | None = None
        self._next_tick = 0.0
        self._busy_since = 0.0
        self._shown: Grid | None = None
        self._done = False
        if go is None:
            self._begin()

    def run(self) -> None:
        """Draw and answer until the user quits or the terminal is gone."""
        with _terminal(), _wakeups() as wakeups:
            while not self._done:
                self._advance(time.monotonic())
                ready, _, _ = select.select([sys.stdin, wakeups], [], [], self._timeout())
                if wakeups in ready:
                    wakeups.recv(64)
                    self._shown = None
                if sys.stdin in ready:
                    self._keys(os.read(sys.stdin.fileno(), 4096))

    def _timeout(self) -> float | None:
        now = time.monotonic()
        due = [at for at in (self._next_step, self._next_tick if self._view.busy else None) if at is not None]
        if self._go or self._results:
            due.append(now + POLL)
        return max(min(due) - now, 0.0) if due else None

    def _advance(self, now: float) -> None:
        self._watch_files()
        while self._next_step is not None and self._next_step <= now:
            pause = next(self._script, None)
            self._next_step = None if pause is None else self._next_step + pause / self._speed
        ticked = bool(self._view.busy) and now >= self._next_tick
        if ticked:
            self._busy_since = self._busy_since or now
            self._next_tick = now + TICK
            self._view.tick += 1
            self._view.seconds = int(now - self._busy_since)
        elif not self._view.busy:
            self._busy_since = 0.0
        self._draw(whole=ticked)

    def _draw(self, whole: bool) -> None:
        cols, rows = _size()
        grid, (y, x) = compose(self._view, cols, rows)
        if self._shown is not None and (len(self._shown), len(self._shown[0])) != (rows, cols):
            self._shown = None
        if grid == self._shown and not whole:
            return
        _write(f"\x1b[?25l{paint(self._shown, grid, whole)}\x1b[{y + 1};{x + 1}H\x1b[?25h")
        self._shown = grid

    def _start(self, script: Steps) -> None:
        self._script = script
        self._next_step = time.monotonic()

    def _watch_files(self) -> None:
        if self._go and self._go.exists() and self._next_step is None:
            self._go = None
            if not self._asked:
                self._begin()
        if self._results and self._asked and self._next_step is None and self._results.exists():
            text = self._results.read_text(encoding="utf-8", errors="replace")
            self._results = None
            self._start(results(self._view, text))

    def _begin(self) -> None:
        self._asked = True
        self._start(self_typed(self._view))

    def _keys(self, data: bytes) -> None:
        if not data:
            self._done = True
        elif data == b"\x1b" and self._view.busy:
            self._interrupt()
        text = _ESCAPES.sub("", data.decode("utf-8", errors="replace"))
        for char in text:
            if char in "\x03\x04" or (char == "q" and not self._view.draft):
                self._done = True
            elif char in "\r\n":
                self._enter()
            elif char in "\x7f\b":
                self._view.draft = self._view.draft[:-1]
            elif char.isprintable():
                self._view.draft += char

    def _interrupt(self) -> None:
        self._next_step = None
        self._view.busy = ""
        self._view.blocks.append(Block(Kind.SAID, "Interrupted. What should I do instead?"))

    def _enter(self) -> None:
        request = self._view.draft.strip()
        if request in ("/quit", "/exit"):
            self._done = True
        elif request and self._next_step is None:
            self._start((small_talk if self._asked else story)(self._view, request))
            self._asked = True


def _size() -> tuple[int, int]:
    try:
        cols, rows = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        cols, rows = 0, 0
    return cols or 80, rows or 24


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


@contextmanager
def _terminal() -> Iterator[None]:
    """Take the terminal raw and in its alternate screen, and give it back whatever happens."""
    saved = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        _write(ENTER)
        yield
    finally:
        # A hang-up leaves nothing to restore.
        with suppress(OSError, termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)
            _write(LEAVE)


@contextmanager
def _wakeups() -> Iterator[socket.socket]:
    """Make SIGWINCH readable, and turn the signals that end a program into a clean exit."""
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGWINCH, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        yield receiver
    finally:
        signal.set_wakeup_fd(-1)
        receiver.close()
        sender.close()


def main(argv: Sequence[str]) -> int:
    """Run the lead on this terminal; without `--go` its story starts at once."""
    parser = argparse.ArgumentParser(prog="lead", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--go", type=Path, help="wait for this file before the request types itself")
    parser.add_argument("--results", type=Path, help="show this file as the crew's results when it appears")
    options = parser.parse_args(argv)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stderr.write("the scripted lead draws on a terminal: run it in one\n")
        return 2
    speed = float(os.environ.get("AIORCH_DEMO_SPEED") or 1)
    Lead(options.go, options.results, speed).run()
    return 0
