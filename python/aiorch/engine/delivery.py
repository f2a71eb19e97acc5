"""Messages on their way into panes: one at a time for each reader, only when it disturbs nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from aiorch.capture.transcript.locate import files
from aiorch.engine.crew import Crew
from aiorch.engine.primary import Primary
from aiorch.engine.search import Search
from aiorch.engine.states import has_begun
from aiorch.engine.turn_end import turn_file
from aiorch.errors import TmuxError, TmuxGoneError
from aiorch.journal import ENDED, Journal, MessageRow, MessageState, Tag, WorkerRow, WorkerState
from aiorch.journal.messages import LEAD
from aiorch.tmux.session import Session
from aiorch.tmux.typing import Shown, Typist, look
from aiorch.workers.cells import styled
from aiorch.workers.delivery import Seen, Stage, Step, next_step
from aiorch.workers.evidence import IDLE_SETTLE, decide, read_back
from aiorch.workers.input_box import FoundBox, Held, find_box, holding, squeezed
from aiorch.workers.message import mark
from aiorch.workers.profile import AgentProfile
from aiorch.workers.record import Record, record_of
from aiorch.workers.state import AgentState, Glance, judge

SOON, LATE = 0.1, 5.0
"""Seconds until the next look at a pane that is not ready: at first, and at most."""

STIR_SECONDS = 0.2
"""How soon a pane that has changed is looked at again."""

QUIET_SECONDS = 2.0
"""For how long nobody may have pressed a key in a pane before anything is typed into it."""

TELL_SECONDS = 1.0
"""How long a message may wait before the event log tells why."""

_BUSY = frozenset({AgentState.WORKING, AgentState.WAITING})
# Their session files are databases: whether a text stands in them is not seen in their bytes.
_UNREADABLE = frozenset({"opencode", "aider"})


@dataclass(frozen=True, slots=True)
class Reader:
    """Where a message goes: a pane, the agent in it and its process; `row` is None for the lead."""

    pane: str
    profile: AgentProfile
    pid: int
    row: WorkerRow | None = None


@dataclass(slots=True)
class _Line:
    """What is known of one reader while messages wait for it; times are seconds since the epoch.

    `wait` is how long the next look takes that is not asked for, `idle` since when its agent is idle, `gone`
    since when a box that was typed into does not hold the message, `told` are the reasons to wait that the
    event log has.
    """

    due: float = 0.0
    wait: float = SOON
    idle: float | None = None
    gone: float | None = None
    told: set[str] = field(default_factory=set)
    enters: int = 0
    pid: int = 0
    record: Record | None = None
    looked: float = 0.0


class NotReadyError(Exception):
    """A reader has no pane to type into yet; the message says why."""


class GoneError(Exception):
    """A reader will never read a message; the message says why."""


class Delivery:
    """Types one run's messages; every method is called on the engine's thread only."""

    def __init__(
        self,
        socket: str,
        session: Session,
        journal: Journal,
        primary: Primary,
        crew: Crew,
        profiles: Mapping[str, AgentProfile],
    ) -> None:
        self._socket, self._session, self._journal = socket, session, journal
        self._primary, self._crew, self._profiles = primary, crew, profiles
        self._lines: dict[int, _Line] = {}
        self._search = Search()
        self._has_closed = False
        # Whoever has something to note when a message is delivered.
        self.note_delivered: Callable[[MessageRow], None] = lambda _message: None
        # What an earlier engine left is looked at first.
        self.due: float | None = 0.0

    def profile(self, agent: str) -> AgentProfile | None:
        """Return the profile of an agent by its name."""
        return self._profiles.get(agent)

    def stir(self) -> None:
        """Note that something has changed which may let a message go."""
        soon = time.time() + STIR_SECONDS
        for line in self._lines.values():
            line.due, line.wait = min(line.due, max(soon, line.looked + STIR_SECONDS)), SOON
        if self._lines:
            self._plan()

    def wake(self) -> None:
        """Note that there is a new message."""
        self.due = 0.0

    def pass_time(self) -> None:
        """Do what can be done now about every message that is under way."""
        now = time.time()
        if self.due is None or self.due > now:
            return
        first: dict[int, MessageRow] = {}
        for message in self._journal.open_messages():
            first.setdefault(message.target, message)
        self._lines = {target: self._lines.get(target, _Line()) for target in first}
        self._has_closed = False
        for target, message in first.items():
            line = self._lines[target]
            line.due = max(line.due, message.not_before)
            if line.due <= now:
                self._step(message, line)
        self._plan()

    def _plan(self) -> None:
        # Behind one that is delivered there may be another.
        self.due = 0.0 if self._has_closed else min((one.due for one in self._lines.values()), default=None)

    def _step(self, message: MessageRow, line: _Line) -> None:
        """Take one step with the oldest message of a reader."""
        line.looked = time.time()
        try:
            reader = self.reader(message.target)
            shown = look(self._session.control, reader.pane)
            if shown is None or shown.facts["pane_dead"] == "1":
                raise GoneError("its pane is gone")
        except NotReadyError as error:
            self._wait(message, line, str(error))
            return
        except GoneError as error:
            state = MessageState.FAILED if message.state is MessageState.QUEUED else MessageState.UNSURE
            self._close(message, state, str(error))
            return
        if message.state is not MessageState.QUEUED and message.place != _place(reader, shown):
            self._close(message, MessageState.UNSURE, "the agent that it was typed for is gone")
            return
        seen = self._seen(message, reader, shown, line)
        step, reason = next_step(message.state, seen)
        if step is Step.WAIT:
            self._wait(message, line, reason)
        elif step in (Step.PASTE, Step.ENTER):
            self._type(step, message, reader, shown, line)
        elif step is Step.CONFIRM:
            self._close(message, MessageState.DELIVERED, "")
        elif step is Step.LOSE:
            self._close(message, MessageState.UNSURE, reason)
        else:
            self._journal.set_message(message.number, MessageState.QUEUED, reason)
            line.due, line.enters = max(line.due, time.time() + SOON), 0

    def reader(self, target: int) -> Reader:
        """Return where messages for a worker, or for the lead, go.

        Raises NotReadyError while that is nowhere, GoneError when it never will be anywhere.
        """
        if target == LEAD:
            return self._lead()
        row = self._journal.worker(target)
        profile = self._profiles.get(row.agent)
        if row.state in (WorkerState.QUEUED, WorkerState.STARTING) or not (row.pane or row.state in ENDED):
            raise NotReadyError("it has not begun")
        if profile is None or profile.input is None:
            raise GoneError("its program has no input box that is known")
        if not row.pane or (row.state in ENDED and row.status is not None):
            raise GoneError(f"it has ended ({row.state})")
        if row.paused:
            raise NotReadyError("it is held")
        if row.checking:
            raise NotReadyError("its check runs")
        if row.state not in ENDED and not has_begun(row):
            raise NotReadyError("it has not begun with its task")
        return Reader(row.pane, profile, self._crew.process_of(row), row)

    def _lead(self) -> Reader:
        self._primary.follow_agent()
        profile, running = self._primary.agent, self._primary.running
        if profile is None or running is None:
            raise NotReadyError("no agent runs in the primary")
        if profile.input is None:
            raise GoneError(f"{profile.title} has no input box that is known")
        return Reader(self._primary.pane, profile, running.pid)

    def _seen(self, message: MessageRow, reader: Reader, shown: Shown, line: _Line) -> Seen:
        """Judge what a pane shows."""
        rows = [row.text.rstrip() for row in styled(shown.rows)]
        shape = reader.profile.input
        box = find_box(shape, shown.rows, shown.cursor, shown.columns) if shape else None
        judged = box.emptied(rows) if box and shape and not shape.framed else rows
        glance = Glance(
            tuple(judged), shown.facts["pane_title"], shown.columns,
            shown.facts["cursor_flag"] == "1", shown.facts["alternate_on"] == "1",
        )  # fmt: skip
        state, is_sure = self._state(reader, glance, line)
        now = time.time()
        line.idle = (line.idle or now) if state is AgentState.IDLE else None
        held = holding(box, message.text, shape) if box and shape else None
        line.gone = None if held in (Held.OURS, Held.MIXED) else (line.gone or now)
        stage, _, key = shown.message.partition("-")
        is_ours = key == message.key and stage in tuple(Stage)
        seen = Seen(
            Stage(stage) if is_ours else Stage.NONE,
            state,
            held,
            is_covered=shown.facts["pane_in_mode"] != "0",
            is_synchronized=shown.facts["pane_synchronized"] == "1",
            is_typed_in=now - shown.active < QUIET_SECONDS,
            is_calm=is_sure or (line.idle is not None and now - line.idle >= IDLE_SETTLE),
            since=now - message.changed,
            gone=now - line.gone if line.gone else 0.0,
            enters=line.enters,
        )
        if message.state is MessageState.QUEUED or held in (Held.OURS, Held.MIXED):
            return seen
        arrived = partial(self._has_arrived, message, reader, box)
        return replace(seen, has_arrived=arrived(rows))

    def _state(self, reader: Reader, glance: Glance, line: _Line) -> tuple[AgentState, bool]:
        """Return what an agent does, and whether it is sure not to go on by itself when it is idle."""
        screen = judge(reader.profile.states, glance)
        if line.pid != reader.pid:
            line.pid, line.record = reader.pid, record_of(reader.profile.name, reader.pid)
        kept = line.record.read() if line.record else None
        for verdict in (screen, kept):
            if verdict is not None and verdict.state in _BUSY:
                return verdict.state, True
        if reader.row is not None and kept is None:
            # What is told by its session file, which only whoever watches its state reads.
            found = read_back(reader.row.shows)
            told = decide(one for source, one in found.items() if source not in ("title", "screen"))
            if told.state in _BUSY:
                return told.state, True
        is_over = reader.row is not None and reader.row.state in ENDED
        return screen.state, is_over or (kept is not None and kept.state is AgentState.IDLE)

    def _has_arrived(
        self, message: MessageRow, reader: Reader, box: FoundBox | None, rows: list[str]
    ) -> bool | None:
        """Return whether a message is in the conversation; None when that is not known for certain."""
        above = rows[: box.start] + rows[box.end :] if box else rows
        sign = mark(message.key)
        if squeezed(sign) in squeezed("".join(above)):
            return True
        if reader.profile.name in _UNREADABLE:
            return None
        found = turn_file(self._search, reader.profile, reader.pid)
        return None if found is None else sign in files.end(found.path)

    def _type(self, step: Step, message: MessageRow, reader: Reader, shown: Shown, line: _Line) -> None:
        """Write down what is about to be done, then do it if the pane is still as it was seen."""
        typist, number = Typist(self._session.control, self._socket), message.number
        if step is Step.PASTE:
            self._journal.begin_message(number, _place(reader, shown))
            act: Callable[[], bool] = partial(typist.paste, reader.pane, shown, message.key, message.text)
        else:
            self._journal.set_message(number, MessageState.ENTERED)
            act = partial(typist.enter, reader.pane, shown, message.key)
        try:
            is_done = act()
        except TmuxGoneError:
            raise
        except TmuxError as error:
            # The pane's own option says next time whether it was done.
            is_done = False
            self._tell(message, line, str(error))
        if step is Step.ENTER and is_done:
            line.enters += 1
        line.gone = None
        if is_done:
            line.due, line.wait = time.time() + SOON / 2, SOON
        else:
            line.due, line.wait = time.time() + line.wait, min(LATE, 2 * line.wait)

    def _wait(self, message: MessageRow, line: _Line, reason: str) -> None:
        """Look again later, each time twice as late; the user is told why when it takes long."""
        now = time.time()
        line.due, line.wait = now + line.wait, min(LATE, 2 * line.wait)
        if line.idle is not None and now - line.idle < IDLE_SETTLE:
            line.due = min(line.due, line.idle + IDLE_SETTLE)
        if not reason or now - max(message.created, message.not_before) < TELL_SECONDS:
            return
        if message.reason != reason:
            self._journal.set_message_reason(message.number, reason)
        self._tell(message, line, reason)

    def _tell(self, message: MessageRow, line: _Line, reason: str) -> None:
        """Tell once why a message waits: what its reader does may change again and again."""
        if reason not in line.told:
            line.told.add(reason)
            self._journal.add_event(Tag.QUEUED, f"message {message.number} for {message.name}: {reason}")

    def _close(self, message: MessageRow, state: MessageState, reason: str) -> None:
        """Write down what became of a message."""
        with self._journal.transaction():
            self._journal.set_message(message.number, state, reason)
            words = f"message {message.number}"
            if state is MessageState.DELIVERED:
                self._journal.add_event(Tag.SENT, f"{words} to {message.name}")
                self.note_delivered(message)
            else:
                fate = (
                    "was not delivered" if state is MessageState.FAILED else "may have been delivered, or not"
                )
                self._journal.add_event(Tag.ERROR, f"{words} for {message.name} {fate}: {reason}")
        self._lines.pop(message.target, None)
        self._has_closed = True


def _place(reader: Reader, shown: Shown) -> str:
    return f"{reader.pane} {shown.facts['pane_pid']} {reader.pid}"
