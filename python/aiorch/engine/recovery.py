"""Taking up workers that an earlier engine began: what became of them, and which begin again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial

from aiorch import process
from aiorch.config import Config
from aiorch.engine.crew import Crew
from aiorch.engine.endings import PARKED
from aiorch.engine.steering import Steering
from aiorch.errors import AiorchError
from aiorch.journal import ACTIVE, Journal, Tag, WorkerRow, WorkerState
from aiorch.launch.exits import ExitWatcher
from aiorch.launch.local import LocalLauncher
from aiorch.tmux.session import Placed, Session
from aiorch.workers.profile import AgentProfile, launch_of
from aiorch.workers.session import is_kept

_NEVER_BEGUN = "no process: the engine was lost before it began"


class Recovery:
    """Brings the crew of one run up to date; every method is called on the engine's thread only."""

    def __init__(
        self,
        crew: Crew,
        steering: Steering,
        session: Session,
        journal: Journal,
        launcher: LocalLauncher,
        config: Config,
        profiles: Mapping[str, AgentProfile],
        exits: ExitWatcher,
    ) -> None:
        self._crew, self._steering, self._session, self._journal = crew, steering, session, journal
        self._launcher, self.config = launcher, config
        self._profiles, self._exits = profiles, exits

    def reconcile(self) -> None:
        """After a restart: find out what became of every worker that was about to start or working."""
        self._each(self._reconcile)

    def take_over(self, *, rerun: bool) -> None:
        """After the loss of tmux: find out what became of every worker, and begin again what may be.

        One that left no record of its end goes on in its agent's own session where that has one; else it
        runs once more when it is idempotent or the user says so (`rerun`), and is lost when neither holds.
        """
        self._journal.forget_all_panes()
        self._each(partial(self._take_over, rerun=rerun, rebooted=self._rebooted()))
        self.note_boot()

    def note_boot(self) -> None:
        """Remember since which start of the machine the run goes on."""
        self._journal.set_meta("boot", process.boot_id())

    def _rebooted(self) -> bool:
        noted, now = self._journal.meta("boot"), process.boot_id()
        return bool(noted and now and noted != now)

    def _each(self, take_up: Callable[[WorkerRow], None]) -> None:
        for row in self._journal.unfinished():
            if row.state not in ACTIVE:
                continue
            try:
                take_up(row)
            except (AiorchError, OSError, ValueError) as error:
                # One broken record must not keep the others from being taken up.
                self._crew.fail(row, f"its record cannot be read: {error}")
        self._crew.look()

    def _take_up_check(self, row: WorkerRow) -> None:
        """Go on with the check of a worker that has ended itself."""
        if row.pid and process.is_same(row.pid, row.ticks):
            if row.reason:
                self._steering.tell_to_end(row)
            self._steering.take_up(row)
            self._exits.add(row.pid)
        elif self._crew.checks.take_up(row):
            # Found again or begun again with the next step, by no pid of before.
            self._journal.set_worker(row.number, pid=0, ticks=0)
        else:
            self._crew.settle(row, row.status)

    def _take_over(self, row: WorkerRow, *, rerun: bool, rebooted: bool) -> None:
        if row.checking:
            self._take_up_check(row)
            return
        pid, status = row.pid or self._launcher.attach(row.action) or 0, self._launcher.poll(row.action)
        # After a power cut the record of a worker that ran may be missing: the journal alone is on the disk.
        if pid == 0 and not rebooted:
            self._journal.move_worker(row.number, WorkerState.QUEUED, _NEVER_BEGUN)
        elif status is not None:
            self._crew.settle(row, status)
        elif pid and self._is_running(row._replace(pid=pid)):
            # It outlived its terminal; its record will tell how it ended.
            ticks = process.start_ticks(pid) or 0
            evidence = f"process {pid} outlived its terminal"
            self._journal.move_worker(row.number, WorkerState.WORKING, evidence, pid=pid, ticks=ticks)
            self._exits.add(pid)
            if row.reason:
                self._steering.tell_to_end(self._journal.worker(row.number))
        else:
            self._begin_again(row, rerun=rerun)

    def _begin_again(self, row: WorkerRow, *, rerun: bool) -> None:
        profile = self._profiles.get(row.agent)
        mode, permission = self.config.mode_of(row.type), self.config.permission_of(row.type)
        has_session = bool(profile and row.session and launch_of(profile, mode, permission).resume)
        resumes = profile is not None and has_session and is_kept(profile.sessions, row.session, os.environ)
        if row.reason.startswith(PARKED):
            self._crew.come_back(row, f"{row.reason}: cut off with tmux")
        elif row.reason:
            self._crew.end(row, WorkerState.KILLED, None, row.reason)
        # An agent that has not even begun its session has done nothing yet.
        elif has_session or rerun or row.idempotent:
            how = f"goes on in its session {row.session}" if resumes else "runs once more"
            with self._journal.transaction():
                self._crew.queue_again(row, f"cut off with tmux, {how}", resumes=resumes)
                self._journal.add_event(Tag.RETRYING, f"{row.name}: cut off with tmux, {how}")
        else:
            self._crew.end(
                row, WorkerState.LOST, None, f"cut off with tmux: `aiorch retry {row.name}` runs it again"
            )

    def _reconcile(self, row: WorkerRow) -> None:
        if row.checking:
            self._take_up_check(row)
            return
        info = self._session.find_started(row.action)
        pid = row.pid or self._launcher.attach(row.action) or (info.pid if info else 0)
        if pid == 0:
            # Journaled but never begun: it is started now, under the same action.
            self._journal.move_worker(row.number, WorkerState.QUEUED, _NEVER_BEGUN)
            return
        place = Placed(info.pane if info else row.pane, pid)
        if row.state is WorkerState.STARTING:
            # The last engine died before it could write this down; the pid may be another's by now.
            with self._journal.transaction():
                self._crew.starting.note_start(
                    row, place, time.time(), known=row.action in process.command_line(pid)
                )
            row = self._journal.worker(row.number)
        if info is not None:
            self._crew.starting.label([(row, place)])
        if self._is_running(row):
            if row.reason:
                # Told to end before the engine was lost, which may not have come to the signal.
                self._steering.tell_to_end(row)
            self._steering.take_up(row)
            self._crew.records.follow(self._journal.worker(row.number))
            self._exits.add(pid)
        else:
            self._crew.settle(row, self._launcher.poll(row.action))

    def _is_running(self, row: WorkerRow) -> bool:
        """Say whether a worker's process is there: its pid may be another's by now."""
        if row.ticks:
            return process.is_same(row.pid, row.ticks)
        return process.is_alive(row.pid) and row.action in process.command_line(row.pid)
