"""What the agents in the workers' panes are doing, by all evidence there is, and what that means."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

from aiorch import disk, process
from aiorch.config import Config
from aiorch.engine.crew import Crew
from aiorch.engine.lookout import Lookout, Subject
from aiorch.engine.search import Search
from aiorch.engine.turn_end import TurnFile, turn_file
from aiorch.errors import AiorchError
from aiorch.journal import ACTIVE, ENDED, Journal, WorkerRow, WorkerState
from aiorch.workers.evidence import Evidence, decide, lacks_words, read_back, settle_seconds, written
from aiorch.workers.profile import AgentProfile, effective_mode
from aiorch.workers.record import Record, record_of
from aiorch.workers.reset import reset_time
from aiorch.workers.session_state import session_state
from aiorch.workers.state import AgentState, Verdict
from aiorch.workers.state_rules import StateRules
from aiorch.workers.turn import SOURCE as SESSION

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
"""How long what an agent's record says waits for the look at its screen that it gives rise to."""

_BUSY = frozenset({AgentState.WORKING, AgentState.WAITING})
_MAY_CHANGE = frozenset({*ACTIVE, WorkerState.DONE, WorkerState.FAILED})
# What is asked in the midst of a task; a login, the trust in a folder or an update come before it.
_AT_WORK = ("permission", "plan approval")


@dataclass(slots=True)
class _Watched:
    """One worker that is looked at; `found` holds the last verdict of each source.

    `stands` is what all together say, and since when; `applied` is the one that the worker's state goes by.
    `held` is until when nothing counts, since its screen is being looked at (seconds since the epoch).
    `turn` is its session file, while that says of the last turn that it is not at its own end; `unanswered`
    while it is idle, was never seen at its task, and has said nothing.
    """

    interactive: bool
    is_done: bool
    record: Record | None
    found: dict[str, Evidence]
    stands: Evidence | None = None
    applied: Verdict | None = None
    held: float = 0.0
    turn: TurnFile | None = None
    unanswered: TurnFile | None = None


_P = ParamSpec("_P")


def _alone(
    step: Callable[Concatenate[States, int, _Watched, _P], None],
) -> Callable[Concatenate[States, int, _Watched, _P], None]:
    """Let what goes wrong with one worker's evidence, which its agent may write, cost that look only."""

    @wraps(step)
    def guarded(self: States, number: int, one: _Watched, /, *args: _P.args, **named: _P.kwargs) -> None:
        try:
            step(self, number, one, *args, **named)
        except (AiorchError, sqlite3.Error):
            raise
        except Exception as error:
            if disk.is_refusal(error):
                raise
            log.exception("what worker %d shows cannot be judged", number)
            # Nothing is due that would fail at once again.
            one.stands = None

    return guarded


class States:
    """Keeps every worker's state true to what its agent shows; used on the engine's thread only."""

    def __init__(
        self,
        crew: Crew,
        journal: Journal,
        config: Config,
        profiles: Mapping[str, AgentProfile],
    ) -> None:
        self._crew, self._journal = crew, journal
        self.config, self._profiles = config, profiles
        self._lookout: Lookout | None = None
        self._watched: dict[int, _Watched] = {}
        self._search = Search()
        crew.observe, crew.unobserve, crew.look_again = self._observe, self._forget, self._look_again
        self.follow: Callable[[], None] = lambda: None
        self.park: Callable[[WorkerRow, datetime], None] = lambda _row, _until: None

    def begin(self, lookout: Lookout) -> None:
        """Look at all workers that are there; later ones are looked at from their start on."""
        self._lookout = lookout
        for row in self._journal.workers():
            if row.state in ACTIVE:
                self._observe(row.number)
            elif row.state in (WorkerState.DONE, WorkerState.FAILED) and row.status is None and row.pid:
                self._take_up_ended(row)

    def look_anew(self) -> None:
        """Look at all of them again: what was asked of a tmux client that is gone was not answered."""
        if self._lookout is not None:
            self._lookout.look_anew()

    @property
    def watched(self) -> tuple[list[Path], list[Path]]:
        """Return the folders of agents' records to watch, and how the paths of interest in them begin."""
        records = [one.record for one in self._watched.values() if one.record]
        places = [place for record in records if (place := record.place()) is not None]
        files = [file.path for one in self._watched.values() for file in (one.turn, one.unanswered) if file]
        places += [(path.parent, path) for path in files]
        return [folder for folder, _ in places], [name for _, name in places]

    def look(self) -> None:
        """Take what was seen."""
        for sight in self._lookout.take() if self._lookout else ():
            one = self._watched.get(sight.worker)
            if one is not None:
                one.held = 0.0
                self._take(sight.worker, one, sight.verdicts, sight.time, instead=("title", "screen"))
                if self._lookout and one.stands and lacks_words(one.stands.verdict) and self._due(one):
                    self._lookout.look_at(sight.worker, at_once=True)

    def read_records(self) -> None:
        """Take what the agents' own records say now."""
        for number, one in list(self._watched.items()):
            self._read_records(number, one)

    @_alone
    def _read_records(self, number: int, one: _Watched) -> None:
        if one.turn is not None:
            self._take_turn(number, one, one.turn, one.turn.read())
        if one.unanswered is not None:
            one.applied = None
            self._apply(number, one, time.time())
        verdict = one.record.read() if one.record else None
        if verdict is None:
            return
        now, last = time.time(), one.found.get(verdict.source)
        is_new = last is None or last.verdict.state is not verdict.state
        if self._lookout and is_new:
            waits = verdict.state is AgentState.WAITING
            # A dialog is there already, or soon.
            one.held = 0.0 if waits else now + LOOK_SECONDS
            self._lookout.look_at(number, at_once=waits)
        # What its screen showed before is over.
        self._take(number, one, [verdict], now, instead=("screen",) if is_new else ())

    def next_time(self) -> float | None:
        """Return when (seconds since the epoch) something has stood long enough to count."""
        due = [at for one in self._watched.values() if (at := self._due(one)) is not None]
        return min(due, default=None)

    def pass_time(self) -> None:
        """Do what is due."""
        now = time.time()
        for number, one in list(self._watched.items()):
            at = self._due(one)
            if at is not None and at <= now:
                self._apply(number, one, now)

    def _observe(self, number: int) -> None:
        if self._lookout is None:
            return
        row = self._journal.worker(number)
        # A check of the worker may have a process of its own.
        pid = self._crew.process_of(row)
        tty = _tty_of(pid)
        if not tty:
            return
        # One that is about to begin still has the server's own standard input.
        tty = self._lookout.tty_of(row.pane) or tty
        profile = self._profiles.get(row.agent)
        rules = profile.states if profile else StateRules()
        record = _session_of(row) or (record_of(profile.name, pid) if profile else None)
        interactive, is_done = self._is_interactive(row, profile), row.state in ENDED
        found = read_back(row.shows)
        # Its file is read again when it seems to be through.
        found.pop(SESSION, None)
        self._watched[number] = _Watched(interactive, is_done, record, found)
        self._lookout.watch(Subject(number, row.pane, tty, rules))
        self.follow()

    def _look_again(self, number: int) -> None:
        """Let what an agent shows count that did not while its worker was held or checked."""
        one = self._watched.get(number)
        if one is not None and self._lookout is not None:
            one.applied, one.is_done = None, self._journal.worker(number).state in ENDED
            self._lookout.look_at(number, at_once=True)

    def learn(self, number: int) -> None:
        """Take note that a worker's session file is known."""
        one = self._watched.get(number)
        if one is None:
            return
        if one.record is None:
            one.record = _session_of(self._journal.worker(number))
            self.follow()
            self.read_records()
        # It may tell that an idle agent has answered.
        one.applied = None
        self._apply(number, one, time.time())

    def _forget(self, number: int) -> None:
        if self._watched.pop(number, None) is not None and self._lookout is not None:
            self._lookout.forget(number)
            self.follow()

    def _take_up_ended(self, row: WorkerRow) -> None:
        """Look at the agent of a worker that has ended, which is still in its pane or left it meanwhile."""
        pid = self._crew.process_of(row)
        if _tty_of(pid) and row.action in process.command_line(pid):
            self._observe(row.number)
            self._crew.await_exit(row)
        else:
            self._crew.note_left(row)

    def _is_interactive(self, row: WorkerRow, profile: AgentProfile | None) -> bool:
        if profile is None:
            return False
        mode, permission = self.config.mode_of(row.type), self.config.permission_of(row.type)
        return effective_mode(profile, mode, permission) == "interactive"

    @_alone
    def _take(
        self,
        number: int,
        one: _Watched,
        verdicts: Sequence[Verdict],
        now: float,
        *,
        instead: Sequence[str] = (),
    ) -> None:
        """Take what sources say now, `instead` of what some said before."""
        before = one.found
        one.found = {source: last for source, last in before.items() if source not in instead}
        for verdict in verdicts:
            one.found[verdict.source] = _dated(verdict, before.get(verdict.source), now)
            if verdict.state in _BUSY and verdict.source != SESSION:
                # It works again: what the last turn ended with is over.
                one.found.pop(SESSION, None)
                self._follow_turn(one, None)
                self._follow_unanswered(one, None)
        if one.found != before:
            self._journal.set_worker(number, shows=written(one.found.values()))
        one.stands = _dated(decide(one.found.values()), one.stands, now)
        self._apply(number, one, now)

    def _due(self, one: _Watched) -> float | None:
        """Return when what stands counts (seconds since the epoch), None when it does not or did already."""
        if one.stands is None or one.stands.verdict == one.applied:
            return None
        settle = settle_seconds(one.stands.verdict, interactive=one.interactive, is_done=one.is_done)
        return None if settle is None else max(one.stands.since + settle, one.held)

    @_alone
    def _apply(self, number: int, one: _Watched, now: float) -> None:
        at = self._due(one)
        if at is None or at > now or one.stands is None:
            return
        row = self._journal.worker(number)
        if row.paused or row.checking or (row.state in ACTIVE and row.reason):
            # One that is held shows nothing new; one that was told to end comes to its end.
            one.applied = one.stands.verdict
            return
        until = self._parked_until(row, one.stands.verdict)
        if until is not None:
            one.applied = one.stands.verdict
            self.park(row, until)
            return
        if self._may_have_begun(row, one, one.stands.verdict):
            row = self._begun_unseen(row, one)
        # How a turn ended, or in which words it failed, stands in full in the session file.
        failed = one.stands.verdict.state is AgentState.ERROR and one.interactive
        if SESSION not in one.found and (failed or self._ends_turn(row, one, one.stands.verdict)):
            turn = turn_file(self._search, self._profiles[row.agent], self._crew.process_of(row))
            verdict = turn.read() if turn else None
            if turn and verdict:
                self._take_turn(number, one, turn, verdict)
                return
        one.applied = one.stands.verdict
        self._bring(row, one, one.stands.verdict)
        one.is_done = self._journal.worker(number).state in ENDED

    def _parked_until(self, row: WorkerRow, verdict: Verdict) -> datetime | None:
        """Return until when a worker is to make room, None when no rate limit holds it or nobody parks."""
        if self.config.rate_limit != "park" or row.state not in ACTIVE:
            return None
        is_held = verdict.state is AgentState.WAITING
        return reset_time(verdict.reason, datetime.now().astimezone()) if is_held else None

    def _take_turn(self, number: int, one: _Watched, turn: TurnFile, verdict: Verdict | None) -> None:
        """Take what a session file says of the last turn, and follow it while that is not at its own end."""
        self._follow_turn(one, turn if verdict else None)
        self._take(number, one, [verdict] if verdict else [], time.time(), instead=(SESSION,))

    def _follow_turn(self, one: _Watched, turn: TurnFile | None) -> None:
        if one.turn != turn:
            one.turn = turn
            self.follow()

    def _may_have_begun(self, row: WorkerRow, one: _Watched, verdict: Verdict) -> bool:
        is_idle = verdict.state is AgentState.IDLE and one.interactive
        return is_idle and not has_begun(row) and row.state in ACTIVE and row.agent in self._profiles

    def _begun_unseen(self, row: WorkerRow, one: _Watched) -> WorkerRow:
        """Return an idle worker that was never seen at its task, as begun when it has answered.

        A turn may be over before anybody looks (Claude Code 2.1.330: within 0.1 s of a model that is quick).
        """
        file = turn_file(self._search, self._profiles[row.agent], self._crew.process_of(row))
        has_answer = file is not None and file.has_answer(row)
        self._follow_unanswered(one, None if has_answer else file)
        if not has_answer:
            return row
        self._journal.set_worker(row.number, worked=True)
        return self._journal.worker(row.number)

    def _follow_unanswered(self, one: _Watched, file: TurnFile | None) -> None:
        if one.unanswered != file:
            one.unanswered = file
            self.follow()

    def _ends_turn(self, row: WorkerRow, one: _Watched, verdict: Verdict) -> bool:
        is_idle = verdict.state is AgentState.IDLE and one.interactive
        return is_idle and has_begun(row) and row.state in ACTIVE

    def _bring(self, row: WorkerRow, one: _Watched, verdict: Verdict) -> None:
        """Bring a worker into the state that a verdict means."""
        if row.state not in _MAY_CHANGE:
            return
        state, shown = verdict.state, f"{verdict.rule} {verdict.reason}".strip()
        if state is AgentState.WAITING or (state is AgentState.ERROR and one.interactive):
            what = verdict.reason or "a person"
            what = f"error: {what}" if state is AgentState.ERROR else what
            if (row.state, row.waits) != (WorkerState.WAITING, what):
                self._crew.wait(row, what, shown)
        elif self._ends_turn(row, one, verdict):
            self._crew.end_turn(row, shown)
        elif row.state is WorkerState.WAITING or (
            state is AgentState.WORKING and (row.state in ENDED or not row.worked)
        ):
            self._crew.work(row, shown, has_begun=has_begun(row) or state is AgentState.WORKING)


def has_begun(row: WorkerRow) -> bool:
    """Return whether an agent was seen at its task; it may ask about other things before that."""
    return row.worked or (row.state is WorkerState.WAITING and row.waits.startswith(_AT_WORK))


def _session_of(row: WorkerRow) -> Record | None:
    """Return what reads the state from a worker's session file, None while that is not known."""
    found = json.loads(row.record)
    return session_state(found["format"], Path(found["path"]), found["session"]) if found else None


def _dated(verdict: Verdict, last: Evidence | None, now: float) -> Evidence:
    """Return a verdict with since when its state stands."""
    return Evidence(verdict, last.since if last and last.verdict.state is verdict.state else now)


def _tty_of(pid: int) -> str:
    """Return the terminal that a worker's wrapper was started on, '' when it is gone."""
    try:
        return str(Path(f"/proc/{pid}/fd/0").readlink())
    except OSError:
        return ""
