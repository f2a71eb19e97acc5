"""Messages between the user, the lead and workers, as the journal has them."""

from __future__ import annotations

import os
import sqlite3
import time

from aiorch.journal.history import decoded
from aiorch.journal.rows import OPEN, MessageRow, MessageState
from aiorch.journal.trees import Trees

LEAD = 0
"""The number of the lead as a reader of messages; workers have theirs."""


class Messages(Trees):
    """The part of a journal that knows who has been told what, and what is still to be told."""

    def next_message_key(self) -> str:
        """Return what tells the next message from all others, in this run and in all that came before it."""
        row = self._db.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM messages").fetchone()
        return f"{row[0]}-{os.urandom(2).hex()}"

    def add_message(
        self, key: str, target: int, name: str, origin: str, text: str, *, not_before: float = 0.0
    ) -> int:
        """Record a message as queued and return its number."""
        now = time.time()
        cursor = self._db.execute(
            "INSERT INTO messages (key, target, name, origin, text, state, reason, tries, created, changed,"
            " not_before) VALUES (?, ?, ?, ?, ?, ?, '', 0, ?, ?, ?)",
            (key, target, name, origin, text, MessageState.QUEUED, now, now, not_before),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def set_message(self, number: int, state: MessageState, reason: str = "") -> None:
        """Bring a message into a state."""
        self._db.execute(
            "UPDATE messages SET state = ?, reason = ?, changed = ? WHERE number = ?",
            (state, reason, time.time(), number),
        )

    def begin_message(self, number: int, place: str) -> None:
        """Note that a message is about to be typed, and where."""
        self._db.execute(
            "UPDATE messages SET state = ?, reason = '', place = ?, tries = tries + 1, changed = ?"
            " WHERE number = ?",
            (MessageState.TYPING, place, time.time(), number),
        )

    def set_message_reason(self, number: int, reason: str) -> None:
        """Note why a message waits; since when it is in its state stays."""
        self._db.execute("UPDATE messages SET reason = ? WHERE number = ?", (reason, number))

    def set_message_text(self, number: int, text: str) -> None:
        """Change what a message says that is still queued."""
        self._db.execute("UPDATE messages SET text = ? WHERE number = ?", (text, number))

    def open_messages(self, target: int | None = None) -> list[MessageRow]:
        """Return the messages that are under way, for all or for one reader, oldest first."""
        marks = ", ".join("?" * len(OPEN))
        query = f"SELECT * FROM messages WHERE state IN ({marks}) AND ? IN (target, -1) ORDER BY number"
        rows = self._db.execute(query, (*OPEN, -1 if target is None else target))
        return [decoded(_message, row) for row in rows]

    def messages(self) -> list[MessageRow]:
        """Return all messages, oldest first."""
        # An engine of an older version may still write this journal.
        if not self._has_table("messages"):
            return []
        return [decoded(_message, row) for row in self._db.execute("SELECT * FROM messages ORDER BY number")]

    def message(self, number: int) -> MessageRow:
        """Return one message by number."""
        row = self._db.execute("SELECT * FROM messages WHERE number = ?", (number,)).fetchone()
        return decoded(_message, row)

    def count_messages(self, origin: str, since: float) -> int:
        """Return how many messages somebody has sent since a time (seconds since the epoch)."""
        query = "SELECT COUNT(*) FROM messages WHERE origin = ? AND created > ?"
        return int(self._db.execute(query, (origin, since)).fetchone()[0])


def _message(row: sqlite3.Row) -> MessageRow:
    names = ("number", "key", "target", "name", "origin", "text", "reason", "tries", "created")
    values = {name: row[name] for name in (*names, "place", "changed", "not_before")}
    return MessageRow(state=MessageState(row["state"]), **values)
