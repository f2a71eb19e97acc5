"""The crew: starts workers when they may start, sees them end, and tries again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from aiorch import process
from aiorch.config import Config
from aiorch.engine.checks import CHECKING, Checks
from aiorch.engine.columns import Columns
from aiorch.engine.endings import Endings
from aiorch.engine.isolation import Isolation
from aiorch.engine.notify import Notifier
from aiorch.engine.plans import Plans
from aiorch.engine.primary import Primary
from aiorch.engine.records import Records
from aiorch.engine.results import write_result
from aiorch.engine.starting import Starting
from aiorch.engine.turns import in_turn, room
from aiorch.errors import TmuxError
from aiorch.journal import ENDED, DirectiveState, Journal, Tag, WorkerRow, WorkerState
from aiorch.launch.exits import ExitWatcher
from aiorch.launch.local import LocalLauncher
from aiorch.plan.schema import WorkerSpec, unique_name
from aiorch.tmux.session import Session
from aiorch.workers.evidence import with_exit
from aiorch.workers.profile import AgentProfile
from aiorch.workers.state import kind
from aiorch.workers.verdict import exit_words

AGAIN_SECONDS = 1.0
# An agent may still be in the pane of a worker whose turn ended so.
_MAY_STAY = frozenset({WorkerState.DONE, WorkerState.FAILED})
UNKNOWN_DEPTH = 99
_TAGS = {
    WorkerState.DONE: Tag.DONE,
    WorkerState.KILLED: Tag.STOPPED,
    WorkerState.SKIPPED: Tag.SKIPPED,
}


class Crew:
    """The workers of one run; every method is called on the engine's thread only."""

    def __init__(
        self,
        session: Session,
        journal: Journal,
        launcher: LocalLauncher,
        primary: Primary,
        columns: Columns,
        config: Config,
        profiles: Mapping[str, AgentProfile],
        exits: ExitWatcher,
        isolation: Isolation,
    ) -> None:
        self._session, self._journal, self._launcher = session, journal, launcher
        self._isolation = isolation
        self._primary, self._columns, self.config = primary, columns, config
        self._profiles, self._exits = profiles, exits
        self._results = journal.place.path.with_name("results")
        self.notifier = Notifier(session, config)
        self.records = Records(journal, primary, profiles)
        self.checks = Checks(journal, launcher, primary, isolation, config, profiles, exits, self.show_as)
        self.plans = Plans(journal, launcher, self.end)
        self.starting = Starting(
            self, journal, launcher, primary, columns, profiles, exits, isolation
        )  # fmt: skip
        self._endings = Endings(self, session, journal, launcher, profiles, self.records, self.checks)
        # What an earlier engine left is looked at first.
        self._again: float | None = 0.0
        # Whoever looks at the agents in the panes: one begins, one has ended.
        self.observe: Callable[[int], None] = lambda _number: None
        self.unobserve: Callable[[int], None] = lambda _number: None
        self.look_again: Callable[[int], None] = lambda _number: None
        # Whoever tells the lead how a worker ended.
        self.note_end: Callable[[int], None] = lambda _number: None
        # Whoever ends what is still there of an attempt that is over.
        self.tell_to_end: Callable[[WorkerRow], None] = lambda _row: None

    def add(self, directive: int, workers: Sequence[WorkerSpec], depth: int = 1) -> list[str]:
        """Queue the workers of an accepted plan and return their names; one used before gets a number.

        `depth` is 1 for workers of the lead, 2 for workers of those, and so on.
        """
        taken = self._journal.names()
        names: dict[str, str] = {}
        for spec in workers:
            names[spec.name] = unique_name(spec.name, taken)
            taken.add(names[spec.name])
        for spec in workers:
            own = self.config.types.get(spec.type)
            idempotent = spec.idempotent or (own is not None and own.idempotent)
            after = tuple(names.get(name, name) for name in spec.after)
            named = replace(spec, name=names[spec.name], after=after, idempotent=idempotent)
            self._journal.add_worker(directive, named, depth)
        self.look()
        return [names[spec.name] for spec in workers]

    def places_made(self) -> None:
        """Take note of worktrees that are ready, and of workers that get none and so do not start."""
        for row, reason in self._isolation.collect():
            self.fail(row, reason)
        self.look()

    def look(self) -> None:
        """Note that a worker may start now which could not before."""
        self._again = 0.0

    def schedule(self) -> None:
        """Start every worker that may start now, as far as there is room.

        Nothing is looked at until something has changed that can let one start.
        """
        for row in self.checks.act():
            self._endings.settle(row, row.status)
        now = time.time()
        if self._again is None or self._again > now:
            return
        self._again = None
        active = self._journal.active()
        found = room(self._journal, self.config, len(active))
        rows = self._journal.unfinished()
        ready = in_turn([row for row in self.plans.ready(rows) if _may_start(row, now)], active)
        if ready and found.count:
            try:
                if chosen := self.starting.startable(ready[: found.count]):
                    self.starting.launch(chosen)
            except TmuxError:
                # Tried again, and not at once.
                self._again = now + AGAIN_SECONDS
                raise
        later = [row.not_before for row in rows if row.state is WorkerState.QUEUED and row.not_before > now]
        if len(ready) > found.count:
            self._note_queue(len(ready) - found.count, found.reason)
            later += [found.again] if found.again is not None else []
        if self._again is None:
            self._again = min(later, default=None)

    def next_time(self) -> float | None:
        """Return when (seconds since the epoch) a worker may start that may not now."""
        return 0.0 if self.checks.is_waiting else self._again

    def ended(self, pids: Collection[int]) -> None:
        """Take note that processes of workers are gone; what their records say comes first."""
        rows = [row for row in self._journal.active() if row.pid in pids] if pids else []
        if set(pids) - {row.pid for row in rows}:
            self._note_left(pids)
        found = [(row, row.status if row.checking else self._launcher.poll(row.action)) for row in rows]
        with self._journal.transaction():
            for row, status in found:
                if status is not None:
                    self.settle(row, status)
        for row, status in found:
            if status is None:
                self.settle(row, status)

    def await_exit(self, row: WorkerRow) -> None:
        """Have an agent's end told that stays in its pane although its worker is done."""
        self._exits.add(self.process_of(row))

    def process_of(self, row: WorkerRow) -> int:
        """Return the process of a worker itself: a check has its own, which the row names meanwhile."""
        return self._launcher.attach(row.action) or row.pid

    def note_left(self, row: WorkerRow) -> None:
        """Note that the agent of a worker which is done left its pane, and how by its wrapper's record."""
        self.unobserve(row.number)
        status = self._launcher.poll(row.action)
        if status is not None:
            self._note_exit(row, status)
            self._journal.set_worker(row.number, status=status)

    def tidy(self) -> int:
        """Close the panes of all workers that have ended and return how many."""
        return self._columns.tidy(self._journal.panes_of(*ENDED))

    def fold(self, panes: Collection[str]) -> None:
        """Close the panes of workers that were done long ago."""
        if panes:
            self._columns.tidy(panes)

    def show_state(self, row: WorkerRow) -> None:
        """Show the state that a worker has now in its border."""
        working = CHECKING if row.checking else str(row.state)
        self._columns.show_state(row, "paused" if row.paused else working)

    def show_as(self, row: WorkerRow, state: str) -> None:
        """Show a worker's border with a word for its state."""
        self._columns.show_state(row, state)

    def caller(self, pid: int) -> WorkerRow | None:
        """Return the worker that a process comes from, None when that is none, or not known."""
        rows = {row.pid: row for row in self._journal.workers() if process.is_same(row.pid, row.ticks)}
        return next((rows[each] for each in process.ancestry(pid) if each in rows), None)

    def caller_depth(self, pid: int) -> int:
        """Return how deep the worker stands that a process comes from, 0 when it comes from none.

        One that left its worker's processes still has the environment it was started with: how deep that
        stands is not known, and it counts as deeper than any.
        """
        depths = {row.pid: row.depth for row in self._journal.active()}
        callers = process.ancestry(pid)
        found = next((depths[each] for each in callers if each in depths), 0)
        if not found and any("AIORCH_WORKER" in process.environment(each) for each in callers):
            return UNKNOWN_DEPTH
        return found

    def _note_queue(self, waiting: int, reason: str) -> None:
        text = f"{waiting} waiting for a free place ({reason})"
        if self._journal.meta("queue_note") != text:
            self._journal.set_meta("queue_note", text)
            self._journal.add_event(Tag.QUEUED, text)

    def wait(self, row: WorkerRow, what: str, evidence: str) -> None:
        """Note that a worker waits for a person: `what` for.

        The user is told when it begins to wait and when it waits for another kind of thing.
        """
        is_new = row.state is not WorkerState.WAITING
        if not is_new and kind(row.waits) == kind(what):
            # What a dialog says may change each second: a countdown, a command that is still being drawn.
            self._journal.set_worker(row.number, waits=what)
            return
        with self._journal.transaction():
            if is_new:
                columns = self._back(row) if row.state in ENDED else {}
                self._journal.move_worker(row.number, WorkerState.WAITING, evidence, waits=what, **columns)
            else:
                self._journal.set_worker(row.number, waits=what)
            self._journal.add_event(Tag.WAITING, f"{row.name}: {what}")
            self._open_directive(row)
        self._columns.show_state(row, str(WorkerState.WAITING))
        self.notifier.note(row, WorkerState.WAITING, what)

    def work(self, row: WorkerRow, evidence: str, *, has_begun: bool) -> None:
        """Note that a worker that waited, or whose turn was over, works; `has_begun` on its task."""
        with self._journal.transaction():
            columns = self._back(row) if row.state in ENDED else {"held": row.held + self._idle_time(row)}
            self._journal.move_worker(
                row.number, WorkerState.WORKING, evidence, waits="", worked=has_begun, **columns
            )
            self._open_directive(row)
        self._columns.show_state(row, str(WorkerState.WORKING))

    def end_turn(self, row: WorkerRow, evidence: str) -> None:
        """Note that an agent which stays in its pane is through with what it was told."""
        self._endings.end_turn(row, evidence)

    def with_own_process(self, row: WorkerRow) -> WorkerRow:
        """Return a worker with its own process: the row may name that of its check."""
        pid = self.process_of(row)
        if pid == row.pid or row.action not in process.command_line(pid):
            return row
        return row._replace(pid=pid, ticks=process.start_ticks(pid) or 0)

    def _back(self, row: WorkerRow) -> dict[str, object]:
        """Return what else changes for a worker that had ended, and whose agent goes on."""
        own = self.with_own_process(row)
        held = row.held + self._idle_time(row)
        return {"pid": own.pid, "ticks": own.ticks, "reason": "", "held": held}

    def _idle_time(self, row: WorkerRow) -> float:
        """Return for how long (seconds) a worker has waited or had ended: no limit counts that."""
        is_idle = row.state is WorkerState.WAITING or row.state in ENDED
        return max(0.0, time.time() - self._journal.state_since(row.number)) if is_idle else 0.0

    def _open_directive(self, row: WorkerRow) -> None:
        if row.state in ENDED:
            # It was done, and goes on by what the user said to it.
            self._journal.set_worker(row.number, ended=None, collected=0)
            self._journal.set_directive(row.directive, DirectiveState.RUNNING)

    def settle(self, row: WorkerRow, status: int | None) -> None:
        """Decide what the end of an attempt means; `status` is what its wrapper recorded, if anything."""
        stays = row.checking and row.status is None and self._launcher.poll(row.action) is None
        if not stays:
            self.unobserve(row.number)
        if status is not None and not row.checking:
            self._note_exit(row, status)
        self._endings.settle(row, status)
        if stays:
            self.look_again(row.number)

    def _note_left(self, pids: Collection[int]) -> None:
        for row in self._journal.workers():
            if row.state in _MAY_STAY and row.status is None and self.process_of(row) in pids:
                self.note_left(row)

    def _note_exit(self, row: WorkerRow, status: int) -> None:
        words = exit_words(status, self._profiles.get(row.agent))
        self._journal.set_worker(row.number, shows=with_exit(row.shows, words, time.time()))

    def come_back(self, row: WorkerRow, evidence: str) -> None:
        """Queue a worker again that a rate limit held, in its agent's session if it has one."""
        with self._journal.transaction():
            self.queue_again(row, evidence, not_before=row.not_before, resumes=bool(row.session))
            self._journal.add_event(Tag.QUEUED, f"{row.name}: {row.reason}")
        self._columns.show_state(row, "parked")

    def queue_again(
        self,
        row: WorkerRow,
        evidence: str,
        *,
        not_before: float = 0.0,
        resumes: bool = False,
        failures: int | None = None,
    ) -> None:
        """Queue another attempt because of `evidence`; with `resumes` it goes on with the agent's session.

        `failures` is how many attempts have failed by now, None for as many as before.
        """
        self.unobserve(row.number)
        left = self.with_own_process(row)
        if left.pid and self._launcher.is_there(left.action, left.pid, left.ticks):
            # Its agent stayed in its pane: there are not to be two.
            self.tell_to_end(left)
        self._journal.move_worker(
            row.number,
            WorkerState.QUEUED,
            evidence,
            attempt=row.attempt + 1,
            not_before=not_before,
            reason="",
            result="",
            status=None,
            pid=0,
            ticks=0,
            resumes=resumes,
            failures=row.failures if failures is None else failures,
            held=0,
            shows="[]",
            waits="",
            worked=False,
            checking=0,
            source="",
            changes="{}",
            collected=0,
        )
        self.look()

    def fail(self, row: WorkerRow, reason: str) -> None:
        """Note that a worker failed, for a reason that is not its exit status."""
        # A cause may come with a list of what to do; the event log gets its sentence.
        self.end(row, WorkerState.FAILED, None, reason.partition("\n")[0])

    def end(
        self, row: WorkerRow, state: WorkerState, status: int | None, reason: str, evidence: str = ""
    ) -> None:
        """Write down how a worker ended, and close its directive when it was the last one.

        `evidence` is what showed it, when the reason does not say that.
        """
        with self._journal.transaction():
            self._journal.move_worker(
                row.number,
                state,
                evidence or reason,
                status=status,
                reason=reason,
                waits="",
                checking=0,
                ended=time.time(),
            )
            self._journal.add_event(
                _TAGS.get(state, Tag.FAILED), f"{row.name}: {reason}" if reason else row.name
            )
            self._close_directive(row.directive)
            self.note_end(row.number)
        write_result(self._journal.worker(row.number), self._results)
        self._isolation.ended(row)
        self._columns.show_state(row, str(state))
        self.notifier.note(row, state, reason)
        self.look()

    def _close_directive(self, number: int) -> None:
        if not self._journal.is_open(number):
            self._journal.set_directive(number, DirectiveState.DONE)


def _may_start(row: WorkerRow, now: float) -> bool:
    return row.state is WorkerState.QUEUED and not row.paused and row.not_before <= now
