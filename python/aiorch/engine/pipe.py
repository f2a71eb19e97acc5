"""The pipe from a pane to its log: opened, watched, and opened again when it does not carry any more."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from aiorch import disk, process
from aiorch.capture.tail import Cursor
from aiorch.engine.witness import Witness
from aiorch.errors import EngineError, PipeError
from aiorch.journal import Journal
from aiorch.tmux import quote
from aiorch.tmux.session import Session

SEGMENT_BYTES = 1024 * 1024
KEPT_SEGMENTS = 16
STALL_SECONDS = 1.0
"""Time after which what a pane printed must be in its log."""

RETRY_SECONDS = (2.0, 4.0, 8.0)
STEADY_SECONDS = 10.0
_CONFIRM_SECONDS = 0.3
_NOTE_SECONDS = 1.0
_OWN_OPTIONS = ("@aiorch_pipe", "@aiorch_pipe_owner", "@aiorch_pipe_changed")


class Pipe:
    """tmux's pipe from one pane into a directory of log segments; used on the engine's thread only.

    `writer` is the process that writes the log now. `retry_at` and `check_at` say when the engine has to
    come back (seconds since the epoch), None when nothing is to be done.
    """

    def __init__(self, session: Session, journal: Journal, logs: Path, pane: str) -> None:
        self._session, self._journal, self._logs, self._pane = session, journal, logs, pane
        self._note = logs.parent / "pipe.pid"
        self._witness: Witness | None = None
        self._at_watch = self.end()
        self._watch = -1
        self._suspect = False
        self._opened_at = 0.0
        self._failures = 0
        self._reading = ""
        self.series = 0
        self.writer: int | None = None
        self.check_at: float | None = None
        self.retry_at: float | None = None

    @property
    def start(self) -> Cursor:
        """Return where the log of the present pipe begins."""
        return Cursor(f"{self.series:06d}-.", 0)

    def end(self) -> Cursor:
        """Return how far the log is written."""
        last = max(self._logs.iterdir(), key=lambda path: path.name, default=None)
        try:
            return Cursor(last.name, last.stat().st_size) if last else Cursor("", 0)
        except FileNotFoundError:
            return Cursor("", 0)

    def open(self, looks: Sequence[Sequence[str]] = ()) -> list[list[str]]:
        """Pipe the pane into a new series of segments, and return what tmux answers to `looks`.

        tmux does it all in one go: what it shows is what was printed before the new log begins. An old pipe
        of ours that nobody reads is replaced. Raises EngineError when the pipe is somebody else's, or that of
        an engine that is alive, PipeError when no writer comes up.
        """
        control = self._session.control
        self._refuse_others()
        self._end_writer()
        # `split` truncates the first segment when a prefix is used twice.
        self.series = self._next_series()
        prefix = self._logs / f"{self.series:06d}-."
        split = quote.shell(["split", "-b", str(SEGMENT_BYTES), "-a", "5", "-", str(prefix)])
        command = f"umask 077; echo $$ >{quote.shell([str(self._note)])}; exec {split}"
        self._note.unlink(missing_ok=True)
        answers = control.batch(
            [
                ("set-option", "-p", "-t", self._pane, "@aiorch_pipe", command),
                ("set-option", "-p", "-t", self._pane, "@aiorch_pipe_owner", str(os.getpid())),
                ("pipe-pane", "-t", self._pane),
                ("pipe-pane", "-t", self._pane, "#{@aiorch_pipe}"),
                *looks,
                ("set-option", "-p", "-t", self._pane, "@aiorch_pipe_changed", "0"),
            ]
        )
        self._opened_at = time.monotonic()
        self._wait_for_writer()
        self.check_at = self.retry_at = None
        self._watch = -1
        return answers[4:-1]

    def take_up(self) -> None:
        """Go on with the pipe of an engine that is gone; there is no writer when it carries no more."""
        series = self._journal.meta("series")
        self.series = series if isinstance(series, int) else 0
        piped = self._session.control.try_run("display-message", "-p", "-t", self._pane, "#{pane_pipe}")
        pid = self._noted_pid()
        carries = pid is not None and self._is_writer(pid, f"{self.series:06d}-.")
        if piped != ["1"] or pid is None or not carries or process.is_stopped(pid):
            return
        self._session.control.run(
            "set-option", "-p", "-t", self._pane, "@aiorch_pipe_owner", str(os.getpid())
        )
        self.writer = pid

    def close(self) -> None:
        """Close the pipe; the log stays."""
        self.writer = self.check_at = self.retry_at = None
        self._session.control.try_run("pipe-pane", "-t", self._pane)
        for name in _OWN_OPTIONS:
            self._session.control.try_run("set-option", "-pu", "-t", self._pane, name)

    def put_off(self) -> bool:
        """Note that the pipe does not carry and cannot be opened now; return whether that is news."""
        self.writer = self.check_at = None
        if time.monotonic() - self._opened_at > STEADY_SECONDS:
            self._failures = 0
        self.retry_at = time.time() + RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1
        return self._failures == 1

    @property
    def is_flapping(self) -> bool:
        """Return whether the pipe ended so soon that another one makes no sense at once."""
        return time.monotonic() - self._opened_at < STALL_SECONDS and self.series > 0

    def watch(self, wrote: Witness) -> None:
        """Have the kernel tell of what the pane prints from now on, to see whether it comes to the log."""
        self._witness = wrote
        self.look_out()

    def look_out(self, *, again: bool = False) -> None:
        """Wait for the next output of the pane, unless that is done; `again` for what may be another tty."""
        if self._witness is None or (self._watch >= 0 and not again) or self.writer is None:
            return
        tty = self._session.control.try_run("display-message", "-p", "-t", self._pane, "#{pane_tty}")
        self._at_watch = self.end()
        self._watch = self._witness.watch(tty[0]) if tty else -1

    def wrote(self, watch: int) -> None:
        """Take note that the pane printed something since that watch began: it must be in the log soon."""
        if watch == self._watch:
            self._watch, self._suspect = -1, False
            self.check_at = time.time() + STALL_SECONDS

    def is_stalled(self) -> bool:
        """Say whether the pane printed and nothing came; to be asked at `check_at`."""
        self.check_at = None
        if self.writer is None:
            return False
        if self.end() != self._at_watch and not process.is_stopped(self.writer):
            self._suspect = False
            self.look_out()
            return False
        if self._suspect:
            return True
        # A busy server answers once it has handled what the pane printed before.
        self._session.control.try_run("display-message", "-p", "")
        self._suspect, self.check_at = True, time.time() + _CONFIRM_SECONDS
        return False

    def drop_read(self, read: Cursor) -> None:
        """Delete segments that were read long ago, all but the last KEPT_SEGMENTS, whenever one is begun."""
        if read.segment == self._reading:
            return
        self._reading = read.segment
        segments = sorted(path for path in self._logs.iterdir() if path.name < read.segment)
        for path in segments[:-KEPT_SEGMENTS]:
            path.unlink(missing_ok=True)

    def _refuse_others(self) -> None:
        form = "#{pane_pipe}\t#{@aiorch_pipe_owner}\t#{@aiorch_pipe_changed}"
        asked = ("display-message", "-p", "-t", self._pane, form)
        piped, owner, changed = self._session.control.run(*asked)[0].split("\t")
        others = owner != str(os.getpid()) and owner.isdigit() and process.is_alive(int(owner))
        if piped == "1" and (not owner or others or changed == "1"):
            whose = "another aiorch" if others else "something else (tmux-logging?)"
            raise EngineError(f"pane {self._pane} is piped by {whose} already: stop that first")

    def _end_writer(self) -> None:
        """End a writer that carries nothing any more: one that is stopped does not see its pipe closed."""
        pid, self.writer = self._noted_pid(), None
        if pid is not None and self._is_writer(pid, str(self._logs)):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _wait_for_writer(self) -> None:
        end = time.monotonic() + _NOTE_SECONDS
        while (pid := self._noted_pid()) is None:
            if time.monotonic() > end:
                reason = disk.trouble(self._logs) or "its writer does not start"
                raise PipeError(f"the log of pane {self._pane} cannot be written: {reason}")
            time.sleep(0.002)
        self.writer = pid

    def _noted_pid(self) -> int | None:
        """Return the pid that the writer left, None before it did."""
        try:
            text = self._note.read_text()
        except OSError:
            return None
        return int(text) if text.strip().isdigit() else None

    def _is_writer(self, pid: int, mark: str) -> bool:
        """Say whether a process is a writer of ours: its pid may be a stranger's by now."""
        words = process.command_line(pid)
        return process.is_alive(pid) and (not words or any(mark in word for word in words))

    def _next_series(self) -> int:
        series = [int(path.name[:6]) for path in self._logs.iterdir() if path.name[:6].isdigit()]
        noted = self._journal.meta("series")
        number = max([*series, self.series, noted if isinstance(noted, int) else 0]) + 1
        self._journal.set_meta("series", number)
        return number
