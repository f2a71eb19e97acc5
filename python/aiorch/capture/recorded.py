"""What an agent's own session files hold, read once and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aiorch.capture.directive import Sighting, Source
from aiorch.capture.transcript.follow import RECORDS, guess_format, open_transcript
from aiorch.capture.transcript.line_file import LineFile
from aiorch.capture.transcript.records import parse
from aiorch.capture.transcript.said import Said, sightings
from aiorch.errors import ReplayError, TranscriptError


def read_sessions(files: Sequence[Path], agent: str | None) -> list[Sighting] | None:
    """Return what the assistant says in session files, each once; None when it says nothing there.

    In the order in which it was said, as far as the files tell, else in the order of the files. `agent`
    names the format; without it the content does. Raises ReplayError for a file that cannot be read or is
    no session file.
    """
    spoken: list[tuple[Said, Source]] = []
    spoke = False
    for path in files:
        format = _format(path, agent)
        # By the trust table Aider's history, which keeps the output of commands too, is a plain pane.
        source = Source.PLAIN if format == "aider" else Source.TRANSCRIPT
        texts = open_transcript(format, path).finish()
        spoken += [(said, source) for said in texts]
        spoke = spoke or bool(texts) or _says_anything(format, path)
    if len(files) > 1 and all(said.time is not None for said, _ in spoken):
        spoken.sort(key=lambda one: one[0].time or 0.0)
    found: dict[str, Sighting] = {}
    for said, source in spoken:
        for sighting in sightings(said, source):
            found.setdefault(sighting.key, sighting)
    return list(found.values()) if spoke else None


def _format(path: Path, agent: str | None) -> str:
    try:
        with path.open("rb"):
            return guess_format(path, agent)
    except OSError as error:
        raise ReplayError(f"{path} cannot be read: {error.strerror or error}") from error
    except TranscriptError as error:
        raise ReplayError(str(error)) from error


def _says_anything(format: str, path: Path) -> bool:
    """Say whether a file without any marker holds words of the assistant's; unknown counts as no."""
    lines = LineFile(path)
    if format == "aider":
        return any(line.data.strip() and line.data[:1] not in b"#>" for line in lines.read())
    if format not in RECORDS:
        return False
    form = RECORDS[format]()
    records = (parse(line.data) for line in lines.read())
    return any(said.text.strip() for record in records if record for said in form.take(record, ""))
