"""The crew: starts workers when they may start, sees them end, and tries again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from aiorch import disk, process
from aiorch.config import Config
from aiorch.engine.columns import Columns, Slot
from aiorch.engine.notify import Notifier
from aiorch.engine.order import Batch, Order, order_of
from aiorch.engine.primary import Primary
from aiorch.engine.turns import in_turn, room
from aiorch.errors import AiorchError, DiskError, TmuxError
from aiorch.journal import ENDED, DirectiveState, Journal, Tag, WorkerRow, WorkerState
from aiorch.launch.exits import ExitWatcher
from aiorch.launch.local import LocalLauncher
from aiorch.plan.schema import WorkerSpec, unique_name
from aiorch.tmux.session import Placed, Session, Spawn
from aiorch.workers.evidence import with_exit
from aiorch.workers.profile import AgentProfile

STOPPED = "stopped by the user"
MAX_DELAY = 3600.0
AGAIN_SECONDS = 1.0
UNKNOWN_DEPTH = 99
SUMMARY_LENGTH = 200
_PATH = "/usr/local/bin:/usr/bin:/bin"


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
    ) -> None:
        self._session, self._journal, self._launcher = session, journal, launcher
        self._primary, self._columns, self.config = primary, columns, config
        self._profiles, self._exits = profiles, exits
        self.notifier = Notifier(session, config)
        # What an earlier engine left is looked at first.
        self._again: float | None = 0.0
        # Whoever looks at the agents in the panes: one begins, one has ended.
        self.observe: Callable[[int], None] = lambda _number: None
        self.unobserve: Callable[[int], None] = lambda _number: None

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
            after = tuple(names[name] for name in spec.after)
            named = replace(spec, name=names[spec.name], after=after, idempotent=idempotent)
            self._journal.add_worker(directive, named, depth)
        self.look()
        return [names[spec.name] for spec in workers]

    def look(self) -> None:
        """Note that a worker may start now which could not before."""
        self._again = 0.0

    def schedule(self) -> None:
        """Start every worker that may start now, as far as there is room.

        Nothing is looked at until something has changed that can let one start.
        """
        now = time.time()
        if self._again is None or self._again > now:
            return
        self._again = None
        active = self._journal.active()
        found = room(self._journal, self.config, len(active))
        rows = self._journal.unfinished()
        by_name = {row.name: row for row in rows}
        by_name |= self._journal.named({name for row in rows for name in row.after} - set(by_name))
        self._drop_hopeless(rows, by_name)
        ready = in_turn([row for row in rows if _may_start(row, by_name, now)], active)
        if ready and found.count:
            try:
                self._launch(ready[: found.count])
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
        return self._again

    def ended(self, pids: Collection[int]) -> None:
        """Take note that processes of workers are gone; what their records say comes first."""
        rows = [row for row in self._journal.active() if row.pid in pids] if pids else []
        if set(pids) - {row.pid for row in rows}:
            self._note_left(pids)
        found = [(row, self._launcher.poll(row.action)) for row in rows]
        with self._journal.transaction():
            for row, status in found:
                if status is not None:
                    self.settle(row, status)
        for row, status in found:
            if status is None:
                self.settle(row, status)

    def await_exit(self, row: WorkerRow) -> None:
        """Have an agent's end told that stays in its pane although its worker is done."""
        self._exits.add(row.pid)

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
        self._columns.show_state(row, "paused" if row.paused else str(row.state))

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

    def _drop_hopeless(self, rows: Sequence[WorkerRow], by_name: Mapping[str, WorkerRow]) -> None:
        for row in rows:
            # One that is lost may still be run again.
            hopeless = ENDED - {WorkerState.DONE, WorkerState.LOST}
            broken = [name for name in row.after if by_name[name].state in hopeless]
            if row.state is WorkerState.QUEUED and broken:
                self.end(row, WorkerState.FAILED, None, f"{broken[0]} did not finish")

    def _note_queue(self, waiting: int, reason: str) -> None:
        text = f"{waiting} waiting for a free place ({reason})"
        if self._journal.meta("queue_note") != text:
            self._journal.set_meta("queue_note", text)
            self._journal.add_event(Tag.QUEUED, text)

    def _launch(self, rows: Sequence[WorkerRow]) -> None:
        variables, directory = self._primary.environment(), self._primary.working_directory()
        batch = Batch(partial(self._begin, rows, variables.get("PATH", _PATH)))
        slots = [Slot(row, partial(self._prepare, row, batch, variables, directory)) for row in rows]
        done = self._journal.panes_of(WorkerState.DONE)
        try:
            outcomes = self._columns.place(slots, done)
        finally:
            for number in batch.left:
                self._journal.move_worker(number, WorkerState.QUEUED, "no process: tmux refused others")
        started = []
        now = time.time()
        with self._journal.transaction():
            for row in rows:
                place = outcomes.get(row.number)
                if isinstance(place, Placed):
                    started.append((row, place))
                    self.note_start(row, place, now)
                elif place is not None:
                    self.fail(row, str(place))
        self.label(started)
        for _, place in started:
            self._exits.add(place.pid)

    def _begin(self, rows: Sequence[WorkerRow], path: str) -> dict[int, Order]:
        """Write down that these attempts begin, and return what they take; fail those that cannot.

        All of it is on the disk before the first of them runs: a power cut must not make them run twice.
        """
        orders = {}
        with self._journal.transaction(durable=True):
            for row in rows:
                file = self._launcher.task_file(row.action)
                try:
                    order = order_of(row, self.config, self._profiles, path=path, file=file)
                except AiorchError as error:
                    self.fail(row, str(error))
                    continue
                orders[row.number] = order
                columns = {"agent": order.profile.name, "reason": "", "session": order.session}
                self._journal.move_worker(row.number, WorkerState.STARTING, "a place is free", **columns)
        return orders

    def note_start(self, row: WorkerRow, place: Placed, now: float, *, known: bool = True) -> None:
        """Write down that an attempt runs; `known` says that the process is sure to be its own."""
        ticks = (process.start_ticks(place.pid) or 0) if known else 0
        columns = {"pane": place.pane, "pid": place.pid, "ticks": ticks, "started": now, "ended": None}
        evidence = f"process {place.pid} in pane {place.pane}"
        self._journal.move_worker(row.number, WorkerState.WORKING, evidence, **columns)
        self._journal.add_event(Tag.SPAWNED, f"{row.name} in pane {place.pane}")

    def _prepare(
        self, row: WorkerRow, batch: Batch, variables: Mapping[str, str], directory: str
    ) -> Spawn | None:
        """Write the files of an attempt that begins; None when it cannot be started."""
        order = batch.take(row.number)
        if order is None:
            return None
        try:
            return Spawn(*self._launcher.start(order.job(row, variables, directory)))
        except OSError as error:
            if disk.is_refusal(error):
                raise DiskError(f"the files of {row.name} cannot be written: {error}") from error
            self.fail(row, f"its files cannot be written: {error}")
            return None

    def label(self, workers: Sequence[tuple[WorkerRow, Placed]]) -> None:
        """Name the panes of workers, and let their wrappers know that the panes will stay."""
        self._columns.label(workers)
        for row, _ in workers:
            self._launcher.mark_labelled(row.action)
            self.observe(row.number)

    def wait(self, row: WorkerRow, what: str, evidence: str) -> None:
        """Note that a worker waits for a person: `what` for."""
        is_new = row.state is not WorkerState.WAITING
        with self._journal.transaction():
            if is_new:
                self._journal.move_worker(row.number, WorkerState.WAITING, evidence, waits=what)
            else:
                self._journal.set_worker(row.number, waits=what)
            self._journal.add_event(Tag.WAITING, f"{row.name}: {what}")
            self._open_directive(row)
        self._columns.show_state(row, str(WorkerState.WAITING))
        self.notifier.note(row, WorkerState.WAITING, what)

    def work(self, row: WorkerRow, evidence: str) -> None:
        """Note that a worker that waited, or whose turn was over, works."""
        with self._journal.transaction():
            self._journal.move_worker(row.number, WorkerState.WORKING, evidence, waits="", worked=True)
            self._open_directive(row)
        self._columns.show_state(row, str(WorkerState.WORKING))

    def end_turn(self, row: WorkerRow, evidence: str) -> None:
        """Note that an agent which stays in its pane is through with what it was told."""
        self._finish(row, None, evidence)

    def _open_directive(self, row: WorkerRow) -> None:
        if row.state in ENDED:
            # It was done, and goes on by what the user said to it.
            self._journal.set_worker(row.number, ended=None)
            self._journal.set_directive(row.directive, DirectiveState.RUNNING)

    def settle(self, row: WorkerRow, status: int | None) -> None:
        """Decide what the end of an attempt means; `status` is what its wrapper recorded, if anything."""
        self.unobserve(row.number)
        reason, source = _exit_reason(status), "by its record"
        if status is not None:
            self._note_exit(row, status)
        if status is None and self._session.pane(row.pane) is None:
            self.end(row, WorkerState.KILLED, None, row.reason or "its pane was closed", "no record, no pane")
            return
        if status is None:
            status, reason = self._ask_tmux(row)
            source = "by tmux" if status is not None else ""
        evidence = f"{reason} {source}".rstrip()
        if row.reason:
            # Told to end, whatever it says then: by the user it is killed, by its time limit it failed.
            state = WorkerState.KILLED if row.reason == STOPPED else WorkerState.FAILED
            self.end(row, state, status, row.reason, f"{row.reason}: {evidence}")
        elif status == 0:
            self._finish(row, status, evidence)
        elif row.attempt <= self.config.retries:
            with self._journal.transaction():
                self._note_failure(row, status, reason)
                again = time.time() + self._delay(row)
                self.queue_again(self._journal.worker(row.number), evidence, not_before=again)
            self._columns.show_state(row, "failed")
        else:
            self.end(row, WorkerState.FAILED, status, reason, evidence)

    def _note_left(self, pids: Collection[int]) -> None:
        for row in self._journal.workers():
            if row.state is WorkerState.DONE and row.status is None and row.pid in pids:
                self.note_left(row)

    def _note_exit(self, row: WorkerRow, status: int) -> None:
        self._journal.set_worker(row.number, shows=with_exit(row.shows, _exit_reason(status), time.time()))

    def _ask_tmux(self, row: WorkerRow) -> tuple[int | None, str]:
        """Return (status, reason) of a worker whose wrapper left no record: it was killed itself."""
        try:
            status, signal = self._session.exit_status(row.pane)
        except TmuxError:
            status, signal = None, None
        if signal is not None:
            status = 128 + signal
        return status, "ended without a record" if status is None else _exit_reason(status)

    def _finish(self, row: WorkerRow, status: int | None, evidence: str) -> None:
        result = self._launcher.result(row.action) or self._last_words(row)
        with self._journal.transaction():
            self._journal.set_worker(row.number, result=result)
            self.end(row, WorkerState.DONE, status, "", evidence)

    def _last_words(self, row: WorkerRow) -> str:
        try:
            lines = [line.strip() for line in self._session.last_picture(row.pane).splitlines()]
        except TmuxError:
            return ""
        words = [line for line in lines if line]
        return words[-1][:SUMMARY_LENGTH] if words else ""

    def _note_failure(self, row: WorkerRow, status: int | None, reason: str) -> None:
        self._journal.set_worker(row.number, status=status)
        self._journal.add_event(Tag.FAILED, f"{row.name}: {reason}")
        again = f"{row.name}: attempt {row.attempt + 1} of {self.config.retries + 1}"
        self._journal.add_event(Tag.RETRYING, f"{again} in {self._delay(row):g} s")

    def _delay(self, row: WorkerRow) -> float:
        """Return how long (seconds) to wait after a failed attempt: twice as long after each."""
        return min(self.config.retry_delay * 2.0 ** (row.attempt - 1), MAX_DELAY)

    def queue_again(
        self, row: WorkerRow, evidence: str, *, not_before: float = 0.0, resumes: bool = False
    ) -> None:
        """Queue another attempt because of `evidence`; with `resumes` it goes on with the agent's session."""
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
            held=0,
            shows="[]",
            waits="",
            worked=False,
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
                ended=time.time(),
            )
            if state is WorkerState.DONE:
                self._journal.add_event(Tag.DONE, row.name)
            else:
                tag = Tag.STOPPED if state is WorkerState.KILLED else Tag.FAILED
                self._journal.add_event(tag, f"{row.name}: {reason}")
            self._close_directive(row.directive)
        self._columns.show_state(row, str(state))
        self.notifier.note(row, state, reason)
        self.look()

    def _close_directive(self, number: int) -> None:
        if not self._journal.is_open(number):
            self._journal.set_directive(number, DirectiveState.DONE)


def _may_start(row: WorkerRow, by_name: Mapping[str, WorkerRow], now: float) -> bool:
    return (
        row.state is WorkerState.QUEUED
        and not row.paused
        and row.not_before <= now
        and all(by_name[name].state is WorkerState.DONE for name in row.after)
    )


def _exit_reason(status: int | None) -> str:
    if status is None:
        return ""
    return f"exit {status}" if status <= 128 else f"signal {status - 128}"
