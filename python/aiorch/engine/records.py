"""The workers' own session files: noted while the agents live, read when they have ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiorch.capture.transcript import find
from aiorch.capture.transcript.find import Found
from aiorch.capture.transcript.follow import FORMATS
from aiorch.capture.transcript.last import Last, read_last
from aiorch.engine.foreground import running_agent
from aiorch.engine.primary import Primary
from aiorch.engine.search import Search
from aiorch.engine.session_file import Agent
from aiorch.journal import Journal, WorkerRow, WorkerState
from aiorch.workers.profile import AgentProfile
from aiorch.workers.session import kept

FIRST_SECONDS, LAST_SECONDS = 0.5, 60.0
"""When a worker's file is looked for after its start; each further time twice as late."""


@dataclass(slots=True)
class _Plan:
    attempt: int
    at: float
    pause: float


class Records:
    """Knows which session file a worker writes; every method is called on the engine's thread only."""

    def __init__(self, journal: Journal, primary: Primary, profiles: Mapping[str, AgentProfile]) -> None:
        self._journal, self._primary, self._profiles = journal, primary, profiles
        self._search = Search()
        self._plans: dict[int, _Plan] = {}
        self.known: Callable[[int], None] = lambda _number: None

    @property
    def due(self) -> float | None:
        """Return when `pass_time` has something to do (seconds since the epoch)."""
        return min((plan.at for plan in self._plans.values()), default=None)

    def follow(self, row: WorkerRow) -> None:
        """Look for the file of a worker that runs, as long as it is not known."""
        if self._is_wanted(row):
            self._plans[row.number] = _Plan(row.attempt, time.time() + FIRST_SECONDS, FIRST_SECONDS)

    def pass_time(self) -> None:
        """Look for the files that it is time for."""
        now = time.time()
        for number, plan in list(self._plans.items()):
            if plan.at > now:
                continue
            row = self._journal.worker(number)
            found = self._look(row) if self._is_wanted(row) and row.attempt == plan.attempt else None
            if found is not None:
                self._note(row, found)
            if found is None and self._is_wanted(row) and row.attempt == plan.attempt:
                plan.pause = min(plan.pause * 2, LAST_SECONDS)
                plan.at = now + plan.pause
            else:
                del self._plans[number]

    def last(self, row: WorkerRow) -> Last:
        """Return how the session of a worker that has ended stands; nothing when its file is not known."""
        self._plans.pop(row.number, None)
        record = json.loads(row.record)
        if not record:
            found = self._find_ended(row)
            if found is None:
                return Last()
            record = self._note(row, found)
        path, session = Path(str(record["path"])), str(record["session"])
        since = (row.started or 0.0) - 1.0
        return read_last(str(record["format"]), path, session=session, since=since, task=row.task)

    def _is_wanted(self, row: WorkerRow) -> bool:
        works = row.state in (WorkerState.WORKING, WorkerState.WAITING) and row.pid and not row.checking
        return bool(works and row.record == "{}" and row.agent in FORMATS and row.agent in self._profiles)

    def _look(self, row: WorkerRow) -> Found | None:
        """Return the file of a worker that runs, when it is certain."""
        profile = self._profiles[row.agent]
        running = running_agent({profile.name: profile}, None, row.pid)
        if running is None:
            return None
        found = self._search.files(Agent(profile.name, running.pid, running.ticks))
        own = [one for one in found[:1] if one.certain and (one.named or not self._is_taken(row, one))]
        return own[0] if own else None

    def _find_ended(self, row: WorkerRow) -> Found | None:
        profile = self._profiles.get(row.agent)
        if profile is None or row.agent not in FORMATS or not row.started or not row.directory:
            return None
        environment = self._primary.environment() | dict(profile.env)
        path = kept(profile.sessions, row.session, environment) if row.session else None
        if path is not None:
            return Found(row.agent, path, True, "named by us", named=True)
        # Aider has one file for all.
        taken: Collection[tuple[Path, str]] = self._taken(row) if row.agent != "aider" else ()
        try:
            return find.find_ended(row.agent, row.directory, environment, row.started, taken)
        except (OSError, RuntimeError, ValueError):
            return None

    def _taken(self, row: WorkerRow) -> set[tuple[Path, str]]:
        records = self._journal.records(row.agent, row.number)
        return {(Path(str(one["path"])), str(one["session"])) for one in records}

    def _is_taken(self, row: WorkerRow, found: Found) -> bool:
        return found.format != "aider" and (found.path, found.session) in self._taken(row)

    def _note(self, row: WorkerRow, found: Found) -> dict[str, object]:
        record: dict[str, object] = {
            "format": found.format,
            "path": str(found.path),
            "session": found.session,
        }
        self._journal.set_worker(row.number, record=json.dumps(record))
        self.known(row.number)
        return record
