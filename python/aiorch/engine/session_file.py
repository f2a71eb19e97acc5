"""One session file of the lead's: what it says that is new, and whether it may speak for this pane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from aiorch.capture.directive import Directive, Sighting, Source
from aiorch.capture.transcript.find import Found
from aiorch.capture.transcript.follow import FORMATS, Transcript
from aiorch.capture.transcript.said import Said, sightings

_MAX_ASIDE = 64


@dataclass(frozen=True, slots=True)
class Agent:
    """The lead's agent: its profile's name and its process, pid 0 when that is not here.

    `ticks` is the kernel's start mark: with the pid it names one process and no later one.
    """

    name: str
    pid: int
    ticks: int = 0


@dataclass(frozen=True, slots=True)
class Speech:
    """The directives in one text of the assistant's; `old` when it was said before its time."""

    said: Said
    sightings: list[Sighting]
    old: bool

    @property
    def directives(self) -> list[Directive]:
        """Return what is well-formed in it."""
        return [one for one in self.sightings if isinstance(one, Directive)]


@dataclass(slots=True)
class SessionFile:
    """A file that is followed; `bound` while it is sure to be the present session of this agent's.

    `doubted` is set for good when it may have been another's. `since` is the time (seconds since the epoch)
    before which nothing counts; `fresh` says that the file itself is younger. What it says while it is not
    bound is kept `aside`.
    """

    found: Found
    transcript: Transcript
    agent: Agent
    bound: bool = False
    doubted: bool = False
    fresh: bool = False
    since: float = 0.0
    begun: bool = False
    aside: list[Speech] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return what tells this session from all others on the machine."""
        return name_of(self.found)

    @property
    def record(self) -> dict[str, object]:
        """Return what the next engine has to know, as a JSON value."""
        return {
            "format": self.found.format,
            "path": str(self.found.path),
            "session": self.found.session,
            "how": self.found.how,
            "cursor": self.transcript.cursor,
            "pid": self.agent.pid,
            "ticks": self.agent.ticks,
            "bound": self.bound,
            "doubted": self.doubted,
        }

    def read(self) -> Iterator[Speech]:
        """Yield what was said since the last read.

        What stands in the file when it is found, and what another file in its place holds, is judged by
        time; what is appended counts. A file that was made since then holds nothing older, whatever
        times its records tell; what a fork copied is always old.
        """
        restarts, first, before = self.transcript.restarts, not self.begun, self.transcript.cursor
        texts = self.transcript.read()
        # One that could not be read yet (a busy database) has not begun.
        self.begun = self.begun or bool(texts) or self.transcript.cursor != before
        for said in texts:
            again = self.transcript.restarts != restarts
            new = not (first or again) or (self.fresh and not again) or _is_since(said, self.since)
            found = sightings(said, self._source)
            yield Speech(said, found, old=said.copied or not new)

    def keep_aside(self, speech: Speech) -> None:
        """Keep what was said until it is clear whose file this is."""
        self.aside = [*self.aside, speech][-_MAX_ASIDE:]

    @property
    def _source(self) -> Source:
        # Aider's history is Markdown that quotes whatever the user or a command put there.
        return Source.PLAIN if self.found.format == "aider" else Source.TRANSCRIPT


def is_record(record: object) -> bool:
    """Say whether this is what `SessionFile.record` gave an earlier engine."""
    texts = ("path", "session", "how")
    return (
        isinstance(record, dict)
        and record.get("format") in FORMATS
        and all(isinstance(record.get(name), str) for name in texts)
    )


def name_of(found: Found) -> str:
    """Return what tells a session from all others on the machine."""
    return f"{found.path}#{found.session}" if found.session else str(found.path)


def _is_since(said: Said, since: float) -> bool:
    return said.time is not None and said.time >= since
