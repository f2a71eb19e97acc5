"""The lead's session files: found from its process, followed, and weighed against what its pane shows."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from aiorch import process
from aiorch.capture.directive import Directive, Sighting
from aiorch.capture.frames import BEFORE_START
from aiorch.capture.fuse import Fusion, Outcome, Repeat, Serving
from aiorch.capture.transcript.birth import birth
from aiorch.capture.transcript.find import Found
from aiorch.capture.transcript.follow import FORMATS, open_transcript
from aiorch.engine.search import Search, present_in
from aiorch.engine.session_file import Agent, SessionFile, Speech, is_record, name_of
from aiorch.journal import Journal

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""A file is looked for at most this often while the pane prints; sessions change rarely."""

FROM_AFAR = "the screen alone (unverified): the agent is not a process of this pane"
_HASTE_SECONDS = 0.1
# The kernel notes when a process began to 10 ms.
_GRAIN = 0.05
_MAX_SAID = 4096
# Session files and processes are made at times that two clocks tell.
_SLACK = 1.0


@dataclass(frozen=True, slots=True)
class Told:
    """What became clear at one moment, and in which of the agent's conversations ('': the present one)."""

    outcomes: Sequence[Outcome]
    conversation: str = ""


class Transcripts:
    """Follows the session files of one primary; used on the engine's thread only.

    State that has to survive the engine is in the journal, written in the transaction of what was taken.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._fusion = Fusion()
        self._agent: Agent | None = None
        self._last: Agent | None = None
        self._files: dict[str, SessionFile] = {}
        self._kept: dict[str, dict[str, object]] = {}
        self._places: Mapping[Path, Path] = {}
        self._present: set[Path] = set()
        self._looked = 0.0
        self._again: float | None = None
        self._given_up = False
        self._adopted = 0.0
        self._unread = False
        self._search = Search()

    def adopt(self) -> None:
        """Note that the pane is adopted now: what stands in a file already never runs."""
        self._adopted = time.time()
        self._journal.set_meta("adopted", self._adopted)

    def restore(self) -> None:
        """Take up what the last engine of this run left; what cannot be read of it is as if it were not."""
        self._unread = True
        self._adopted = time.time()
        try:
            adopted = self._journal.meta("adopted")
            self._adopted = adopted if isinstance(adopted, float) else self._adopted
            kept = self._journal.session_files()
            self._kept = {name: record for name, record in kept.items() if is_record(record)}
            former = self._journal.meta("agent")
            self._last = Agent(*former) if isinstance(former, list) else None
            said = self._journal.said_payloads(_MAX_SAID)
            self._fusion.restore(self._journal.meta("fusion"), said, time.time())
        except (ValueError, TypeError, KeyError, RecursionError):
            log.exception("what the last engine knew of session files cannot be read")

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
        # With a file that may be it, each directive waits for that to say the same.
        return Serving.MISSING if self._given_up and not self._files else Serving.LOOKING

    @property
    def description(self) -> str:
        """Return in words where directives are read from."""
        bound = [one.found for one in self._files.values() if one.bound]
        if bound:
            return f"{bound[-1].path.name}, {bound[-1].how}"
        if self.serving is Serving.SCREEN:
            return FROM_AFAR if self._agent and not self._agent.pid else "the pane itself"
        if not self._given_up:
            return "the screen, until a session file of this agent is found"
        return "the screen alone (unverified): no session file is known to be this agent's"

    @property
    def worth_telling(self) -> bool:
        """Return whether the user should hear of the description."""
        return self.serving is Serving.FILE or self._given_up or self.description == FROM_AFAR

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
        folders = [*self._places.values(), *(path.parent for path in files)]
        return list(dict.fromkeys(folders)), [*self._places, *files]

    @property
    def had_file(self) -> bool:
        """Return whether the last engine read a file that was sure to be the session of its agent."""
        last = self._last
        return last is not None and any(
            kept.get("bound") and (kept.get("pid"), kept.get("ticks")) == (last.pid, last.ticks)
            for kept in self._kept.values()
        )

    def follow(self, agent: Agent | None) -> Iterator[Told]:
        """Follow another agent from now on; yield what the last one still said."""
        unread, self._unread = self._unread, False
        if agent == self._agent and not unread:
            return
        yield from self.read()
        if unread:
            yield from self._read_kept()
        if agent is not None and self._last not in (None, agent):
            self._fusion.leave()
        self._last = agent or self._last
        for one in self._files.values():
            # Somebody else may go on with it before it is this agent's again.
            one.bound = one.bound and one.agent == agent
        self._keep()
        self._files.clear()
        self._agent, self._looked, self._given_up, self._again = agent, 0.0, False, None
        if agent is not None:
            self._journal.set_meta("agent", [agent.name, agent.pid, agent.ticks])
        self._places, self._present = {}, set()
        if self._keeper is not None:
            self._places = self._search.places(self._keeper)
            self._present = self._first_present(self._keeper)
            yield from self._reopen(self._keeper)
        yield from self.look()
        self._update()

    def look(self, *, haste: bool = False) -> Iterator[Told]:
        """Look for the agent's files, if that was not done just now; yield what new ones say."""
        now, agent = time.time(), self._keeper
        if agent is None:
            self._again = None
            return
        if 0 <= now - self._looked < (_HASTE_SECONDS if haste else LOOK_SECONDS):
            # What changed just now may be the last that changes for long.
            self._again = self._again or self._looked + LOOK_SECONDS
            return
        self._looked, self._again = now, None
        self._places = self._search.places(agent)
        found = self._search.files(agent)
        for one in found:
            yield from self._consider(agent, one)
        yield from self._leave_others([one for one in found if self._is_sure(one)])
        self._update()

    def screen(self, seen: Sequence[Sighting]) -> Iterator[Told]:
        """Take what the pane shows; yield what may be taken."""
        now = time.time()
        self._fusion.touch(now)
        if not seen:
            return
        if self.serving is not Serving.SCREEN:
            # The file may be there by now, and its words are exact.
            yield from self.look(haste=True)
            yield from self.read()
        self._update()
        yield Told(self._fusion.screen(seen, now))

    def watching(self) -> None:
        """Note that folders are watched from now on: what was written just before woke nobody."""
        self._again = time.time()
        self._looked = 0.0

    def read(self) -> Iterator[Told]:
        """Read what is new in the files."""
        for one in list(self._files.values()):
            before = one.transcript.cursor
            yield from self._hear(one)
            if one.bound and one.transcript.cursor != before:
                self._fusion.grew(time.time())

    def expire(self) -> Iterator[Told]:
        """Yield what waited long enough."""
        due = self._fusion.due
        if due is None or due > time.time():
            return
        yield from self.look(haste=True)
        yield from self.read()
        yield from self._bind_by_screen()
        outcomes = self._fusion.expire(time.time())
        if any(isinstance(one, Directive) for one in outcomes):
            self._given_up = self.serving is not Serving.FILE
            self._update()
        if outcomes:
            yield Told(outcomes)

    def commit(self) -> None:
        """Write down how far the files were read; for the transaction of what was found there."""
        self._keep()
        if self._fusion.changed:
            self._fusion.changed = False
            self._journal.set_meta("fusion", self._fusion.state)

    def _consider(self, agent: Agent, found: Found) -> Iterator[Told]:
        """Follow a file that was found, and believe it when it is sure."""
        one = self._files.get(name_of(found))
        new = one is None
        if one is None:
            one = self._open(agent, found)
        one.doubted = one.doubted or (found.rival and not one.bound) or self._is_workers(found)
        if not one.bound and found.certain and (found.named or not one.doubted):
            one.found = found
            yield from self._bind(one)
        if new:
            yield from self._hear(one)

    def _is_sure(self, found: Found) -> bool:
        one = self._files.get(name_of(found))
        return found.certain and one is not None and one.bound

    def _leave_others(self, sure: list[Found]) -> Iterator[Told]:
        """Listen no more to sessions that the agent has left: it may be another window's by now.

        Only when the agent itself names the present one: a guess must not silence what is sure.
        """
        names = {name_of(found) for found in sure if any(each.named for each in sure)}
        for one in list(self._files.values()):
            if names and one.bound and one.name not in names:
                yield from self._hear(one)
                one.bound = False

    def _is_workers(self, found: Found) -> bool:
        """Say whether a session was begun while a worker of the same kind ran, whose it may be."""
        if found.named or self._agent is None:
            return False
        begun = found.begun or birth(found.path)
        lives = self._journal.lives_of(self._agent.name)
        return begun is not None and any(
            start - _SLACK <= begun <= (end or time.time()) + _SLACK for start, end in lives
        )

    def _read_kept(self) -> Iterator[Told]:
        """Read, after a restart, what those files got meanwhile that were the agent's: it may have ended."""
        last = self._last
        for kept in list(self._kept.values()):
            same = last is not None and (kept.get("pid"), kept.get("ticks")) == (last.pid, last.ticks)
            if kept.get("bound") and same:
                one = self._take_up(kept)
                yield from self._hear(one)
                self._journal.keep_file(one.name, one.record)
                self._kept[one.name] = one.record

    def _reopen(self, agent: Agent) -> Iterator[Told]:
        """Go on with the files that were this very process' already: an engine before us found them."""
        for kept in list(self._kept.values()):
            if kept.get("bound") and (kept.get("pid"), kept.get("ticks")) == (agent.pid, agent.ticks):
                one = self._take_up(kept)
                self._files[one.name] = one
                yield from self._hear(one)

    def _take_up(self, kept: Mapping[str, object]) -> SessionFile:
        format, path, session, how = (
            str(kept.get(name, "")) for name in ("format", "path", "session", "how")
        )
        found = Found(format, Path(path), True, how, session)
        transcript = open_transcript(format, found.path, kept.get("cursor"), session=session)
        pid, ticks = kept.get("pid"), kept.get("ticks")
        agent = Agent(format, pid if isinstance(pid, int) else 0, ticks if isinstance(ticks, int) else 0)
        return SessionFile(found, transcript, agent, bound=True, begun=True, since=self._adopted)

    def _open(self, agent: Agent, found: Found) -> SessionFile:
        kept = self._kept.get(name_of(found), {})
        same = (kept.get("pid"), kept.get("ticks")) == (agent.pid, agent.ticks)
        transcript = open_transcript(found.format, found.path, kept.get("cursor"), session=found.session)
        born = birth(found.path)
        known = bool(kept) or found.path in self._present or found.path.parent in self._present
        one = SessionFile(
            found, transcript, agent, begun=same,
            fresh=born is not None and born >= self._adopted and not known,
            since=max(self._adopted, (process.started(agent.pid) or 0.0) - _GRAIN),
            doubted=same and kept.get("doubted") is True,
        )  # fmt: skip
        self._files[one.name] = one
        return one

    def _hear(self, one: SessionFile) -> Iterator[Told]:
        """Take what a file says that is new, or keep it aside while the file may be another's."""
        speeches = one.read()
        if one.bound:
            yield from self._tell(one, speeches)
        else:
            for speech in speeches:
                one.keep_aside(speech)

    def _bind(self, one: SessionFile) -> Iterator[Told]:
        """Believe a file from now on, and take what it said until now."""
        one.bound = True
        self._update()
        aside, one.aside = one.aside, []
        yield from self._tell(one, aside)

    def _tell(self, one: SessionFile, speeches: Iterable[Speech]) -> Iterator[Told]:
        """Let be taken what counts, and be noted, all at once, what is too old to run."""
        for old, group in groupby(speeches, key=lambda speech: speech.old):
            if old:
                before = [each for speech in group for each in speech.directives]
                self._fusion.remember(directive.payload for directive in before)
                yield Told([Repeat(directive, BEFORE_START) for directive in before])
            else:
                for speech in group:
                    yield self._speak(one, speech)

    def _speak(self, one: SessionFile, speech: Speech) -> Told:
        # The one that spoke last is the present one.
        if one.name in self._files:
            self._files[one.name] = self._files.pop(one.name)
        return Told(self._fusion.exact(speech.sightings, time.time()), speech.said.conversation)

    def _bind_by_screen(self) -> Iterator[Told]:
        """Take a file for the agent's when it alone says what the pane shows."""
        if self.serving is Serving.FILE:
            return
        matching = [one for one in self._files.values() if self._is_shown(one)]
        if len(matching) == 1 and not self._is_workers(matching[0].found):
            one = matching[0]
            one.found = replace(one.found, how="which alone says what the pane shows")
            yield from self._bind(one)

    def _is_shown(self, one: SessionFile) -> bool:
        new = [speech for speech in one.aside if not speech.old]
        return any(self._fusion.shows(each.payload) for speech in new for each in speech.directives)

    def _first_present(self, agent: Agent) -> set[Path]:
        """Return what was in the folders of sessions when the agent was seen first, by whatever engine."""
        noted, who = self._journal.meta("present"), [agent.name, agent.pid, agent.ticks]
        match noted:
            case [known, list(paths)] if known == who:
                return {Path(str(path)) for path in paths}
        present = present_in(self._places)
        self._journal.set_meta("present", [who, [str(path) for path in present]])
        return present

    def _update(self) -> None:
        self._fusion.serving = self.serving

    def _keep(self) -> None:
        for one in self._files.values():
            # What waits aside is read again by the next engine.
            before = self._kept.get(one.name, {})
            record = {**one.record, "cursor": before.get("cursor")} if one.aside else one.record
            if before != record:
                self._kept[one.name] = record
                self._journal.keep_file(one.name, record)
