"""Starting attempts: written down, then begun in panes, then known by their processes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from aiorch import disk, process
from aiorch.engine.columns import Columns, Slot
from aiorch.engine.isolation import Isolation
from aiorch.engine.order import Batch, Order, order_of
from aiorch.engine.primary import Primary
from aiorch.engine.roles import Roles
from aiorch.errors import AiorchError, DiskError, IsolationError
from aiorch.journal import Journal, Tag, WorkerRow, WorkerState
from aiorch.launch.exits import ExitWatcher
from aiorch.launch.local import LocalLauncher
from aiorch.tmux.session import Placed, Spawn
from aiorch.workers.profile import AgentProfile

if TYPE_CHECKING:
    from aiorch.engine.crew import Crew

_PATH = "/usr/local/bin:/usr/bin:/bin"


class Starting:
    """Starts workers of one run; every method is called on the engine's thread only."""

    def __init__(
        self,
        crew: Crew,
        journal: Journal,
        launcher: LocalLauncher,
        primary: Primary,
        columns: Columns,
        profiles: Mapping[str, AgentProfile],
        exits: ExitWatcher,
        isolation: Isolation,
    ) -> None:
        self._crew, self._journal, self._launcher = crew, journal, launcher
        self._primary, self._columns, self._isolation = primary, columns, isolation
        self._profiles, self._exits = profiles, exits
        self._roles = Roles(isolation.woken)

    def startable(self, rows: Sequence[WorkerRow]) -> list[WorkerRow]:
        """Return those of the workers that have all they need, and begin to get it for the others."""
        path = self._primary.environment().get("PATH", _PATH)
        settled = self._roles.startable(rows, self._profiles, self._crew.config, path)
        return self._isolation.startable(settled)

    def launch(self, rows: Sequence[WorkerRow]) -> None:
        """Start workers; such as tmux has no room for are queued again."""
        variables, directory = self._primary.environment(), self._primary.working_directory()
        batch = Batch(partial(self._begin, rows, variables.get("PATH", _PATH), directory))
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
                    self._crew.fail(row, str(place))
        self.label(started)
        for _, place in started:
            self._exits.add(place.pid)

    def _begin(self, rows: Sequence[WorkerRow], path: str, directory: str) -> dict[int, Order]:
        """Write down that these attempts begin, and return what they take; fail those that cannot.

        All of it is on the disk before the first of them runs: a power cut must not make them run twice.
        """
        orders = {}
        with self._journal.transaction(durable=True):
            for row in rows:
                file, folder = self._launcher.task_file(row.action), self._launcher.inputs(row.action)
                inputs = self._crew.plans.inputs(row)
                try:
                    order = order_of(
                        row, self._crew.config, self._profiles, path=path, file=file, folder=folder,
                        inputs=inputs, runs=self._roles.runs,
                    )  # fmt: skip
                except AiorchError as error:
                    self._crew.fail(row, str(error))
                    continue
                orders[row.number] = order
                columns = {"agent": order.profile.name, "reason": "", "session": order.session}
                columns |= {"directory": self._isolation.directory(row) or directory, "record": "{}"}
                self._journal.move_worker(row.number, WorkerState.STARTING, "a place is free", **columns)
        return orders

    def note_start(self, row: WorkerRow, place: Placed, now: float, *, known: bool = True) -> None:
        """Write down that an attempt runs; `known` says that the process is sure to be its own."""
        ticks = (process.start_ticks(place.pid) or 0) if known else 0
        columns = {"pane": place.pane, "pid": place.pid, "ticks": ticks, "started": now, "ended": None}
        evidence = f"process {place.pid} in pane {place.pane}"
        self._journal.move_worker(row.number, WorkerState.WORKING, evidence, **columns)
        self._journal.add_event(Tag.SPAWNED, f"{row.name} in pane {place.pane}")
        self._crew.records.follow(self._journal.worker(row.number))
        self._isolation.started(row)

    def _prepare(
        self, row: WorkerRow, batch: Batch, variables: Mapping[str, str], directory: str
    ) -> Spawn | None:
        """Write the files of an attempt that begins; None when it cannot be started."""
        order = batch.take(row.number)
        if order is None:
            return None
        try:
            job = self._isolation.settled(row, order.job(row, variables, directory))
            return Spawn(*self._launcher.start(job))
        except IsolationError as error:
            self._crew.fail(row, str(error))
            return None
        except OSError as error:
            if disk.is_refusal(error):
                raise DiskError(f"the files of {row.name} cannot be written: {error}") from error
            self._crew.fail(row, f"its files cannot be written: {error}")
            return None

    def label(self, workers: Sequence[tuple[WorkerRow, Placed]]) -> None:
        """Name the panes of workers, and let their wrappers know that the panes will stay."""
        self._columns.label(workers)
        for row, _ in workers:
            self._launcher.mark_labelled(row.action)
            self._crew.observe(row.number)
