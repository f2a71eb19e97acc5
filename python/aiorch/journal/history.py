"""What only grows in a journal: the event log, the steps of workers' lives, what became of directives."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from aiorch.errors import JournalDamagedError
from aiorch.journal.rows import Decision, DirectiveState, Event, Happening, Tag, Transition, WorkerState

SERIES = ("events", "transitions", "decisions")
# The three are numbered together, so that one number says how far somebody has read.
_NEXT = " ".join(
    [
        "SELECT 1 + MAX(",
        ", ".join(f"COALESCE((SELECT MAX(number) FROM {name}), 0)" for name in SERIES),
        ")",
    ]
)

T = TypeVar("T")


class History:
    """The part of a journal that is only added to; `news` is the file that the views watch."""

    def __init__(self, database: sqlite3.Connection, news: Path) -> None:
        self._db = database
        self._news = news
        self._unpublished = False

    def publish(self) -> None:
        """Wake the views once when something happened since the last call.

        They watch one small file, not the journal: waking on every write would slow down what matters.
        """
        if self._unpublished:
            self._unpublished = False
            self._news.write_bytes(b"")

    def add_event(self, tag: Tag, text: str) -> None:
        """Append a line to the event log; what is not printable in it is shown as an escape."""
        # Every view shows it in a terminal, and what it says may come from a worker or a file.
        safe = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
        self._db.execute(f"INSERT INTO events VALUES (({_NEXT}), ?, ?, ?)", (time.time(), tag, safe))
        self._unpublished = True

    def _add_transition(self, number: int, state: WorkerState, evidence: str) -> None:
        self._db.execute(
            f"INSERT INTO transitions SELECT ({_NEXT}), ?, number, attempt, ?, ? FROM workers"
            " WHERE number = ?",
            (time.time(), state, evidence, number),
        )
        self._unpublished = True

    def state_since(self, number: int) -> float:
        """Return since when (seconds since the epoch) a worker is in its state."""
        query = "SELECT time FROM transitions WHERE worker = ? ORDER BY number DESC LIMIT 1"
        row = self._db.execute(query, (number,)).fetchone()
        return float(row[0]) if row else time.time()

    def _add_decision(self, number: int, state: DirectiveState, reason: str) -> None:
        self._db.execute(
            f"INSERT INTO decisions SELECT ({_NEXT}), ?, number, ?, ? FROM directives WHERE number = ?",
            (time.time(), state, reason, number),
        )
        self._unpublished = True

    def events(self, after: int = 0) -> list[Event]:
        """Return the lines of the event log whose number is above `after`."""
        return self._since("events", after, _event)

    def transitions(self, after: int = 0) -> list[Transition]:
        """Return the steps of all workers' lives whose number is above `after`, in their order."""
        return self._since("transitions", after, _transition)

    def decisions(self, after: int = 0) -> list[Decision]:
        """Return what became of all directives, step by step, where the number is above `after`."""
        return self._since("decisions", after, _decision)

    def history(self, after: int = 0) -> list[Happening]:
        """Return all that happened whose number is above `after`, in the order of time."""
        found: list[Happening] = [*self.events(after), *self.transitions(after), *self.decisions(after)]
        return sorted(found, key=lambda one: (one.time, one.number))

    @property
    def newest(self) -> int:
        """Return the number of what happened last, 0 when nothing did."""
        query = _NEXT if self._has_table(SERIES[-1]) else "SELECT 1 + COALESCE(MAX(number), 0) FROM events"
        return int(self._db.execute(query).fetchone()[0]) - 1

    def _since(self, table: str, after: int, make: Callable[[sqlite3.Row], T]) -> list[T]:
        # An engine of an older version may still write this journal.
        if table != SERIES[0] and not self._has_table(table):
            return []
        rows = self._db.execute(f"SELECT * FROM {table} WHERE number > ? ORDER BY number", (after,))
        return [decoded(make, row) for row in rows]

    def _has_table(self, name: str) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._db.execute(query, (name,)).fetchone() is not None


def decoded(make: Callable[[sqlite3.Row], T], row: sqlite3.Row) -> T:
    """Return what is made of a row. Raises JournalDamagedError when it holds what nobody wrote there."""
    try:
        return make(row)
    except (ValueError, TypeError, KeyError) as error:
        raise JournalDamagedError(f"the journal is damaged: a row of it makes no sense ({error})") from error


def _event(row: sqlite3.Row) -> Event:
    return Event(row["number"], row["time"], Tag(row["tag"]), row["text"])


def _transition(row: sqlite3.Row) -> Transition:
    state = WorkerState(row["state"])
    return Transition(row["number"], row["time"], row["worker"], row["attempt"], state, row["evidence"])


def _decision(row: sqlite3.Row) -> Decision:
    state = DirectiveState(row["state"])
    return Decision(row["number"], row["time"], row["directive"], state, row["reason"])
