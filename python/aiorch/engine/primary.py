"""The primary pane as the engine sees it: its pipe, its log, its size, and the agent that runs in it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from aiorch import process
from aiorch.capture.directive import Sighting
from aiorch.capture.gap import Missed, Shown, find_missed
from aiorch.capture.gutter import Gutter
from aiorch.capture.pane import PaneReader
from aiorch.capture.tail import Cursor, SegmentTail
from aiorch.engine.foreground import Running, running_agent
from aiorch.engine.pipe import Pipe
from aiorch.errors import EngineError, TmuxError
from aiorch.journal import Journal
from aiorch.tmux.session import Picture, Session, picture_commands, picture_of
from aiorch.workers.profile import AgentProfile

RECOGNISE_SECONDS = 1.0
SILENCE_SECONDS = 0.15
MAX_SILENCE_WAIT = 1.5
GAP_ROWS = 3000
"""Rows above the screen in which is looked for what nobody has read."""


class Primary:
    """Reads one pane's log from where the journal says it was left."""

    def __init__(
        self,
        session: Session,
        journal: Journal,
        logs: Path,
        pane: str,
        profiles: Mapping[str, AgentProfile],
        agent: str | None,
    ) -> None:
        self.session, self.journal, self.logs, self.pane = session, journal, logs, pane
        self._profiles = profiles
        self._given = profiles[agent] if agent else None
        self.running: Running | None = None
        self._recognised_at = 0.0
        self.look_at: float | None = None
        self._changed_at = 0.0
        self._armed = False
        self._told: dict[str, str] = {}
        self.pipe = Pipe(session, journal, logs, pane)
        self._torn = False
        self._pid = 0
        self.reader: PaneReader
        self._tail: SegmentTail
        self._size = (80, 24)

    @property
    def conversation(self) -> int:
        """Return the number of the lead's present conversation; an agent started anew begins another."""
        value = self.journal.meta("conversation")
        return value if isinstance(value, int) else 1

    @property
    def is_new(self) -> bool:
        """Return whether the agent has come just now: what the pane shows may be from before it.

        One that the user named was there all the time, whatever process it is.
        """
        return self._given is None and time.time() < self._changed_at + RECOGNISE_SECONDS

    def enter(self, name: str) -> None:
        """Note which of the agent's own conversations the lead is in; '' says nothing.

        One that is come back to has the number that it had.
        """
        table = self.journal.meta("conversations")
        known: dict[str, int] = table if isinstance(table, dict) else {}
        if not name or known.get(name) == self.conversation:
            return
        if name not in known:
            present, taken = self.conversation, set(known.values())
            known[name] = present if present not in taken else max(taken) + 1
            self.journal.set_meta("conversations", known)
        self.journal.set_meta("conversation", known[name])

    @property
    def agent(self) -> AgentProfile | None:
        """Return the profile of the agent in the primary: the one the user named, else the one recognised."""
        return self._given or (self.running.profile if self.running else None)

    def open(self) -> None:
        """Recognise the agent and open the pipe.

        Raises EngineError when something else pipes the pane already.
        """
        info = self.session.pane(self.pane)
        if info is None:
            raise EngineError(f"pane {self.pane} is not in this session")
        self._recognise(info.pid)
        self.pipe.open()
        self._armed = True

    def begin(self) -> list[Sighting]:
        """Begin to read once the pane is silent, and return what it shows by then, which never runs.

        Agents draw anew when our columns take some of their width, some with all of their history: none of
        that is new, and the reader starts at the size it will keep.
        """
        self._wait_for_silence()
        info = self.session.pane(self.pane)
        if info is not None:
            self._size = (info.columns, info.rows)
        cursor = self.pipe.end()
        self._begin_at(cursor, self.session.picture(self.pane) if info is not None else _picture(None))
        return list(self.reader.seeded)

    def reopen(self, *, here: bool = False) -> list[Sighting]:
        """Take up the log where the last engine left it, and its pipe if that still carries.

        Returns what counts now that the pane is silent: the last engine may not have come to that. With
        `here` reading begins with what comes from now on, and what the pane shows is returned as by `begin`.
        """
        self._armed = True
        info = self.session.pane(self.pane)
        if info is not None:
            self._recognise(info.pid)
        found = [] if here else self._rebuild(self.agent)
        self.pipe.take_up()
        return self.begin() if here else found

    def read_rest(self) -> list[Sighting]:
        """Return what stands in the log of a pane that is gone and was not read yet."""
        former = self.journal.meta("agent")
        found = self._rebuild(self._profiles.get(str(former[0])) if isinstance(former, list) else None)
        for cursor, sightings in self.read():
            found += sightings
            self.commit(cursor)
        found += self.reader.settle()
        self._tail.close()
        return found

    def read(self) -> Iterator[tuple[Cursor, list[Sighting]]]:
        """Yield what is new in the log, chunk by chunk, with the cursor after each chunk."""
        for cursor, data in self._tail.read():
            start = f"{cursor.segment}:{cursor.offset - len(data)}"
            losses = self.reader.losses
            sightings = self.reader.feed(data, start)
            self._torn = self._torn or self.reader.losses > losses
            yield cursor, sightings

    def commit(self, cursor: Cursor) -> None:
        """Record that everything up to `cursor` was taken; for the transaction of what was found there."""
        self._cursor = cursor
        self.journal.set_meta("cursor", [cursor.segment, cursor.offset])

    def follow_size(self) -> bool:
        """Take over the pane's present size; return False when the pane is gone."""
        info = self.session.pane(self.pane)
        if info is None:
            return False
        if (info.columns, info.rows) != self._size:
            self._size = (info.columns, info.rows)
            self.reader.resize(*self._size, will_resync=True)
            self._torn = True
            self._note_size(self._cursor)
        return True

    @property
    def wants_settle(self) -> bool:
        """Return whether something is to be done once the pane is silent."""
        return self._torn or self.reader.wants_settle

    def settle(self) -> list[Sighting]:
        """Return what counts now that the pane is silent.

        After a resize the emulated screen is corrected by tmux's own, since the log does not say between
        which bytes the size changed; so is one that was lost to a fault of the emulator.
        """
        if self._torn:
            self._torn = False
            picture = self.session.picture(self.pane)
            self.reader.resync(picture.text, picture.cursor)
        return self.reader.settle()

    def follow_agent(self, *, at_once: bool = False) -> bool:
        """Look again which agent has the pane; return whether it changed.

        At most once a second, but `at_once` before a directive is judged: what is trusted hangs on it.
        """
        if not at_once and time.time() < self._recognised_at + RECOGNISE_SECONDS:
            # Who started just now may print no more for long.
            self.look_at = self._recognised_at + RECOGNISE_SECONDS
            return False
        self.look_at = None
        if not process.is_alive(self._pid):
            # Another process may have been started in the same pane.
            try:
                info = self.session.pane(self.pane)
            except TmuxError:
                # In the midst of taking a directive: who asks next will notice.
                return False
            self._pid = info.pid if info else 0
            self.pipe.look_out(again=True)
        before = self.running
        if self._pid == 0 or not self._recognise(self._pid):
            return False
        if before is None or self.running is None or before.profile != self.running.profile:
            self._changed_at = time.time()
        if self._given is not None:
            return False
        # The same reader goes on: what the agent has printed before it was recognised counts.
        self.reader.use_gutter(_gutter(self.agent))
        return True

    def environment(self) -> dict[str, str]:
        """Return the environment workers get: that of the agent in the pane, else of the pane's process.

        A shell's later exports show only in what it starts: its last call of our command tells them.
        """
        if self.running is None and self._told:
            return self._told
        found = (process.environment(pid) for pid in self._pids())
        return next((variables for variables in found if variables), {})

    def learn_environment(self, pid: int) -> None:
        """Take over the environment of a process that was started in the primary's pane."""
        if self._pid in process.ancestry(pid):
            self._told = process.environment(pid)

    def working_directory(self) -> str:
        """Return the directory that the lead works in."""
        found = (process.working_directory(pid) for pid in self._pids())
        noted = self.journal.meta("directory")
        return next((path for path in found if path), noted if isinstance(noted, str) else str(Path.home()))

    def close(self) -> None:
        """Stop watching: the pipe is closed, the log stays."""
        if self._armed:
            self.pipe.close()
            self._tail.close()

    def bridge(self) -> Missed:
        """Open a new pipe where the old one has ended, and return what the pane printed in between.

        For a transaction together with what is done about it; `note_gap` comes before. Raises EngineError
        when the pane is piped by somebody else now, PipeError when its log cannot be written.
        """
        drawing = self.reader.drawing
        form = "#{pane_width} #{pane_height}"
        answers = self.pipe.open(
            [
                # Rows are joined where lines count, and have their colours where rows count.
                ("capture-pane", "-p", "-e" if drawing else "-J", "-S", f"-{GAP_ROWS}", "-t", self.pane),
                *picture_commands(self.pane),
                ("display-message", "-p", "-t", self.pane, form),
            ]
        )
        picture = picture_of(answers[1:3])
        columns, rows = (int(number) for number in answers[3][0].split())
        shown = Shown(answers[0], columns, rows)
        position = f"gap-{self.pipe.series}:0"
        drawing = drawing or picture.alternate
        missed = find_missed(self.reader.known_lines(), shown, _gutter(self.agent), position, drawing=drawing)
        self._size = (columns, rows)
        self.journal.set_meta("gap", None)
        self._begin_at(self.pipe.start, picture)
        return replace(missed, is_whole=missed.is_whole and not picture.alternate)

    def note_gap(self) -> None:
        """Note that the log has ended where it was read: an engine that takes over bridges it, too."""
        self.journal.set_meta("gap", True)
        self.pipe.writer = None

    def _begin_at(self, cursor: Cursor, picture: Picture) -> None:
        """Read from there on, with what the pane shows as the beginning."""
        self.journal.set_meta("seed", [picture.text, *picture.cursor, picture.alternate])
        self.journal.set_meta("begin", [cursor.segment, cursor.offset])
        self._torn = False
        self._start_reader(cursor, picture, self.agent)
        self.commit(cursor)
        self._note_size(cursor)

    def _wait_for_silence(self) -> None:
        end = time.monotonic() + MAX_SILENCE_WAIT
        seen, since = self.pipe.end(), time.monotonic()
        while time.monotonic() < min(end, since + SILENCE_SECONDS):
            time.sleep(SILENCE_SECONDS / 10)
            now = self.pipe.end()
            if now != seen:
                seen, since = now, time.monotonic()

    def _pids(self) -> list[int]:
        return [*([self.running.pid] if self.running else []), self._pid]

    def _start_reader(self, cursor: Cursor, seed: Picture, agent: AgentProfile | None) -> None:
        self._cursor = cursor
        self._tail = SegmentTail(self.logs, cursor)
        self.reader = PaneReader(*self._size, _gutter(agent))
        if seed.text.strip():
            self.reader.seed(seed.text, seed.cursor, alternate=seed.alternate)

    def _rebuild(self, agent: AgentProfile | None) -> list[Sighting]:
        """Make the reader that the last engine had; return what counts on its screen now."""
        sizes = self.journal.sizes()
        if sizes:
            self._size = sizes[0][2:]
        self._start_reader(self._noted("begin"), _picture(self.journal.meta("seed")), agent)
        return self._replay(self._noted("cursor"), sizes)

    def _replay(self, committed: Cursor, sizes: list[tuple[str, int, int, int]]) -> list[Sighting]:
        """Bring the emulator to where the last engine had it; what is found on the way was taken then."""
        pending = sizes[1:]
        end = (committed.segment, committed.offset)
        for cursor, data in self._tail.read():
            offset = cursor.offset - len(data)
            while pending and pending[0][:2] <= (cursor.segment, offset):
                self._size = pending.pop(0)[2:]
                self.reader.resize(*self._size)
            if (cursor.segment, cursor.offset) > end:
                if cursor.segment == committed.segment and offset < committed.offset:
                    self.reader.feed(data[: committed.offset - offset], f"{cursor.segment}:{offset}")
                break
            self.reader.feed(data, f"{cursor.segment}:{offset}")
        found = self.reader.settle()
        self._cursor = committed
        self._tail.close()
        self._tail = SegmentTail(self.logs, committed)
        return found

    def _noted(self, name: str) -> Cursor:
        value = self.journal.meta(name)
        if isinstance(value, list):
            return Cursor(str(value[0]), int(value[1]))
        return Cursor("", 0)

    def _note_size(self, cursor: Cursor) -> None:
        self.journal.add_size(cursor.segment, cursor.offset, *self._size)

    def _recognise(self, pid: int) -> bool:
        self._recognised_at = time.time()
        self._pid = pid
        found = running_agent(self._profiles, self._given, pid)
        if found == self.running:
            return False
        self.running = found
        if found is not None and found.pid != self.journal.meta("agent_pid"):
            # Another process is another conversation; one that was only stopped for a while is not.
            if self.journal.meta("agent_pid") is not None:
                self.journal.set_meta("conversation", self.conversation + 1)
            self.journal.set_meta("agent_pid", found.pid)
        return True


def _gutter(agent: AgentProfile | None) -> Gutter | None:
    return Gutter.from_mapping(agent.screen) if agent and agent.screen else None


def _picture(seed: object) -> Picture:
    """Return the picture that was noted when the pane was adopted; an empty one when it cannot be read."""
    match seed:
        case [str(text), int(column), int(row), *rest]:
            return Picture(text, (column, row), rest == [True])
    return Picture("", (0, 0))
