"""The seam of session files: one follower for each format, opened by the format's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from aiorch.capture.grammar import MARKER
from aiorch.capture.transcript.aider import AiderFile
from aiorch.capture.transcript.claude import Claude
from aiorch.capture.transcript.codex import Codex
from aiorch.capture.transcript.copilot import Copilot
from aiorch.capture.transcript.gemini import Gemini
from aiorch.capture.transcript.opencode import OpenCodeDatabase
from aiorch.capture.transcript.qwen import Qwen
from aiorch.capture.transcript.records import Format, Record, RecordFile, parse
from aiorch.capture.transcript.said import Said
from aiorch.errors import TranscriptError

RECORDS: dict[str, Callable[[], Format]] = {
    "claude": Claude,
    "codex": Codex,
    "gemini": Gemini,
    "qwen": Qwen,
    "copilot": Copilot,
}
"""The formats that hold one JSON record a line."""

FORMATS: tuple[str, ...] = (*RECORDS, "opencode", "aider")

_HEAD = 1 << 20
_LINES = 50


class Transcript(Protocol):
    """Follows one session file; it may appear late, vanish, shrink or be replaced."""

    path: Path

    def read(self) -> list[Said]:
        """Return the finished texts with a marker in them since the last read.

        Never raises for the state of the file; costs a stat when nothing changed. A text comes again,
        with the same `message`, when the agent wrote it again or the file was replaced.
        """

    def finish(self) -> list[Said]:
        """Return what `read` does, and what only a file that grows no more makes certain (a replay)."""

    @property
    def restarts(self) -> int:
        """Return how often another file was found in the place of the one that was read."""

    @property
    def watched(self) -> tuple[Path, ...]:
        """Return the files whose change means that there is something to read."""

    @property
    def cursor(self) -> object:
        """Return a small JSON-able value that makes another follower go on from here."""


def open_transcript(
    format: str, path: Path, cursor: object = None, *, session: str = "", marker: str = MARKER
) -> Transcript:
    """Return a follower of one session file, from its start or from a `cursor`.

    `session` names the conversation to be read in a file that holds many (OpenCode's database), all of
    them by default. Texts without the `marker` are passed over, with '' none. A cursor that does not fit is
    as none. Raises TranscriptError for an unknown format.
    """
    if format == "aider":
        return AiderFile(path, cursor, marker=marker)
    if format == "opencode":
        return OpenCodeDatabase(path, cursor, session, marker=marker)
    if format not in RECORDS:
        raise TranscriptError(f"no reader for session files of {format}; known: {', '.join(FORMATS)}")
    return RecordFile(path, RECORDS[format](), cursor, marker=marker)


def guess_format(path: Path, agent: str | None = None) -> str:
    """Return the format of a session file: the agent's name decides, else the content.

    Raises TranscriptError when neither says, or the file cannot be read.
    """
    if agent in FORMATS:
        return str(agent)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise TranscriptError(f"cannot read {path}: {error.strerror}") from error
    if head.startswith(b"SQLite format 3\0"):
        return "opencode"
    if b"# aider chat started at " in head:
        return "aider"
    for line in head.split(b"\n", _LINES)[:_LINES]:
        record = parse(line)
        format = _format_of(record) if record else ""
        if format:
            return format
    raise TranscriptError(f"{path.name} is no session file of an agent that is known: {', '.join(FORMATS)}")


def _format_of(record: Record) -> str:
    """Return the format whose records look like this one, or ''."""
    kind = record.get("type")
    if "projectHash" in record or kind == "gemini":
        return "gemini"
    if isinstance(record.get("payload"), dict) and "timestamp" in record:
        return "codex"
    if isinstance(kind, str) and "." in kind and isinstance(record.get("data"), dict):
        return "copilot"
    if "sessionId" not in record or "uuid" not in record:
        return ""
    message = record.get("message")
    # Qwen's records are Claude's but for the content of messages.
    qwen = "provenance" in record or (isinstance(message, dict) and "parts" in message)
    return "qwen" if qwen else "claude"
