"""What the end of an attempt means: what it left, whether it is done, whether it is tried again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aiorch.capture.transcript.last import Last
from aiorch.engine.checks import Checks
from aiorch.engine.records import Records
from aiorch.errors import TmuxError
from aiorch.journal import Journal, Tag, WorkerRow, WorkerState
from aiorch.launch.local import RESULT_LIMIT, LocalLauncher, read_file
from aiorch.tmux.session import Session
from aiorch.workers.changes import as_json, attempt_changes, tree_of
from aiorch.workers.profile import AgentProfile
from aiorch.workers.reset import reset_time
from aiorch.workers.state import Glance, screen_verdict
from aiorch.workers.verdict import exit_words, refuted

if TYPE_CHECKING:
    from aiorch.engine.crew import Crew

STOPPED = "stopped by the user"
PARKED = "parked until "
"""How the reason of a worker begins that is ended because of a rate limit, to begin again after it."""

PARK_SLACK = 5.0
"""Seconds after a limit's end: clocks differ, and limits end at full minutes."""

MAX_DELAY = 3600.0
_STATUS_LIMIT = 8 * 1024 * 1024


class Endings:
    """Decides about attempts of one run that ended; every method is called on the engine's thread only."""

    def __init__(
        self,
        crew: Crew,
        session: Session,
        journal: Journal,
        launcher: LocalLauncher,
        profiles: Mapping[str, AgentProfile],
        records: Records,
        checks: Checks,
    ) -> None:
        self._crew, self._session, self._journal, self._launcher = crew, session, journal, launcher
        self._profiles, self._records, self._checks = profiles, records, checks

    def settle(self, row: WorkerRow, status: int | None) -> None:
        """Decide what the end of an attempt means; `status` is what its wrapper recorded, if anything."""
        if row.checking:
            self._settle_check(row)
            return
        if status is None and self._session.pane(row.pane) is None:
            reason = row.reason or "its pane was closed"
            self._crew.end(row, WorkerState.KILLED, None, reason, "no record, no pane")
            return
        source = "by its record"
        if status is None:
            status, source = self._ask_tmux(row)
        profile = self._profiles.get(row.agent)
        meaning = "ended without a record" if status is None else exit_words(status, profile)
        evidence = f"{meaning} {source}".rstrip()
        row, screen, last = self._gather(row)
        if row.reason.startswith(PARKED):
            self._crew.come_back(row, f"{row.reason}: {evidence}")
        elif row.reason:
            # Told to end, whatever it says then: by the user it is killed, by its time limit it failed.
            state = WorkerState.KILLED if row.reason == STOPPED else WorkerState.FAILED
            self._crew.end(row, state, status, row.reason, f"{row.reason}: {evidence}")
        elif status == 0:
            wrong = refuted(profile, screen, last, time.time() - (row.started or 0.0))
            self._decide(row, status, wrong, evidence)
        elif (until := self._limited(profile, screen)) is not None:
            reason = f"{PARKED}{until:%H:%M}"
            parked = row._replace(reason=reason, not_before=until.timestamp() + PARK_SLACK)
            self._crew.come_back(parked, f"{reason}: {evidence}")
        else:
            self._fail_attempt(row, status, meaning, evidence)

    def end_turn(self, row: WorkerRow, evidence: str) -> None:
        """Decide what it means that an agent which stays in its pane is through with what it was told."""
        row, screen, last = self._gather(row)
        wrong = refuted(self._profiles.get(row.agent), screen, last, time.time() - (row.started or 0.0))
        self._decide(row, None, wrong, evidence)

    def _limited(self, profile: AgentProfile | None, screen: str) -> datetime | None:
        """Return when the rate limit is over that ended an attempt, None when it was none or nobody parks."""
        if profile is None or self._crew.config.rate_limit != "park":
            return None
        verdict = screen_verdict(profile.states, Glance(tuple(screen.split("\n"))))
        return reset_time(verdict.reason, datetime.now().astimezone())

    def _decide(self, row: WorkerRow, status: int | None, wrong: str, evidence: str) -> None:
        """Decide about one that ended well (`status` 0, None for a turn); a check has the last word."""
        argv = self._crew.config.check_of(row.type)
        if argv:
            noted = f"{evidence}; {wrong}" if wrong else evidence
            self._checks.begin(row, argv, status, noted)
        elif wrong:
            self._crew.end(row, WorkerState.FAILED, status, wrong, f"{evidence}, {wrong}")
        else:
            self._crew.end(row, WorkerState.DONE, status, "", evidence)

    def _settle_check(self, row: WorkerRow) -> None:
        failure, evidence = self._checks.verdict(row)
        status = row.status
        if status is None:
            # The check had the place of its agent, which may have left its pane meanwhile.
            own = self._crew.with_own_process(row)
            self._journal.set_worker(row.number, pid=own.pid, ticks=own.ticks)
            status = self._launcher.poll(row.action)
        if row.reason:
            state = WorkerState.KILLED if row.reason == STOPPED else WorkerState.FAILED
            self._crew.end(row, state, status, row.reason, f"{row.reason}: {evidence}")
        elif failure:
            self._fail_attempt(row, status, failure, evidence)
        else:
            self._crew.end(row, WorkerState.DONE, status, "", evidence)

    def _fail_attempt(self, row: WorkerRow, status: int | None, reason: str, evidence: str) -> None:
        """Try a worker again whose attempt failed, after a time that doubles with each, while it may be."""
        retries, failures = self._crew.config.retries, row.failures + 1
        if failures > retries:
            self._crew.end(row, WorkerState.FAILED, status, reason, evidence)
            return
        delay = min(self._crew.config.retry_delay * 2.0**row.failures, MAX_DELAY)
        with self._journal.transaction():
            self._journal.set_worker(row.number, status=status)
            self._journal.add_event(Tag.FAILED, f"{row.name}: {reason}")
            again = f"{row.name}: attempt {failures + 1} of {retries + 1} in {delay:g} s"
            self._journal.add_event(Tag.RETRYING, again)
            present = self._journal.worker(row.number)
            begins = time.time() + delay
            self._crew.queue_again(present, evidence, not_before=begins, failures=failures)
        self._crew.show_as(row, "failed")

    def _ask_tmux(self, row: WorkerRow) -> tuple[int | None, str]:
        """Return the status of a worker whose wrapper left no record (it was killed), and who says so."""
        try:
            status, signal = self._session.exit_status(row.pane)
        except TmuxError:
            return None, ""
        status = status if signal is None else 128 + signal
        return status, "" if status is None else "by tmux"

    def _gather(self, row: WorkerRow) -> tuple[WorkerRow, str, Last]:
        """Write down what an attempt left; return the row with it, the last screen and the agent's record."""
        screen, last = self._screen(row), self._records.last(row)
        found = (("file", self._launcher.result(row.action)), ("transcript", last.text), ("screen", screen))
        source, text = next(((name, text) for name, text in found if text), ("", ""))
        result = text.encode("utf-8", "replace")[:RESULT_LIMIT].decode("utf-8", "ignore")
        changes = self._changes(row)
        self._journal.set_worker(row.number, result=result, source=source, changes=changes)
        return row._replace(result=result, source=source, changes=changes), screen, last

    def _screen(self, row: WorkerRow) -> str:
        """Return the last screen without the blank rows around it; '' when the pane is gone."""
        if not row.pane:
            return ""
        try:
            rows = [line.rstrip() for line in self._session.last_picture(row.pane).splitlines()]
        except TmuxError:
            return ""
        return "\n".join(rows).strip("\n")

    def _changes(self, row: WorkerRow) -> str:
        top = tree_of(row.directory) if row.directory else None
        folder = self._launcher.directory(row.action)
        changes = attempt_changes(folder, top, _read) if top else None
        if changes is None or top is None:
            return "{}"
        others = [
            other.name
            for other in self._journal.overlapping(row.number, row.started or 0.0)
            if other.directory and tree_of(other.directory) == top
        ]
        return as_json(replace(changes, shared=tuple(others)))


def _read(path: Path) -> bytes:
    return read_file(path, _STATUS_LIMIT)
