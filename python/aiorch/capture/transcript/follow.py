"""The seam of session files: one follower for each format, opened by the format's name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from aiorch.capture.transcript.said import Said
from aiorch.errors import TranscriptError

FORMATS: tuple[str, ...] = ("claude", "codex", "gemini", "opencode", "qwen", "copilot", "aider")


class Transcript(Protocol):
    """Follows one session file; it may appear late, vanish, shrink or be replaced."""

    path: Path

    def read(self) -> list[Said]:
        """Return the finished texts with a marker in them since the last read.

        Never raises for the state of the file; costs one stat when nothing changed. A text can come
        again with the same `message` when the agent wrote it again.
        """

    @property
    def watched(self) -> tuple[Path, ...]:
        """Return the files whose change means that there is something to read."""

    @property
    def cursor(self) -> object:
        """Return a small JSON-able value that makes another follower go on from here."""


def open_transcript(format: str, path: Path, cursor: object = None, *, directory: str = "") -> Transcript:
    """Return a follower of one session file, from its start or from a `cursor`.

    `directory` is the agent's working directory: a file that several agents share (OpenCode's
    database) is then read for the sessions of that directory only. A cursor that does not fit is as
    none. Raises TranscriptError for an unknown format.
    """
    raise TranscriptError(f"no reader for session files of {format}")


def guess_format(path: Path, agent: str | None = None) -> str:
    """Return the format of a session file: the agent's name decides, else the content.

    Raises TranscriptError when neither says.
    """
    if agent in FORMATS:
        return str(agent)
    raise TranscriptError(f"{path.name} is no session file of an agent that is known")
