"""Worktrees for workers that are about to start, made on threads of their own."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from aiorch.config import Config
from aiorch.engine.order import worker_environment
from aiorch.engine.overlap import Overlaps
from aiorch.engine.primary import Primary
from aiorch.errors import AiorchError, IsolationError, TakenError
from aiorch.journal import Journal, Tag, WorkerRow, WorkerState
from aiorch.launch.local import Job
from aiorch.tree import Tree, TreeState
from aiorch.ui.report import counted
from aiorch.workers import sandbox
from aiorch.workers.carry import carry, set_up
from aiorch.workers.owner import held, lock_file, mark_of
from aiorch.workers.worktree import (
    MARK,
    Repository,
    admin_dir,
    again,
    choose,
    end_leftovers,
    fill_submodules,
    has_work,
    make,
    make_directory,
    survey,
    worker_variables,
)

PREPARING = "its worktree is being made"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What one attempt's place is made by; `mark` names it to an engine that comes after a lost one.

    `lock` is held meanwhile. `given_up` is set when the worker was ended before it began.
    """

    row: WorkerRow
    config: Config
    directory: str
    variables: Mapping[str, str]
    mark: str
    log: Path
    lock: Path
    runs: str
    socket: str
    given_up: threading.Event = field(default_factory=threading.Event)

    def go_on(self) -> None:
        """Raise IsolationError when nobody waits for it any more."""
        if self.given_up.is_set():
            raise IsolationError("it was ended before its worktree was made")


@dataclass(frozen=True, slots=True)
class _Chosen:
    tree: Tree
    found: Repository


@dataclass(frozen=True, slots=True)
class _Ready:
    tree: Tree
    notes: tuple[str, ...] = ()
    bwrap: str = ""
    admin: str = ""


@dataclass(frozen=True, slots=True)
class _Failed:
    reason: str


_Outcome = _Chosen | _Ready | _Failed


class Isolation:
    """The worktrees of one run; every method is called on the engine's thread only.

    What a worktree is called is written down before it is made: an engine that is lost in between leaves one
    that the next engine finds and goes on with. `wake` is called on other threads when `collect` has work.
    """

    def __init__(
        self, journal: Journal, primary: Primary, workers: Path, socket: str, config: Config
    ) -> None:
        self._journal, self._primary, self._workers, self._socket = journal, primary, workers, socket
        self._runs = str(workers.parents[1])
        self.config = config
        self.wake: Callable[[], None] = lambda: None
        self.overlaps = Overlaps(journal, self.woken)
        self._outcomes: queue.SimpleQueue[tuple[_Wishes, _Outcome]] = queue.SimpleQueue()
        self._busy: dict[int, _Wishes] = {}
        self._ready: dict[str, _Ready] = {}

    def woken(self) -> None:
        """Let the engine look again at workers that could not start; may be called on any thread."""
        # The loop that is to be woken comes later than this.
        self.wake()

    def startable(self, rows: Sequence[WorkerRow]) -> list[WorkerRow]:
        """Return those of the workers that may start at once, and begin to make a place for the others."""
        waiting = [row for row in rows if row.action not in self._ready and self._is_isolated(row)]
        for row in waiting:
            if row.number not in self._busy:
                self._begin(row)
        return [row for row in rows if row not in waiting]

    def collect(self) -> list[tuple[WorkerRow, str]]:
        """Take what the threads have done; return the workers that cannot start, with the reason."""
        self.overlaps.collect()
        failed = []
        while not self._outcomes.empty():
            wishes, outcome = self._outcomes.get()
            del self._busy[wishes.row.number]
            row = self._journal.worker(wishes.row.number)
            # The end of the worker, and another try, may have come in between.
            is_wanted = row.state is WorkerState.QUEUED and not wishes.given_up.is_set()
            if isinstance(outcome, _Ready):
                self._note_ready(row, outcome)
            elif isinstance(outcome, _Chosen) and is_wanted:
                self._go_on(wishes, outcome)
            elif isinstance(outcome, _Failed) and is_wanted:
                failed.append((row, outcome.reason))
        return failed

    def settled(self, row: WorkerRow, job: Job) -> Job:
        """Return how an attempt is run in its worktree, when it has one.

        Raises IsolationError when it ought to have one and has none: it must not run in the user's tree.
        """
        if not self._is_isolated(row):
            return job
        ready = self._ready.get(row.action)
        if ready is None:
            raise IsolationError("its worktree is not ready")
        tree = ready.tree
        given = {**job.environment, **worker_variables(tree)}
        job = replace(job, cwd=tree.directory, environment=given, tree=True)
        return self._boxed(row, job, ready) if ready.bwrap else job

    def directory(self, row: WorkerRow) -> str | None:
        """Return where an attempt runs that has a worktree ready, None for one in the user's tree."""
        ready = self._ready.get(row.action)
        return ready.tree.directory if ready and self._is_isolated(row) else None

    def check(
        self, row: WorkerRow, argv: Sequence[str], environment: Mapping[str, str], writes: Sequence[str]
    ) -> tuple[Sequence[str], Mapping[str, str]]:
        """Return how the check of an attempt is run: what the worker made is run in the worker's sandbox.

        Raises IsolationError when there is to be one and cannot be.
        """
        tree = self._journal.tree(row.number)
        if tree is None:
            return argv, environment
        given = {**environment, **worker_variables(tree)}
        if not self.config.is_sandboxed(row.type):
            return argv, given
        bwrap = sandbox.find_bwrap(environment.get("PATH", os.defpath))
        job = Job(row.action, argv, None, tree.directory, given, writes=writes)
        boxed = self._boxed(row, job, _Ready(tree, (), bwrap, admin_dir(tree)))
        return [*boxed.box, *argv], given

    def started(self, row: WorkerRow) -> None:
        """Take note that a worker works."""
        if self._journal.tree(row.number) is not None:
            self.overlaps.started()

    def ended(self, row: WorkerRow) -> None:
        """Take note that a worker has ended; what is being prepared for it ends, too."""
        if wishes := self._busy.get(row.number):
            wishes.given_up.set()
            end_leftovers(wishes.mark)
        if self._journal.tree(row.number) is not None:
            self.overlaps.ended(row)

    def stop(self) -> None:
        """End what is being prepared: nobody waits for it any more."""
        for wishes in self._busy.values():
            end_leftovers(wishes.mark)

    def _is_isolated(self, row: WorkerRow) -> bool:
        """Say whether a worker has its own worktree: one that has it keeps it, whatever is set later."""
        return self.config.is_isolated(row.type) or self._journal.tree(row.number) is not None

    def _begin(self, row: WorkerRow) -> None:
        folder = self._workers / f"w{row.number}"
        wishes = _Wishes(
            row, self.config, self._primary.working_directory(), self._primary.environment(),
            mark_of(self._workers, row.number), folder.with_suffix(".setup.log"),
            lock_file(self._workers, row.number), self._runs, self._socket,
        )  # fmt: skip
        self._journal.set_worker(row.number, reason=PREPARING)
        tree = self._journal.tree(row.number)
        self._run(wishes, partial(_choose, wishes, tree, self._others(row)))

    def _others(self, row: WorkerRow) -> list[Tree]:
        """Return the worktrees that other workers of the run have or are to have."""
        trees = self._journal.trees().items()
        return [
            tree for number, tree in trees if number != row.number and tree.state is not TreeState.DISCARDED
        ]

    def _go_on(self, wishes: _Wishes, chosen: _Chosen) -> None:
        number, tree, others = wishes.row.number, chosen.tree, self._others(wishes.row)
        if tree.state is not TreeState.READY and any(map(tree.collides, others)):
            # Another worker was given it while this one was looking.
            self._run(wishes, partial(_choose, wishes, None, others))
            return
        with self._journal.transaction(durable=True):
            if self._journal.tree(number) != tree:
                self._journal.set_tree(number, tree)
        self._run(wishes, partial(_make_alone, wishes, chosen))

    def _note_ready(self, row: WorkerRow, ready: _Ready) -> None:
        tree = ready.tree
        with self._journal.transaction():
            known = self._journal.tree(row.number)
            if known is not None and known.state is TreeState.DISCARDED:
                # It is gone: one that is tried again gets another.
                return
            if known is None or known.state is not TreeState.READY:
                self._journal.set_tree(row.number, tree._replace(state=TreeState.READY))
                self._journal.add_event(Tag.ISOLATED, f"{row.name}: branch {tree.branch} in {tree.path}")
            for note in ready.notes:
                self._journal.add_event(Tag.ISOLATED, f"{row.name}: {note}")
        self._ready[row.action] = ready

    def _run(self, wishes: _Wishes, work: Callable[[], _Outcome]) -> None:
        self._busy[wishes.row.number] = wishes
        name = f"worktree-{wishes.row.number}"
        threading.Thread(target=self._work, args=(wishes, work), name=name, daemon=True).start()

    def _work(self, wishes: _Wishes, work: Callable[[], _Outcome]) -> None:
        """Run on a thread of its own: nothing here touches the journal."""
        try:
            outcome = work()
        except AiorchError as error:
            outcome = _Failed(str(error))
        except Exception as error:
            log.exception("no worktree for %s", wishes.row.name)
            outcome = _Failed(f"its worktree cannot be made: {error!r:.200}")
        self._outcomes.put((wishes, outcome))
        self.wake()

    def _boxed(self, row: WorkerRow, job: Job, ready: _Ready) -> Job:
        attempt = str(self._workers / row.action)
        writes = (*self.config.sandbox_writes, *job.writes)
        box = sandbox.Box(ready.tree, ready.admin, attempt, self._runs, self._socket, writes)
        sandbox.prepare(box)
        return replace(job, box=sandbox.command(ready.bwrap, box, job.environment, job.cwd))


def _choose(wishes: _Wishes, tree: Tree | None, others: Collection[Tree]) -> _Chosen:
    kept = again(tree) if tree is not None else None
    found = survey(kept.top if kept else wishes.directory)
    return _Chosen(kept or choose(found, wishes.row.name, others), found)


def _make_alone(wishes: _Wishes, chosen: _Chosen) -> _Ready | _Chosen:
    # Meanwhile nobody removes it.
    with held(wishes.lock):
        return _make(wishes, chosen)


def _make(wishes: _Wishes, chosen: _Chosen) -> _Ready | _Chosen:
    tree, kind, config = chosen.tree, wishes.row.type, wishes.config
    path = wishes.variables.get("PATH", os.defpath)
    bwrap = sandbox.find_bwrap(path) if config.is_sandboxed(kind) else ""
    wishes.go_on()
    try:
        make(tree, wishes.mark)
    except TakenError:
        return _choose(wishes, None, ())
    notes = []
    if tree.state is not TreeState.READY:
        # A branch that was there may have what a worker made in its sandbox: outside none of it is run.
        is_strange = bool(bwrap) and has_work(tree)
        if is_strange and Path(f"{tree.path}/.gitmodules").is_file():
            notes.append("its branch has work from its sandbox: submodules are left out")
        elif failed := fill_submodules(tree, wishes.mark):
            notes.append(f"submodules without files: {', '.join(failed)}")
        wishes.go_on()
        carry(tree, config.copy, config.link)
        make_directory(tree)
        if command := config.setup_of(kind):
            given = worker_environment(wishes.variables)
            more = {**worker_variables(tree), "AIORCH_WORKER": wishes.row.name, MARK: wishes.mark}
            wishes.go_on()
            box = _box(wishes, tree, bwrap) if is_strange else ()
            set_up(tree, [*box, *command], {**given, **more}, wishes.log)
        if chosen.found.changed:
            files = counted(chosen.found.changed, "file")
            notes.append(f"it begins at {tree.base[:10]}: your uncommitted changes ({files}) are not in it")
    return _Ready(tree, tuple(notes), bwrap, admin_dir(tree) if bwrap else "")


def _box(wishes: _Wishes, tree: Tree, bwrap: str) -> Sequence[str]:
    """Return the command that runs a setup in the sandbox that the worker is to have."""
    writes = wishes.config.sandbox_writes
    box = sandbox.Box(tree, admin_dir(tree), "", wishes.runs, wishes.socket, writes)
    sandbox.prepare(box)
    return sandbox.command(bwrap, box, wishes.variables, tree.directory)
