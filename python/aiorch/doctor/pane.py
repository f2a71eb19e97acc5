"""The primary's pane as tmux has it: whether it is there, and who pipes it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiorch import process
from aiorch.doctor.words import Known, Value
from aiorch.tmux.ask import Ask

_FORM = "#{pane_id}\t#{pane_pid}\t#{pane_dead}\t#{pane_pipe}\t#{@aiorch_pipe_owner}\t#{@aiorch_pipe_changed}"


@dataclass(frozen=True, slots=True)
class PaneState:
    """One pane; `writer` is the process that writes its log for us, 0 when none is alive."""

    pane: str
    pid: int = 0
    is_there: bool = False
    is_dead: bool = False
    is_piped: bool = False
    owner: str = ""
    is_changed: bool = False
    writer: int = 0
    is_stopped: bool = False

    @property
    def pipe(self) -> Known:
        """Return whose the pipe is, in a word of ours."""
        if not self.is_piped:
            return Known("closed")
        return Known("ours") if self.writer and not self.is_changed else Known("somebody else's")

    def is_anothers(self, engine: int) -> bool:
        """Return whether another engine of ours that lives has the pipe."""
        owner = int(self.owner) if self.owner.isdecimal() else 0
        return self.is_piped and owner not in (0, engine) and process.is_alive(owner)

    def facts(self) -> dict[str, Value]:
        """Return what is known, for people and programs."""
        owner = int(self.owner) if self.owner.isdecimal() else None
        return {"there": self.is_there, "pipe": self.pipe, "owner": owner, "writer": self.writer or None}


def examine(ask: Ask, pane: str, root: Path | None = None) -> PaneState:
    """Return the state of a pane; `root` is the run that it is the primary of."""
    words = ask.look("display-message", "-p", "-t", pane, _FORM).split("\t")
    if len(words) != 6 or words[0] != pane:
        return PaneState(pane)
    writer = _writer(root) if root else 0
    return PaneState(
        pane, int(words[1] or 0), True, words[2] == "1", words[3] == "1", words[4], words[5] == "1",
        writer, bool(writer) and process.is_stopped(writer),
    )  # fmt: skip


def _writer(root: Path) -> int:
    """Return the pid of the process that writes a run's log; a pid may be a stranger's by now."""
    with suppress(OSError, ValueError):
        pid = int((root / "pipe.pid").read_text())
        words = process.command_line(pid)
        if process.is_alive(pid) and (not words or any(str(root / "log") in word for word in words)):
            return pid
    return 0
