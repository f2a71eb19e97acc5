"""The lead's session files: found from its process, followed, and weighed against what its pane shows."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiorch.capture.directive import Directive, Sighting, Source
from aiorch.capture.frames import BEFORE_START
from aiorch.capture.fuse import Fusion, Outcome, Repeat, Serving
from aiorch.capture.transcript.birth import birth
from aiorch.capture.transcript.find import Found, find, places
from aiorch.capture.transcript.follow import FORMATS, Transcript, open_transcript
from aiorch.capture.transcript.said import Said, sightings
from aiorch.journal import Journal
from aiorch.launch import process

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""A file is looked for at most this often while the pane prints; sessions change rarely."""

FROM_AFAR = "the screen alone (unverified): the agent is not a process of this pane"
_HASTE_SECONDS = 0.1
# The kernel notes when a process began to 10 ms.
_GRAIN = 0.05
_MAX_ASIDE = 64
_MAX_KEPT = 64
_MAX_SAID = 4096


@dataclass(frozen=True, slots=True)
class Told:
    """What became clear at one moment, and in which of the agent's conversations ('': the present one)."""

    outcomes: Sequence[Outcome]
    conversation: str = ""


@dataclass(slots=True)
class _Followed:
    """One session file; `bound` when it is sure that it is this agent's.

    What a file says that may be another agent's waits in `aside` until the pane shows one of it.
    """

    found: Found
    transcript: Transcript
    bound: bool
    pid: int
    aside: list[tuple[Said, list[Sighting]]] = field(default_factory=list)
    old: list[Directive] = field(default_factory=list)

    @property
    def record(self) -> dict[str, object]:
        """Return what the next engine has to know, as a JSON value."""
        found = {"format": self.found.format, "path": str(self.found.path), "session": self.found.session}
        return {
            **found,
            "how": self.found.how,
            "cursor": self.transcript.cursor,
            "pid": self.pid,
            "bound": self.bound,
        }

    @property
    def source(self) -> Source:
        # Aider's history is Markdown that quotes whatever the user or a command put there.
        return Source.PLAIN if self.found.format == "aider" else Source.TRANSCRIPT


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent whose files are read: its profile's name and its process, 0 when that is not here."""

    name: str
    pid: int


class Transcripts:
    """Follows the session files of one primary; used on the engine's thread only.

    State that has to survive the engine is in the journal, written in the transaction of what was taken.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._fusion = Fusion()
        self._agent: Agent | None = None
        self._files: dict[str, _Followed] = {}
        self._places: list[Path] = []
        self._looked = 0.0
        self._again: float | None = None
        self._given_up = False
        self._adopted = 0.0
        self._kept: dict[str, dict[str, object]] = {}

    def adopt(self) -> None:
        """Note that the pane is adopted now: what stands in a file already never runs."""
        self._adopted = time.time()
        self._journal.set_meta("adopted", self._adopted)

    def restore(self) -> None:
        """Take up what the last engine of this run left."""
        adopted, kept = self._journal.meta("adopted"), self._journal.meta("session_files")
        self._adopted = adopted if isinstance(adopted, float) else time.time()
        self._kept = kept if isinstance(kept, dict) else {}
        said = self._journal.said_payloads(_MAX_SAID)
        self._fusion.restore(self._journal.meta("fusion"), said, time.time())

    @property
    def _keeper(self) -> Agent | None:
        """Return the agent if it is one that keeps session files where we can read them."""
        agent = self._agent
        return agent if agent and agent.pid and agent.name in FORMATS else None

    @property
    def serving(self) -> Serving:
        """Return what decides about the directives of the pane now."""
        if self._keeper is None:
            return Serving.SCREEN
        if any(one.bound for one in self._files.values()):
            return Serving.FILE
        return Serving.MISSING if self._given_up else Serving.LOOKING

    @property
    def description(self) -> str:
        """Return in words where directives are read from."""
        bound = [one.found for one in self._files.values() if one.bound]
        if bound:
            return f"{bound[-1].path.name}, {bound[-1].how}"
        if self.serving is Serving.SCREEN:
            return FROM_AFAR if self._agent and not self._agent.pid else "the pane itself"
        if self.serving is Serving.LOOKING:
            return "the screen, until a session file of this agent is found"
        return "the screen alone (unverified): no session file of this agent is found"

    @property
    def worth_telling(self) -> bool:
        """Return whether the user should hear of the description."""
        return self.serving in (Serving.FILE, Serving.MISSING) or self.description == FROM_AFAR

    @property
    def due(self) -> float | None:
        """Return when something is to be looked for or decided (seconds since the epoch)."""
        return min((at for at in (self._fusion.due, self._again) if at is not None), default=None)

    @property
    def watched(self) -> tuple[list[Path], list[Path]]:
        """Return the folders to watch, and the paths in them whose change means that there is something."""
        if self._keeper is None:
            return [], []
        files = [path for one in self._files.values() for path in one.transcript.watched]
        return list(dict.fromkeys([*self._places, *(path.parent for path in files)])), [*self._places, *files]

    def follow(self, agent: Agent | None) -> Iterator[Told]:
        """Follow another agent from now on; yield what the last one still said."""
        if agent == self._agent:
            return
        yield from self.read()
        self._keep_cursors()
        self._files.clear()
        self._places = []
        self._agent, self._looked, self._given_up = agent, 0.0, False
        self._again = None
        if self._keeper is not None:
            yield from self._reopen(self._keeper)
        yield from self.look()

    def look(self, *, haste: bool = False) -> Iterator[Told]:
        """Look for the agent's files, if that was not done just now; yield what new ones say."""
        now, agent = time.time(), self._keeper
        wait = _HASTE_SECONDS if haste else LOOK_SECONDS
        if agent is None:
            self._again = None
            return
        if 0 <= now - self._looked < wait:
            # What changed just now may be the last that changes for long.
            self._again = self._again or self._looked + LOOK_SECONDS
            return
        self._looked, self._again = now, None
        self._places = self._list_places(agent)
        for found in self._find(agent):
            known = self._files.get(_name(found))
            if known is None:
                yield from self._open(agent, found)
            elif found.certain and not known.bound:
                known.found = found
                yield from self._bind(known)
        self._update()

    def screen(self, seen: Sequence[Sighting]) -> Iterator[Told]:
        """Take what the pane shows; yield what may be taken."""
        now = time.time()
        if not seen:
            self._fusion.touch(now)
            return
        if self.serving is not Serving.SCREEN:
            # The file may be there by now, and its words are exact.
            yield from self.look(haste=True)
            yield from self.read()
        self._update()
        yield Told(self._fusion.screen(seen, now))
        for one in list(self._files.values()):
            if not one.bound and self._shows(one):
                yield from self._bind(one)

    def watching(self) -> None:
        """Note that folders are watched from now on: what was written just before woke nobody."""
        self._again = time.time()
        self._looked = 0.0

    def read(self) -> Iterator[Told]:
        """Read what is new in the files."""
        for one in list(self._files.values()):
            before = one.transcript.cursor
            for said in one.transcript.read():
                yield from self._take(one, said)
            if one.bound and one.transcript.cursor != before:
                self._fusion.grew(time.time())

    def expire(self) -> Iterator[Told]:
        """Yield what waited long enough."""
        due = self._fusion.due
        if due is None or due > time.time():
            return
        yield from self.look(haste=True)
        yield from self.read()
        outcomes = self._fusion.expire(time.time())
        if outcomes:
            self._given_up = True
            self._update()
            yield Told(outcomes)

    def commit(self) -> None:
        """Write down how far the files were read; for the transaction of what was found there."""
        self._keep_cursors()
        if self._fusion.changed:
            self._fusion.changed = False
            self._journal.set_meta("fusion", self._fusion.state)

    def _find(self, agent: Agent) -> list[Found]:
        directory = process.working_directory(agent.pid)
        if directory is None:
            return []
        try:
            return find(agent.name, agent.pid, directory, process.environment(agent.pid))
        except OSError:
            log.exception("looking for the session file of %s failed", agent.name)
            return []

    def _list_places(self, agent: Agent) -> list[Path]:
        directory = process.working_directory(agent.pid)
        if directory is None:
            return []
        return places(agent.name, agent.pid, directory, process.environment(agent.pid))

    def _reopen(self, agent: Agent) -> Iterator[Told]:
        """Go on with the files that were this very process' already: an engine before us found them."""
        for kept in list(self._kept.values()):
            if kept["pid"] == agent.pid and kept["bound"]:
                words = {name: str(kept[name]) for name in ("format", "how", "session")}
                yield from self._open(agent, Found(path=Path(str(kept["path"])), certain=True, **words))

    def _open(self, agent: Agent, found: Found) -> Iterator[Told]:
        kept = self._kept.get(_name(found), {})
        transcript = open_transcript(found.format, found.path, kept.get("cursor"), session=found.session)
        one = _Followed(found, transcript, found.certain, agent.pid)
        self._files[_name(found)] = one
        if kept.get("pid") != agent.pid:
            yield from self._begin(one, resumed=bool(kept))
        else:
            self._update()
            for said in transcript.read():
                yield from self._take(one, said)

    def _begin(self, one: _Followed, *, resumed: bool) -> Iterator[Told]:
        """Take what a file holds when it is found: what is older than adoption or agent never runs.

        A file that was made since the adoption holds nothing older, whatever time its records tell, unless
        they were copied from another conversation. Else the records' own time decides.
        """
        born = birth(one.found.path)
        fresh = born is not None and born >= self._adopted and not resumed
        since = max(self._adopted, (process.started(one.pid) or 0.0) - _GRAIN)
        self._update()
        for said in one.transcript.read():
            live = fresh if said.time is None else fresh or said.time >= since
            if live and not said.copied:
                yield from self._take(one, said)
                continue
            found = sightings(said, one.source)
            one.old += [sighting for sighting in found if isinstance(sighting, Directive)]
        yield from self._tell_old(one)

    def _tell_old(self, one: _Followed) -> Iterator[Told]:
        if one.bound and one.old:
            self._fusion.remember(directive.payload for directive in one.old)
            yield Told([Repeat(directive, BEFORE_START) for directive in one.old])
            one.old = []

    def _take(self, one: _Followed, said: Said) -> Iterator[Told]:
        found = sightings(said, one.source)
        if one.bound:
            yield Told(self._fusion.exact(found, time.time()), said.conversation)
            return
        one.aside = [*one.aside, (said, found)][-_MAX_ASIDE:]
        if self._shows(one):
            yield from self._bind(one)

    def _shows(self, one: _Followed) -> bool:
        """Say whether the pane shows something that this file says: then it is this agent's."""
        said = [sighting for _, found in one.aside for sighting in found if isinstance(sighting, Directive)]
        return any(self._fusion.shows(directive.payload) for directive in said)

    def _bind(self, one: _Followed) -> Iterator[Told]:
        if not one.bound:
            how = one.found.how if one.found.certain else "which says what the pane shows"
            one.found, one.bound = replace(one.found, how=how), True
        self._update()
        yield from self._tell_old(one)
        aside, one.aside = one.aside, []
        for said, found in aside:
            yield Told(self._fusion.exact(found, time.time()), said.conversation)

    def _update(self) -> None:
        self._fusion.serving = self.serving

    def _keep_cursors(self) -> None:
        kept = dict(self._kept)
        for name, one in self._files.items():
            # What waits aside is read again by the next engine.
            if not one.aside:
                kept.pop(name, None)
                kept[name] = one.record
        if kept != self._kept:
            self._kept = dict(list(kept.items())[-_MAX_KEPT:])
            self._journal.set_meta("session_files", self._kept)


def _name(found: Found) -> str:
    return f"{found.path}#{found.session}" if found.session else str(found.path)
