"""The checks of one run's workers: begun after exit code 0, found again after a crash, never two at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from aiorch import disk, process
from aiorch.config import Config
from aiorch.engine.isolation import Isolation
from aiorch.engine.order import environment_of
from aiorch.engine.primary import Primary
from aiorch.errors import AiorchError, DiskError, TmuxGoneError
from aiorch.journal import Journal, Tag, WorkerRow
from aiorch.launch.check import CheckRunner
from aiorch.launch.exits import ExitWatcher
from aiorch.launch.local import LocalLauncher
from aiorch.workers.profile import AgentProfile
from aiorch.workers.verdict import MAX_DETAIL, exit_words

CHECKING = "checking"


class Checks:
    """Runs checks apart from the engine's thread; every method is called on that thread only.

    What is to be begun is written down first; `act` does it once that is in the journal for good.
    """

    def __init__(
        self,
        journal: Journal,
        launcher: LocalLauncher,
        primary: Primary,
        isolation: Isolation,
        config: Config,
        profiles: Mapping[str, AgentProfile],
        exits: ExitWatcher,
        show: Callable[[WorkerRow, str], None],
    ) -> None:
        self._journal, self._launcher, self._primary = journal, launcher, primary
        self._isolation = isolation
        self.config, self._profiles, self._exits = config, profiles, exits
        self._runner = CheckRunner(launcher)
        self._show = show
        self._waiting: list[int] = []
        self._failed: dict[str, str] = {}

    def begin(self, row: WorkerRow, argv: Sequence[str], status: int | None, evidence: str) -> None:
        """Write down that the check of an attempt is to run; the worker keeps its place meanwhile.

        `status` is how the attempt ended, None when its agent stays in its pane.
        """
        with self._journal.transaction():
            now = {"checking": time.time(), "pid": 0, "ticks": 0, "status": status}
            self._journal.move_worker(row.number, row.state, f"{evidence}, its check runs", **now)
            self._journal.add_event(Tag.CHECKING, f"{row.name}: {' '.join(argv)}")
        self._show(row, CHECKING)
        self._waiting.append(row.number)

    @property
    def is_waiting(self) -> bool:
        """Say whether there is a check to begin."""
        return bool(self._waiting)

    def act(self) -> Iterator[WorkerRow]:
        """Begin what was written down; yield the workers whose check cannot be begun, or is over already."""
        while self._waiting:
            row = self._journal.worker(self._waiting[0])
            is_over = row.checking and not row.pid and not self._begun(row)
            # Not before: what stops this step must not leave one that nobody begins.
            self._waiting.pop(0)
            if is_over:
                yield row

    def take_up(self, row: WorkerRow) -> bool:
        """Go on with a check that an earlier engine began; False when it is over."""
        if self._runner.poll(row.action) is not None:
            return False
        self._waiting.append(row.number)
        return True

    def verdict(self, row: WorkerRow) -> tuple[str, str]:
        """Return why the check of an attempt failed ('' when it did not), and what showed it."""
        trouble = self._failed.pop(row.action, "")
        if trouble:
            return f"check: {trouble}", trouble
        status = self._runner.poll(row.action)
        if status == 0:
            return "", "its check passed"
        if status is None:
            self._runner.clear(row.action)
        how = "ended without a record" if status is None else exit_words(status, None)
        lines = self._runner.last_lines(row.action, 1)
        said = f": {lines[0].strip()[:MAX_DETAIL]}" if lines else ""
        return f"check: {how}{said}", f"its check failed ({how})"

    def _begun(self, row: WorkerRow) -> bool:
        if row.reason:
            # Told to end before it began.
            return False
        pid = self._runner.attach(row.action) or self._start(row)
        if pid is None:
            return False
        ticks = process.start_ticks(pid) or 0
        self._journal.set_worker(row.number, pid=pid, ticks=ticks)
        self._exits.add(pid)
        if row.paused:
            self._launcher.pause(row.action, pid, ticks)
        return True

    def _start(self, row: WorkerRow) -> int | None:
        argv = self.config.check_of(row.type)
        if not argv:
            self._failed[row.action] = f"the type {row.type} has none any more"
            return None
        profile = self._profiles.get(row.agent)
        try:
            environment = environment_of(row, profile.env if profile else {}, self._primary.environment())
            files = self._launcher.variables(row.action, row.directory, inputs=bool(row.after))
            given = environment | files
            words, boxed = self._isolation.check(row, argv, given, profile.writes if profile else ())
            return self._runner.start(row.action, words, row.directory, boxed)
        except (TmuxGoneError, DiskError):
            raise
        except AiorchError as error:
            self._failed[row.action] = str(error)
            return None
        except OSError as error:
            if disk.is_refusal(error):
                raise DiskError(f"the check of {row.name} cannot be started: {error}") from error
            self._failed[row.action] = f"it cannot be started: {error}"
            return None
