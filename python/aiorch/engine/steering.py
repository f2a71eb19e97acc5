"""What is done to workers under way: ended, held, let go on, tried again; by the user or by a limit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from aiorch.config import Config
from aiorch.engine.crew import Crew
from aiorch.engine.endings import PARK_SLACK, PARKED, STOPPED
from aiorch.errors import DirectiveError
from aiorch.journal import ACTIVE, ENDED, Journal, Tag, WorkerRow, WorkerState
from aiorch.launch.local import LocalLauncher

KILL_SECONDS = 3.0
_LOOK_SECONDS = 0.05


class Steering:
    """The user's hand on one run's workers; every method is called on the engine's thread only.

    What is to be done is written down first; `act` does it once that is in the journal for good.
    """

    def __init__(self, crew: Crew, journal: Journal, launcher: LocalLauncher, config: Config) -> None:
        self._crew, self._journal, self._launcher = crew, journal, launcher
        self.config = config
        self._told: list[WorkerRow] = []
        self._held: list[WorkerRow] = []
        self._kill_at: dict[str, tuple[float, WorkerRow]] = {}
        crew.tell_to_end = self.tell_to_end

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Forget what was to be done to the workers inside when one of them refuses."""
        told, held = len(self._told), len(self._held)
        try:
            yield
        except DirectiveError:
            del self._told[told:], self._held[held:]
            raise

    def kill(self, name: str) -> None:
        """End a worker: TERM now, KILL when something of it is still there after KILL_SECONDS.

        Raises DirectiveError when there is no such worker or it has ended.
        """
        row = self._find(name)
        if row.state is WorkerState.QUEUED:
            self._crew.end(row, WorkerState.KILLED, None, "stopped before it began")
        elif row.state in ACTIVE:
            self._stop_one(row, STOPPED)
        else:
            raise DirectiveError(f"worker {name} has ended already ({row.state})")

    def pause(self, name: str) -> None:
        """Hold a worker: one in the queue stays there, one under way is stopped where it is.

        Raises DirectiveError when there is no such worker, it has ended, or it is held already.
        """
        row = self._find(name)
        if row.state in ENDED:
            raise DirectiveError(f"worker {name} has ended already ({row.state})")
        if row.paused:
            raise DirectiveError(f"worker {name} is held already: `aiorch resume {name}` lets it go on")
        self._journal.set_worker(row.number, paused=time.time())
        self._journal.add_event(Tag.PAUSED, f"{name}: `aiorch resume {name}` lets it go on")
        self._held.append(row)

    def go_on(self, name: str) -> None:
        """Let a worker go on that was held; raises DirectiveError when there is none or it is not held."""
        row = self._find(name)
        if not row.paused:
            raise DirectiveError(f"worker {name} is {row.state}, not held")
        # While it waits, no time counts anyway.
        held = row.held + (time.time() - row.paused if row.state is WorkerState.WORKING else 0.0)
        # The time that its check was held does not count as the check's.
        checking = row.checking + (time.time() - row.paused) if row.checking else 0.0
        self._journal.set_worker(row.number, paused=0, held=held, checking=checking)
        self._journal.add_event(Tag.RESUMED, name)
        self._held.append(row)
        self._crew.look()

    def retry(self, name: str) -> None:
        """Queue a worker that ended for another attempt.

        Raises DirectiveError when there is no such worker or it has not ended.
        """
        row = self._find(name)
        if row.state not in ENDED:
            raise DirectiveError(f"worker {name} is {row.state}: only one that has ended can be tried again")
        if row.state is WorkerState.SKIPPED:
            raise DirectiveError(
                f"worker {name} was skipped ({row.reason}): try that one again, and it follows"
            )
        self._crew.queue_again(row, "asked for by the user", failures=0)
        self._crew.plans.revive(row)

    def park(self, row: WorkerRow, until: datetime) -> None:
        """End a worker that a rate limit holds, to begin again after it; its place is free till then."""
        begins = until.timestamp() + PARK_SLACK
        with self._journal.transaction():
            self._journal.set_worker(row.number, reason=f"{PARKED}{until:%H:%M}", not_before=begins)
            self.tell_to_end(row)

    def act(self) -> None:
        """Send the signals of what was written down in the last step."""
        told, self._told = self._told, []
        for row in told:
            self._launcher.cancel(row.action, row.pid, row.ticks)
            self._kill_at[row.action] = (time.time() + KILL_SECONDS, row)
        held, self._held = self._held, []
        for row in held:
            present = self._journal.worker(row.number)
            self._hold(present)
            if not present.paused:
                self._crew.look_again(row.number)

    def take_up(self, row: WorkerRow) -> None:
        """Bring the processes of a worker that an earlier engine had into the state that the journal says."""
        if row.paused or self._launcher.is_held(row.action, row.pid, row.ticks):
            self._hold(row)

    def _hold(self, row: WorkerRow) -> None:
        if row.state not in ACTIVE or not row.pid:
            return
        if row.paused:
            self._launcher.pause(row.action, row.pid, row.ticks)
        else:
            self._launcher.go_on(row.action, row.pid, row.ticks)
        self._crew.show_state(row)

    def tell_to_end(self, row: WorkerRow) -> None:
        """Have a worker told to end, after the present step."""
        self._told.append(row)

    def pass_time(self) -> None:
        """End what is over its time, send KILL to what outlived its TERM, and fold away what is long done."""
        now = time.time()
        for row in self._journal.active():
            end = self._limit_of(row)
            if end is not None and end <= now:
                self._stop_one(row, self._limit_words(row))
        for action, (due, row) in list(self._kill_at.items()):
            if due <= now:
                del self._kill_at[action]
                self._launcher.cancel(row.action, row.pid, row.ticks, force=True)
        if self.config.fold_after:
            self._crew.fold(self._journal.panes_done(before=now - self.config.fold_after))

    def next_time(self) -> float | None:
        """Return when (seconds since the epoch) a time limit, a forced kill or a folding is due."""
        due = [at for at, _ in self._kill_at.values()]
        if self.config.time_limit or self.config.check_time_limit:
            due += [end for row in self._journal.active() if (end := self._limit_of(row)) is not None]
        done = self._journal.first_done() if self.config.fold_after else None
        if done is not None:
            due.append(done + self.config.fold_after)
        return min(due, default=None)

    def stop(self) -> None:
        """End all workers of the run: TERM, then KILL for what is still there after KILL_SECONDS.

        They are written down as ended only when they have: an engine that takes over then goes on with it.
        """
        rows = self._journal.unfinished()
        active = [row for row in rows if row.state in ACTIVE and row.pid]
        for row in active:
            self._launcher.cancel(row.action, row.pid, row.ticks)
        self._wait_gone(active)
        for row in active:
            self._launcher.cancel(row.action, row.pid, row.ticks, force=True)
        with self._journal.transaction():
            for row in rows:
                self._crew.end(row, WorkerState.KILLED, None, "the run was stopped")

    def _wait_gone(self, rows: Sequence[WorkerRow]) -> None:
        end, left = time.monotonic() + KILL_SECONDS, list(rows)
        while time.monotonic() < end:
            left = [row for row in left if self._launcher.is_there(row.action, row.pid, row.ticks)]
            if not left:
                return
            time.sleep(_LOOK_SECONDS)

    def _limit_of(self, row: WorkerRow) -> float | None:
        """Return when a worker has worked long enough, None without a limit or when it was told to end."""
        limit = self.config.check_time_limit if row.checking else self.config.time_limit
        is_limited = limit and row.state is WorkerState.WORKING
        if not is_limited or row.reason or row.paused or not row.started:
            return None
        return (row.checking or row.started + row.held) + limit

    def _limit_words(self, row: WorkerRow) -> str:
        if row.checking:
            return f"check: over its time limit of {self.config.check_time_limit:g} s"
        return f"over its time limit of {self.config.time_limit:g} s"

    def _stop_one(self, row: WorkerRow, reason: str) -> None:
        """Write down that a worker is to end; the signal follows once that is in the journal for good."""
        self._journal.set_worker(row.number, reason=reason)
        self.tell_to_end(row)

    def _find(self, name: str) -> WorkerRow:
        row = self._journal.named([name]).get(name)
        if row is None:
            raise DirectiveError(f"there is no worker {name} in this run")
        return row
