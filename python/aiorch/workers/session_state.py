"""What an agent's session file says of its state: whether a turn is under way, and how the last one ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from aiorch.capture.transcript.database import Database
from aiorch.capture.transcript.records import parse, word
from aiorch.workers.growing_file import GrowingFile
from aiorch.workers.state import AgentState, Verdict

SOURCE = "file"
TAIL_BYTES = 256 * 1024
"""How far from its end a file is searched for the last word about a turn."""

_INTERRUPTED = "interrupted"
_CODEX = {
    "task_started": (AgentState.WORKING, ""),
    "task_complete": (AgentState.IDLE, ""),
    "turn_aborted": (AgentState.IDLE, _INTERRUPTED),
}
_COPILOT = {
    "user.message": (AgentState.WORKING, ""),
    "assistant.turn_start": (AgentState.WORKING, ""),
    "permission.requested": (AgentState.WAITING, "permission"),
    "permission.completed": (AgentState.WORKING, ""),
    "assistant.turn_end": (AgentState.IDLE, ""),
    "session.shutdown": (AgentState.EXITED, ""),
}
_Said = tuple[AgentState, str, str]


class LineState:
    """A file of one JSON record a line: the last record that speaks of a turn tells (Codex, Copilot CLI)."""

    def __init__(
        self, agent: str, path: Path, meaning: Callable[[Mapping[str, object]], _Said | None]
    ) -> None:
        self._agent, self._meaning = agent, meaning
        self._path, self._file = path, GrowingFile(path, TAIL_BYTES)
        self._said: Verdict | None = None

    def place(self) -> tuple[Path, Path] | None:
        """Return the folder of the file, and the file."""
        return self._path.parent, self._path

    def read(self) -> Verdict | None:
        """Return what the file says now; what it said last while it cannot be read."""
        lines = self._file.read()
        said = next((said for line in reversed(lines) if (said := self._meaning_of(line))), None)
        if said is not None:
            state, reason, name = said
            self._said = Verdict(state, reason, f"{self._agent}.file.{name}", SOURCE)
        return self._said

    def _meaning_of(self, line: bytes) -> _Said | None:
        # The last line may not be whole yet.
        record = parse(line) if line.startswith(b"{") and line.rstrip().endswith(b"}") else None
        return self._meaning(record) if record else None


class OpenCodeState:
    """OpenCode's database: the last message of the session tells (1.18.33).

    A turn is under way until an answer ends with something else than calls of tools.
    """

    def __init__(self, path: Path, session: str) -> None:
        self._database, self._session = Database(path), session
        self._said: Verdict | None = None

    def place(self) -> tuple[Path, Path] | None:
        """Return the folder of the database, and how it and its log begin."""
        return self._database.path.parent, self._database.path

    def read(self) -> Verdict | None:
        """Return what the database says now; what it said last while it cannot be read."""
        if not self._database.changed():
            return self._said
        query = "SELECT data FROM message WHERE session_id = ? ORDER BY time_created DESC, id DESC LIMIT 1"
        try:
            with self._database.reading() as connection:
                row = connection.execute(query, (self._session,)).fetchone()
            message = parse(str(row[0]).encode()) if row else None
        except (sqlite3.Error, OSError, ValueError, RecursionError):
            return self._said
        if isinstance(message, dict):
            state, reason, name = _opencode(message)
            self._said = Verdict(state, reason, f"opencode.file.{name}", SOURCE)
        return self._said


SessionState = LineState | OpenCodeState


def session_state(format: str, path: Path, session: str) -> SessionState | None:
    """Return what reads an agent's state from its session file, None where the file says nothing of it."""
    if format == "codex":
        return LineState(format, path, _codex)
    if format == "copilot":
        return LineState(format, path, _copilot)
    return OpenCodeState(path, session) if format == "opencode" and session else None


def _codex(record: Mapping[str, object]) -> _Said | None:
    payload = record.get("payload")
    if record.get("type") != "event_msg" or not isinstance(payload, dict):
        return None
    return _named(_CODEX, payload.get("type"))


def _copilot(record: Mapping[str, object]) -> _Said | None:
    return _named(_COPILOT, record.get("type"))


def _named(table: Mapping[str, tuple[AgentState, str]], name: object) -> _Said | None:
    found = table.get(str(name))
    return (*found, str(name)) if found else None


def _opencode(message: Mapping[str, object]) -> _Said:
    time, error = message.get("time"), message.get("error")
    if message.get("role") != "assistant":
        return AgentState.WORKING, "", "user"
    if isinstance(error, dict):
        if error.get("name") == "MessageAbortedError":
            return AgentState.IDLE, _INTERRUPTED, "aborted"
        data = error.get("data")
        text = data.get("message") if isinstance(data, dict) else None
        return AgentState.ERROR, text if isinstance(text, str) and text else word(error, "name"), "error"
    is_over = isinstance(time, dict) and bool(time.get("completed"))
    if not is_over or message.get("finish") == "tool-calls":
        return AgentState.WORKING, "", "turn"
    return AgentState.IDLE, "", "answer"
