"""Who may tell whom what: messages are checked, marked, fenced and queued here."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from aiorch import process
from aiorch.config import Config
from aiorch.engine.crew import Crew
from aiorch.engine.delivery import Delivery
from aiorch.engine.intake import Answer, shown
from aiorch.engine.primary import Primary
from aiorch.errors import DirectiveError
from aiorch.journal import ENDED, Journal, MessageRow, MessageState, Tag, WorkerRow, WorkerState
from aiorch.journal.messages import LEAD
from aiorch.workers import message
from aiorch.workers.profile import effective_mode

LEAD_NAME = "lead"
ALL = "all"
MOST_AN_HOUR = 20
"""Messages that one worker may send within an hour: else two agents may answer each other for ever."""

MAX_OPEN = 50
"""Messages that may wait for one reader."""

GROUP_SECONDS = 1.0
"""How long a report waits for workers that end a moment later."""

MAX_REPORT = 6000
_HOUR = 3600.0
_ONESHOT = 'runs one-shot and has no input box (mode = "interactive" has one)'


class Post:
    """Takes messages of one run; every method is called on the engine's thread only."""

    def __init__(
        self, journal: Journal, crew: Crew, primary: Primary, delivery: Delivery, root: Path, config: Config
    ) -> None:
        self._journal, self._crew, self._primary = journal, crew, primary
        self._delivery, self._folder, self.config = delivery, root / "messages", config
        crew.note_end = self.note_end
        delivery.note_delivered = self._note_delivered

    def send(self, to: object, text: object, pid: int | None) -> list[Answer]:
        """Queue a text for workers, or for the lead, and return what became of it for each.

        `pid` is the process that asks. Raises DirectiveError when nothing of it can be done.
        """
        if not isinstance(text, str) or not message.cleaned(text):
            raise DirectiveError("a message needs a text")
        is_names = isinstance(to, list) and all(isinstance(name, str) for name in to)
        if not (to == ALL or (is_names and to)):
            raise DirectiveError('a message needs somebody to go to: names of workers, "lead" or "all"')
        names = list(dict.fromkeys(to)) if isinstance(to, list) else [ALL]
        depth = self._crew.caller_depth(pid) if pid else 0
        if depth:
            return self._tell(names, text, pid or 0)
        if len(text.encode()) > message.MAX_TEXT:
            most = message.MAX_TEXT // 1024
            raise DirectiveError(f"a message may have {most} KiB: write the rest to a file, and name that")
        origin = message.LEAD if pid and self._is_lead(pid) else message.USER
        if names == [LEAD_NAME]:
            return [self._to_lead(origin, text)]
        if LEAD_NAME in names:
            raise DirectiveError("the lead is told by itself: `aiorch tell lead`")
        rows = self._rows(names)
        return [self._to_worker(row, origin, text) for row in rows]

    def note_end(self, number: int) -> None:
        """Queue what the lead is told of a worker that has ended, where the user wants that."""
        row = self._journal.worker(number)
        is_told = row.depth == 1 and row.state is not WorkerState.SKIPPED
        if self.config.report != "paste" or not is_told or not self._lead_has_box():
            return
        for open_one in self._open_reports():
            rows = [*self._reported(open_one.key), row]
            text = self._report(open_one.key, rows)
            if len(text) <= MAX_REPORT:
                self._journal.set_message_text(open_one.number, text)
                self._note_reported(open_one.key, rows)
                return
        key = self._journal.next_message_key()
        text, later = self._report(key, [row]), time.time() + GROUP_SECONDS
        self._note_reported(key, [row])
        self._journal.add_message(key, LEAD, LEAD_NAME, message.REPORT, text, not_before=later)
        self._delivery.wake()

    def note_fetched(self, numbers: Collection[int]) -> None:
        """Take workers out of the reports that wait: the lead has fetched their results itself."""
        for open_one in self._open_reports():
            rows = self._reported(open_one.key)
            left = [row for row in rows if row.number not in numbers]
            if not left:
                self._journal.set_message(open_one.number, MessageState.SHOWN, "the lead has fetched it")
            elif len(left) < len(rows):
                self._journal.set_message_text(open_one.number, self._report(open_one.key, left))
                self._note_reported(open_one.key, left)

    def _note_delivered(self, row: MessageRow) -> None:
        """Note whose results the lead has by a report: nobody offers them once more."""
        for worker in self._reported(row.key) if row.origin == message.REPORT else ():
            self._journal.set_worker(worker.number, collected=time.time())

    def _open_reports(self) -> list[MessageRow]:
        rows = self._journal.open_messages(LEAD)
        return [row for row in rows if row.origin == message.REPORT and row.state is MessageState.QUEUED]

    def _reported(self, key: str) -> list[WorkerRow]:
        numbers = self._journal.meta(f"report {key}")
        return [self._journal.worker(int(str(one))) for one in numbers] if isinstance(numbers, list) else []

    def _note_reported(self, key: str, rows: Sequence[WorkerRow]) -> None:
        self._journal.set_meta(f"report {key}", [row.number for row in rows])

    def _report(self, key: str, rows: Sequence[WorkerRow]) -> str:
        return message.report(
            key, [message.summary(row.name, str(row.state), row.reason, row.result) for row in rows]
        )

    def _tell(self, names: Sequence[str], text: str, pid: int) -> list[Answer]:
        """Queue what a worker tells the lead."""
        if list(names) != [LEAD_NAME]:
            raise DirectiveError('not allowed: workers may tell the lead only, `aiorch tell lead "…"`')
        row = self._crew.caller(pid)
        if row is None:
            raise DirectiveError("not allowed: it is not known which worker this comes from")
        if self._journal.count_messages(row.name, time.time() - _HOUR) >= MOST_AN_HOUR:
            raise DirectiveError(
                f"worker {row.name} has sent {MOST_AN_HOUR} messages within an hour: no more now"
            )
        key, clean = self._journal.next_message_key(), message.cleaned(text)
        body = message.capped(clean, message.MAX_TOLD)
        rest = self._keep(key, clean) if body != clean else ""
        whole = message.quoted(key, row.name, body, rest)
        self._journal.add_event(Tag.MESSAGE, f"{row.name}: {shown(clean)}")
        return [self._queue(LEAD, LEAD_NAME, row.name, key, whole, has_box=self._lead_has_box())]

    def _keep(self, key: str, text: str) -> str:
        """Write a long text to a file and return where it is."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{key}.txt"
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        return f"all {len(text.encode())} bytes are in {path}"

    def _to_lead(self, origin: str, text: str) -> Answer:
        if origin == message.LEAD:
            raise DirectiveError("this is the lead: name a worker to tell something")
        key = self._journal.next_message_key()
        self._journal.add_event(Tag.MESSAGE, f"{origin}: {shown(message.cleaned(text))}")
        whole = message.direct(key, origin, text)
        return self._queue(LEAD, LEAD_NAME, origin, key, whole, has_box=self._lead_has_box())

    def _to_worker(self, row: WorkerRow, origin: str, text: str) -> Answer:
        key = self._journal.next_message_key()
        return self._queue(row.number, row.name, origin, key, message.direct(key, origin, text), has_box=True)

    def _queue(self, target: int, name: str, origin: str, key: str, text: str, *, has_box: bool) -> Answer:
        if len(self._journal.open_messages(target)) >= MAX_OPEN:
            raise DirectiveError(f"{MAX_OPEN} messages wait for {name} already")
        number = self._journal.add_message(key, target, name, origin, text)
        if not has_box:
            self._journal.set_message(number, MessageState.SHOWN, "no input box is known there")
            words = f"message {number} for {name} is in the event log: no input box is known there"
            return Answer(number, str(MessageState.SHOWN), words)
        self._delivery.wake()
        return Answer(number, str(MessageState.QUEUED), f"message {number} for {name} is queued")

    def _rows(self, names: Sequence[str]) -> list[WorkerRow]:
        """Return the workers that are meant. Raises DirectiveError when one of them can be told nothing."""
        if list(names) == [ALL]:
            rows = [row for row in self._journal.workers() if not self._deaf(row)]
            if not rows:
                raise DirectiveError("no worker has an input box to type into now")
            return rows
        known = self._journal.named(names)
        for name in names:
            if name not in known:
                raise DirectiveError(f"there is no worker {shown(name)} in this run")
            why = self._deaf(known[name])
            if why:
                raise DirectiveError(f"worker {name} {why}")
        return [known[name] for name in names]

    def _deaf(self, row: WorkerRow) -> str:
        """Return why a worker cannot be told anything, '' when it can."""
        if row.state in ENDED and (row.status is not None or not row.pane or not row.agent):
            return f"has ended ({row.state}): `aiorch retry {row.name}` runs it again"
        profile = self._delivery.profile(row.agent)
        if row.agent and (profile is None or profile.input is None):
            return "runs a program whose input box is not known"
        mode, permission = self.config.mode_of(row.type), self.config.permission_of(row.type)
        kind = effective_mode(profile, mode, permission) if profile else mode
        return "" if kind == "interactive" else _ONESHOT

    def _lead_has_box(self) -> bool:
        profile = self._primary.agent
        return profile is not None and profile.input is not None

    def _is_lead(self, pid: int) -> bool:
        running = self._primary.running
        return running is not None and running.pid in process.ancestry(pid)
