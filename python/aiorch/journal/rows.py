"""What a journal holds: directives, workers and events, and the states they go through."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class DirectiveState(StrEnum):
    """What became of a directive."""

    ASKING = "asking"
    RUNNING = "running"
    DONE = "done"
    DECLINED = "declined"
    REJECTED = "rejected"
    IGNORED = "ignored"


class WorkerState(StrEnum):
    """Where a worker is in its life."""

    QUEUED = "queued"
    STARTING = "starting"
    WORKING = "working"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    KILLED = "killed"
    LOST = "lost"
    SKIPPED = "skipped"


ACTIVE = frozenset({WorkerState.STARTING, WorkerState.WORKING, WorkerState.WAITING})
ENDED = frozenset(
    {
        *(WorkerState.DONE, WorkerState.FAILED, WorkerState.KILLED),
        *(WorkerState.LOST, WorkerState.SKIPPED),
    }
)


class MessageState(StrEnum):
    """How far a message has come.

    `typing`: it stands in an input box, or is about to; `entered`: it was sent off, and nothing says yet that
    its reader has it. What is `shown` is in the event log only: there is no box that it could go to. Of one
    that is `unsure` nobody knows.
    """

    QUEUED = "queued"
    TYPING = "typing"
    ENTERED = "entered"
    DELIVERED = "delivered"
    SHOWN = "shown"
    FAILED = "failed"
    UNSURE = "unsure"


OPEN = frozenset({MessageState.QUEUED, MessageState.TYPING, MessageState.ENTERED})


class Tag(StrEnum):
    """The words that begin a line of the event log."""

    LISTENING = "LISTENING"
    RECEIVED = "RECEIVED"
    ASKING = "ASKING"
    SPAWNING = "SPAWNING"
    SPAWNED = "SPAWNED"
    WAITING = "WAITING"
    CHECKING = "CHECKING"
    QUEUED = "QUEUED"
    DONE = "DONE"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    RETRYING = "RETRYING"
    PAUSED = "PAUSED"
    RESUMED = "RESUMED"
    IGNORED = "IGNORED"
    ERROR = "ERROR"
    WORKERS = "WORKERS"
    STOPPED = "STOPPED"
    ISOLATED = "ISOLATED"
    OVERLAP = "OVERLAP"
    MERGED = "MERGED"
    DISCARDED = "DISCARDED"
    COLLECTED = "COLLECTED"
    MESSAGE = "MESSAGE"
    SENT = "SENT"


class Event(NamedTuple):
    """One line of the event log; `time` is seconds since the epoch."""

    number: int
    time: float
    tag: Tag
    text: str


class WorkerRow(NamedTuple):
    """One worker as the journal has it; times are seconds since the epoch.

    `ticks` is the kernel's start mark: with the pid it names one process and no later one. `session` is the
    agent's own session, which the present attempt goes on with when it `resumes`. `paused` is since when it
    is held, 0 when it is not, and `held` for how many seconds it was before. Workers of the lead have `depth`
    1, workers of those 2. `shows` is what shows the state of its agent, as JSON; `waits` is what a waiting
    one waits for; one that `worked` was seen at work in this attempt. `on_failure` says what follows when a
    worker before it fails. `checking` is since when its check runs, 0 when none does; pid and ticks are those
    of the check then. `directory` is where the present attempt runs, `record` is its agent's own session
    file, as JSON (`{}`: not known), `source` where the result comes from: file, transcript or screen.
    `failures` are the attempts that failed since it was begun or the user tried it again. `collected` is when
    somebody fetched its result, 0 while nobody has.
    """

    number: int
    directive: int
    name: str
    type: str
    agent: str
    task: str
    after: tuple[str, ...]
    state: WorkerState
    reason: str
    attempt: int
    not_before: float
    pane: str
    pid: int
    status: int | None
    result: str
    created: float
    started: float | None
    ended: float | None
    ticks: int = 0
    idempotent: bool = False
    session: str = ""
    resumes: bool = False
    paused: float = 0.0
    held: float = 0.0
    depth: int = 1
    shows: str = "[]"
    waits: str = ""
    worked: bool = False
    on_failure: str = "skip"
    checking: float = 0.0
    directory: str = ""
    record: str = "{}"
    source: str = ""
    changes: str = "{}"
    failures: int = 0
    collected: float = 0.0

    @property
    def action(self) -> str:
        """Return the id of the present attempt, as it stands in tmux and in the run directory."""
        return f"w{self.number}-{self.attempt}"


class MessageRow(NamedTuple):
    """One message as the journal has it; times are seconds since the epoch.

    `target` is the number of the worker that it is for, 0 for the lead. `origin` is `user`, `lead`, `report`
    or the name of a worker. `key` tells it from all other messages, in its text and in tmux. `reason` says
    why it waits or what became of it, `tries` how often it was typed, `place` the pane and its processes
    where that was. It is not typed before `not_before`.
    """

    number: int
    key: str
    target: int
    name: str
    origin: str
    text: str
    state: MessageState
    reason: str
    place: str
    tries: int
    created: float
    changed: float
    not_before: float


class Transition(NamedTuple):
    """One step in a worker's life, and what showed it; `time` is seconds since the epoch."""

    number: int
    time: float
    worker: int
    attempt: int
    state: WorkerState
    evidence: str


class Decision(NamedTuple):
    """One step in what became of a directive, and why; `time` is seconds since the epoch."""

    number: int
    time: float
    directive: int
    state: DirectiveState
    reason: str


Happening = Event | Transition | Decision


class DirectiveRow(NamedTuple):
    """One directive as the journal has it."""

    number: int
    source: str
    position: str
    received_as: str
    payload: Mapping[str, object]
    user_id: str | None
    state: DirectiveState
    reason: str
    plan: str
    created: float
