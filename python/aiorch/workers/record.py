"""What an agent itself keeps of its state, where it keeps that in a file that can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from aiorch import process
from aiorch.capture.transcript.locate import files
from aiorch.capture.transcript.locate.projects import register_entry
from aiorch.capture.transcript.records import word
from aiorch.workers.state import AgentState, Verdict

_CLAUDE_STATES = {
    "idle": AgentState.IDLE,
    "busy": AgentState.WORKING,
    "waiting": AgentState.WAITING,
}
_CLAUDE_WAITS = {"permission prompt": "permission", "input needed": "question"}


class Record(Protocol):
    """What one running agent keeps of its own state."""

    def place(self) -> tuple[Path, Path] | None:
        """Return the folder to watch, and how the paths in it begin whose change means something."""

    def read(self) -> Verdict | None:
        """Return what the record says now, None while it says nothing."""


class ClaudeRegister:
    """Claude Code's register of its processes, `sessions/<pid>.json` (2.1.330).

    Right in every state that was provoked, within 0.5 s; errors and limits show as idle.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._folder: Path | None = None
        self._pid = 0

    def place(self) -> tuple[Path, Path] | None:
        """Return the folder of the register, or the nearest one above while it is not there."""
        folder = self._find_folder()
        nearest = files.nearest(folder) if folder else None
        return (nearest, folder) if folder and nearest else None

    def read(self) -> Verdict | None:
        """Return what the register says of the process that runs in the pane."""
        folder = self._find_folder()
        if folder is None or not files.is_folder(folder):
            return None
        entry = register_entry(folder, self._pid) if self._pid else {}
        if not entry:
            entry = self._look_for(folder)
        state = _CLAUDE_STATES.get(word(entry, "status"))
        if state is None:
            return None
        what = word(entry, "waitingFor") if state is AgentState.WAITING else ""
        return Verdict(state, _CLAUDE_WAITS.get(what, what), f"claude.register.{state}", "record")

    def _look_for(self, folder: Path) -> Mapping[str, object]:
        for one in process.tree(self._root):
            entry = register_entry(folder, one.pid)
            if entry:
                self._pid = one.pid
                return entry
        return {}

    def _find_folder(self) -> Path | None:
        if self._folder is None:
            variables = process.environment(self._root)
            home = variables.get("HOME", "")
            root = variables.get("CLAUDE_CONFIG_DIR") or (f"{home}/.claude" if home else "")
            self._folder = Path(root, "sessions") if root.startswith("/") else None
        return self._folder


_RECORDS: Mapping[str, Callable[[int], Record]] = {"claude": ClaudeRegister}


def record_of(agent: str, root: int) -> Record | None:
    """Return the record of the agent below the process `root`, None for agents that keep none."""
    kind = _RECORDS.get(agent)
    return kind(root) if kind else None
