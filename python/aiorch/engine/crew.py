"""The crew: starts workers when they may start, sees them end, and tries again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from aiorch import disk, process
from aiorch.config import Config
from aiorch.engine.columns import Columns, Slot
from aiorch.engine.order import Batch, Order, order_of
from aiorch.engine.primary import Primary
from aiorch.errors import AiorchError, DirectiveError, DiskError, TmuxError
from aiorch.journal import ACTIVE, ENDED, DirectiveState, Journal, Tag, WorkerRow, WorkerState
from aiorch.launch.exits import ExitWatcher
from aiorch.launch.local import LocalLauncher
from aiorch.plan.schema import WorkerSpec, unique_name
from aiorch.tmux.session import Placed, Session, Spawn
from aiorch.workers.profile import AgentProfile

KILL_SECONDS = 3.0
_STOPPED = "stopped by the user"
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
        self._primary, self._columns, self._config = primary, columns, config
        self._profiles, self._exits = profiles, exits
        self._told: list[WorkerRow] = []
        self._kill_at: dict[int, tuple[float, int]] = {}

    def add(self, directive: int, workers: Sequence[WorkerSpec]) -> list[str]:
        """Queue the workers of an accepted plan and return their names; one used before gets a number."""
        taken = self._journal.names()
        names: dict[str, str] = {}
        for spec in workers:
            names[spec.name] = unique_name(spec.name, taken)
            taken.add(names[spec.name])
        for spec in workers:
            own = self._config.types.get(spec.type)
            idempotent = spec.idempotent or (own is not None and own.idempotent)
            after = tuple(names[name] for name in spec.after)
            named = replace(spec, name=names[spec.name], after=after, idempotent=idempotent)
            self._journal.add_worker(directive, named)
        return [names[spec.name] for spec in workers]

    def schedule(self) -> None:
        """Let those end that were told to, and start every worker that may start now, up to the cap."""
        self._send_term()
        rows = self._journal.unfinished()
        if not rows:
            return
        by_name = {row.name: row for row in rows}
        by_name |= self._journal.named({name for row in rows for name in row.after} - set(by_name))
        self._drop_hopeless(rows, by_name)
        room = self._config.max_workers - sum(row.state in ACTIVE for row in rows)
        now = time.time()
        ready = [row for row in rows if _may_start(row, by_name, now)]
        if ready and room > 0:
            self._launch(ready[:room])
        if len(ready) > max(room, 0):
            self._note_queue(len(ready) - max(room, 0))

    def next_time(self) -> float | None:
        """Return when (seconds since the epoch) a retry, a time limit or a forced kill is due."""
        rows = self._journal.unfinished()
        due = [row.not_before for row in rows if row.state is WorkerState.QUEUED and row.not_before]
        due += [end for row in rows if (end := self._limit_of(row)) is not None]
        return min([*due, *(at for at, _ in self._kill_at.values())], default=None)

    def ended(self, pid: int) -> None:
        """Take note that a worker's process is gone."""
        self._kill_at.pop(pid, None)
        row = next(
            (row for row in self._journal.unfinished() if row.pid == pid and row.state in ACTIVE), None
        )
        if row is not None:
            self.settle(row, self._launcher.poll(row.action))

    def kill(self, name: str) -> None:
        """End a worker: TERM now, KILL when it is still there after KILL_SECONDS.

        Raises DirectiveError when there is no such worker or it has ended.
        """
        row = self._find(name)
        if row.state is WorkerState.QUEUED:
            self.end(row, WorkerState.KILLED, None, "stopped before it began")
        elif row.state in ACTIVE:
            self._stop_one(row, _STOPPED)
        else:
            raise DirectiveError(f"worker {name} has ended already ({row.state})")

    def pass_time(self) -> None:
        """End the workers whose time limit is over, and send KILL to those that outlived their TERM."""
        for row in self._journal.unfinished():
            end = self._limit_of(row)
            if end is not None and end <= time.time():
                self._stop_one(row, f"over its time limit of {self._config.time_limit:g} s")
        for pid, (due, ticks) in list(self._kill_at.items()):
            if due <= time.time():
                del self._kill_at[pid]
                self._launcher.cancel(pid, ticks, force=True)

    def retry(self, name: str) -> None:
        """Queue a worker that ended for another attempt.

        Raises DirectiveError when there is no such worker or it has not ended.
        """
        row = self._find(name)
        if row.state not in ENDED:
            raise DirectiveError(f"worker {name} is {row.state}: only one that has ended can be tried again")
        self.queue_again(row, "asked for by the user")
        self._journal.set_directive(row.directive, DirectiveState.RUNNING)

    def stop(self) -> None:
        """End all workers of the run: TERM, then KILL for those still there after KILL_SECONDS.

        They are written down as ended only when they have: an engine that takes over then goes on with it.
        """
        rows = self._journal.unfinished()
        active = [row for row in rows if row.state in ACTIVE and row.pid]
        for row in active:
            self._launcher.cancel(row.pid, row.ticks)
        end = time.monotonic() + KILL_SECONDS
        while time.monotonic() < end and any(process.has_group(row.pid) for row in active):
            time.sleep(0.02)
        for row in active:
            self._launcher.cancel(row.pid, row.ticks, force=True)
        for row in rows:
            self.end(row, WorkerState.KILLED, None, "the run was stopped")

    def tidy(self) -> int:
        """Close the panes of all workers that have ended and return how many."""
        return self._columns.tidy(self._journal.panes_of(*ENDED))

    def is_worker(self, pid: int) -> bool:
        """Return whether a process is one of our workers' or comes from one."""
        workers = {row.pid for row in self._journal.unfinished() if row.state in ACTIVE}
        callers = process.ancestry(pid)
        # One that left its worker's process tree still has the environment it was started with.
        return not workers.isdisjoint(callers) or any(
            "AIORCH_WORKER" in process.environment(p) for p in callers
        )

    def _limit_of(self, row: WorkerRow) -> float | None:
        """Return when a worker has worked long enough, None without a limit or when it was told to end."""
        limited = self._config.time_limit and row.state is WorkerState.WORKING and not row.reason
        return row.started + self._config.time_limit if limited and row.started else None

    def _stop_one(self, row: WorkerRow, reason: str) -> None:
        """Write down that a worker is to end; the signal follows once that is in the journal for good."""
        self._journal.set_worker(row.number, reason=reason)
        self.tell_to_end(row)

    def tell_to_end(self, row: WorkerRow) -> None:
        """Have a worker told to end, after the present step."""
        self._told.append(row)

    def _send_term(self) -> None:
        told, self._told = self._told, []
        for row in told:
            self._launcher.cancel(row.pid, row.ticks)
            self._kill_at[row.pid] = (time.time() + KILL_SECONDS, row.ticks)

    def _find(self, name: str) -> WorkerRow:
        row = self._journal.named([name]).get(name)
        if row is None:
            raise DirectiveError(f"there is no worker {name} in this run")
        return row

    def _drop_hopeless(self, rows: Sequence[WorkerRow], by_name: Mapping[str, WorkerRow]) -> None:
        for row in rows:
            # One that is lost may still be run again.
            hopeless = ENDED - {WorkerState.DONE, WorkerState.LOST}
            broken = [name for name in row.after if by_name[name].state in hopeless]
            if row.state is WorkerState.QUEUED and broken:
                self.end(row, WorkerState.FAILED, None, f"{broken[0]} did not finish")

    def _note_queue(self, waiting: int) -> None:
        text = f"{waiting} waiting for a free place (at most {self._config.max_workers} work at once)"
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
                    order = order_of(row, self._config, self._profiles, path=path, file=file)
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

    def settle(self, row: WorkerRow, status: int | None) -> None:
        """Decide what the end of an attempt means; `status` is what its wrapper recorded, if anything."""
        reason, source = _exit_reason(status), "by its record"
        if status is None and self._session.pane(row.pane) is None:
            self.end(row, WorkerState.KILLED, None, row.reason or "its pane was closed", "no record, no pane")
            return
        if status is None:
            status, reason = self._ask_tmux(row)
            source = "by tmux" if status is not None else ""
        evidence = f"{reason} {source}".rstrip()
        if row.reason:
            # Told to end, whatever it says then: by the user it is killed, by its time limit it failed.
            state = WorkerState.KILLED if row.reason == _STOPPED else WorkerState.FAILED
            self.end(row, state, status, row.reason, f"{row.reason}: {evidence}")
        elif status == 0:
            self._finish(row, evidence)
        elif row.attempt <= self._config.retries:
            with self._journal.transaction():
                self._note_failure(row, status, reason)
                again = time.time() + self._config.retry_delay
                self.queue_again(self._journal.worker(row.number), evidence, not_before=again)
            self._columns.show_state(row, "failed")
        else:
            self.end(row, WorkerState.FAILED, status, reason, evidence)

    def _ask_tmux(self, row: WorkerRow) -> tuple[int | None, str]:
        """Return (status, reason) of a worker whose wrapper left no record: it was killed itself."""
        try:
            status, signal = self._session.exit_status(row.pane)
        except TmuxError:
            status, signal = None, None
        if signal is not None:
            status = 128 + signal
        return status, "ended without a record" if status is None else _exit_reason(status)

    def _finish(self, row: WorkerRow, evidence: str) -> None:
        result = self._launcher.result(row.action) or self._last_words(row)
        with self._journal.transaction():
            self._journal.set_worker(row.number, result=result)
            self.end(row, WorkerState.DONE, 0, "", evidence)

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
        again = f"{row.name}: attempt {row.attempt + 1} of {self._config.retries + 1}"
        self._journal.add_event(Tag.RETRYING, f"{again} in {self._config.retry_delay:g} s")

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
        )

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
                row.number, state, evidence or reason, status=status, reason=reason, ended=time.time()
            )
            if state is WorkerState.DONE:
                self._journal.add_event(Tag.DONE, row.name)
            else:
                tag = Tag.STOPPED if state is WorkerState.KILLED else Tag.FAILED
                self._journal.add_event(tag, f"{row.name}: {reason}")
            self._close_directive(row.directive)
        self._columns.show_state(row, str(state))

    def _close_directive(self, number: int) -> None:
        if not self._journal.is_open(number):
            self._journal.set_directive(number, DirectiveState.DONE)


def _may_start(row: WorkerRow, by_name: Mapping[str, WorkerRow], now: float) -> bool:
    return (
        row.state is WorkerState.QUEUED
        and row.not_before <= now
        and all(by_name[name].state is WorkerState.DONE for name in row.after)
    )


def _exit_reason(status: int | None) -> str:
    if status is None:
        return ""
    return f"exit {status}" if status <= 128 else f"signal {status - 128}"
