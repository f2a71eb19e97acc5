"""Tells the user of workers, besides the status bar: by message, bell, the terminal's own note, a program."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiorch.config import Config
from aiorch.journal import WorkerRow, WorkerState
from aiorch.tmux import quote
from aiorch.tmux.session import Session

SHOWN = 160
MESSAGE_MS = 4000
MOST_PROGRAMS = 8
_WORDS = {WorkerState.WAITING: "waits", WorkerState.FAILED: "failed", WorkerState.DONE: "is done"}
_OPEN = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to tell: which worker, its state, and why in words."""

    worker: str
    pane: str
    state: WorkerState
    reason: str

    @property
    def text(self) -> str:
        """Return it as a sentence of one line."""
        words = f"{self.worker} {_WORDS[self.state]}" + (f": {self.reason}" if self.reason else "")
        shown = "".join(char if char.isprintable() else " " for char in words)
        return shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"


class Notifier:
    """Tells in the ways that the user chose; every method is called on the engine's thread only."""

    def __init__(self, session: Session, config: Config) -> None:
        self._session, self.config = session, config
        self._notes: list[Note] = []
        self._programs: list[subprocess.Popen[bytes]] = []

    def note(self, row: WorkerRow, state: WorkerState, reason: str) -> None:
        """Have the user told of a worker once the present step is over."""
        if str(state) in self.config.notify.on and state in _WORDS:
            self._notes.append(Note(row.name, row.pane, state, reason))

    def send(self) -> None:
        """Tell of what was noted, all at once."""
        notes, self._notes = self._notes, []
        if not notes:
            return
        chosen = self.config.notify
        more = f" and {len(notes) - 1} more" if len(notes) > 1 else ""
        text = f"aiorch: {notes[-1].text}{more}"
        if chosen.message or chosen.bell or chosen.terminal != "off":
            self._tell_clients(text)
        for note in notes if chosen.command else ():
            self._run(chosen.command, note)

    def _tell_clients(self, text: str) -> None:
        control, chosen = self._session.control, self.config.notify
        form = "#{client_control_mode} #{client_tty} #{client_name}"
        rows = control.try_run("list-clients", "-t", self._session.session, "-F", form) or []
        signs = ("\a" if chosen.bell else "") + _terminal_note(chosen.terminal, text)
        for mode, tty, name in (row.split(" ", 2) for row in rows if row.count(" ") >= 2):
            if mode != "0":
                continue
            if chosen.message:
                # Seen with tmux 3.3a: the message is a format, and goes through strftime.
                shown = quote.literal(text).replace("%", "%%")
                control.try_run("display-message", "-c", name, "-d", str(MESSAGE_MS), shown)
            if signs:
                _write(tty, signs.encode())

    def _run(self, command: Sequence[str], note: Note) -> None:
        self._programs = [one for one in self._programs if one.poll() is None]
        if len(self._programs) >= MOST_PROGRAMS:
            return
        about = {
            "AIORCH_WORKER": note.worker,
            "AIORCH_PANE": note.pane,
            "AIORCH_STATE": str(note.state),
            "AIORCH_REASON": note.reason.replace("\0", ""),
            "AIORCH_SESSION": self._session.session,
        }
        with contextlib.suppress(OSError):
            self._programs.append(_started(command, {**os.environ, **about}))


def _started(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        command, env=environment, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )


def _terminal_note(kind: str, text: str) -> str:
    if kind == "osc9":
        return f"\033]9;{text}\a"
    if kind == "osc777":
        title, _, body = text.partition(": ")
        return f"\033]777;notify;{title};{body.replace(';', ',')}\a"
    return ""


def _write(tty: str, data: bytes) -> None:
    """Write to a client's terminal; one that takes nothing now is left alone."""
    with contextlib.suppress(OSError):
        descriptor = os.open(tty, _OPEN)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
