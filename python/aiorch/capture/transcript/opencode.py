"""OpenCode's sessions: one SQLite database for all projects, `~/.local/share/opencode/opencode.db`."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiorch.capture.grammar import MARKER
from aiorch.capture.transcript.database import Database
from aiorch.capture.transcript.records import Record, parse, part, word
from aiorch.capture.transcript.said import Said

_MAX_PENDING = 64
_MAX_LOOKED_AT = 200
_ENDED = re.compile(r'"time":\{[^{}]*"end":')
_COLUMNS = "SELECT part.rowid, part.id, part.message_id, part.session_id, part.data FROM part"


@dataclass(frozen=True, slots=True)
class _Place:
    """How far the parts were read: the last row, its id, and the ids of texts that still stream."""

    row: int = 0
    id: str = ""
    pending: tuple[str, ...] = ()

    @staticmethod
    def from_cursor(cursor: object) -> _Place:
        known = cursor if isinstance(cursor, Mapping) else {}
        row, name, pending = known.get("row"), known.get("id"), known.get("pending")
        if not isinstance(row, int) or not isinstance(name, str) or not isinstance(pending, list):
            return _Place()
        return _Place(row, name, tuple(one for one in pending if isinstance(one, str)))


@dataclass(slots=True)
class _Read:
    """What one look at the database gave."""

    place: _Place
    found: list[Said] = field(default_factory=list)


class OpenCodeDatabase:
    """Follows one main session, or all of them when none is named.

    Seen with 1.18.33: a part is inserted empty while its text streams, and gets an end time when it is
    finished; an aborted one is finished when its message is. A fork copies messages under new ids, but
    their times stay: a text is known by its start in milliseconds and its content. Only new rows, and
    those that still stream, are read; after a deletion (undo) all are read once more.
    """

    def __init__(self, path: Path, cursor: object = None, session: str = "", *, marker: str = MARKER) -> None:
        self.path = path
        self._marker = marker
        self._database = Database(path)
        self._session = session
        self._place = _Place.from_cursor(cursor)

    @property
    def restarts(self) -> int:
        """Return 0: rows that are read once more keep their identity."""
        return 0

    @property
    def watched(self) -> tuple[Path, ...]:
        """Return the database and its write-ahead log."""
        return self._database.files

    @property
    def cursor(self) -> object:
        """Return the last row that was read and the texts that still stream."""
        return {"row": self._place.row, "id": self._place.id, "pending": list(self._place.pending)}

    def read(self) -> list[Said]:
        """Return the texts with a marker that were finished since the last read."""
        if not self._database.changed():
            return []
        try:
            with self._database.reading() as connection:
                read = self._look(connection)
        except (sqlite3.Error, OSError):
            return []
        self._place = read.place
        return read.found

    def finish(self) -> list[Said]:
        """Return what `read` does: a text that still streams is never finished by itself."""
        return self.read()

    def _look(self, connection: sqlite3.Connection) -> _Read:
        place = self._place
        last = connection.execute("SELECT id FROM part WHERE rowid = ?", (place.row,)).fetchone()
        if place.row and (last is None or last[0] != place.id):
            place = _Place()
        read = _Read(replace(place, pending=()))
        for name in place.pending:
            for row in connection.execute(f"{_COLUMNS} WHERE part.id = ?", (name,)):
                self._take(connection, row, read)
        for row in self._new(connection, place.row):
            read.place = replace(read.place, row=row[0], id=row[1])
            self._take(connection, row, read)
        return read

    def _new(self, connection: sqlite3.Connection, after: int) -> Iterator[tuple[int, str, str, str, str]]:
        if after or not self._session:
            # By row: an index on the session would cost a look-up for each session there is.
            yield from connection.execute(f"{_COLUMNS} NOT INDEXED WHERE rowid > ? ORDER BY rowid", (after,))
            return
        query = f"{_COLUMNS} WHERE part.session_id = ? ORDER BY part.rowid"
        yield from connection.execute(query, (self._session,))

    def _take(self, connection: sqlite3.Connection, row: tuple[int, str, str, str, str], read: _Read) -> None:
        number, name, message_id, session, data = row
        # What cannot matter is not parsed: other kinds of parts, and finished texts without a marker.
        if '"text"' not in data or (self._marker not in data and _ENDED.search(data)):
            return
        if not self._is_ours(connection, session):
            return
        record = parse(data.encode("utf-8", "replace"))
        if record is None or record.get("type") != "text" or record.get("synthetic") or record.get("ignored"):
            return
        answer = connection.execute("SELECT data FROM message WHERE id = ?", (message_id,)).fetchone()
        message = parse(answer[0].encode("utf-8", "replace")) if answer else None
        if message is None or not _is_answer(message):
            return
        if not _is_finished(record, message):
            read.place = replace(read.place, pending=(*read.place.pending, name)[-_MAX_PENDING:])
            return
        text = word(record, "text")
        if self._marker in text:
            identity = _identity(record, message, text)
            where = f"{self.path.name}:{number}"
            read.found.append(Said(text, identity, session, where, time=_time(record, message)))

    def _is_ours(self, connection: sqlite3.Connection, session: str) -> bool:
        if self._session not in ("", session):
            return False
        facts = connection.execute("SELECT parent_id FROM session WHERE id = ?", (session,)).fetchone()
        return facts is not None and facts[0] is None


def last_text(connection: sqlite3.Connection, session: str, since: float) -> str:
    """Return the last finished text of a session's answers, '' when there is none since then."""
    query = f"{_COLUMNS} WHERE part.session_id = ? ORDER BY part.rowid DESC LIMIT {_MAX_LOOKED_AT}"
    for _, _, message_id, _, data in connection.execute(query, (session,)):
        record = parse(data.encode("utf-8", "replace"))
        if record is None or record.get("type") != "text" or record.get("synthetic") or record.get("ignored"):
            continue
        answer = connection.execute("SELECT data FROM message WHERE id = ?", (message_id,)).fetchone()
        message = parse(answer[0].encode("utf-8", "replace")) if answer else None
        if message is None or not _is_answer(message) or (_time(record, message) or since) < since:
            continue
        return word(record, "text").strip()
    return ""


def _is_answer(message: Record) -> bool:
    """Say whether the message is the assistant's own, and no summary of the conversation."""
    return (
        message.get("role") == "assistant"
        and not message.get("summary")
        and "compaction" not in (message.get("mode"), message.get("agent"))
    )


def _is_finished(record: Record, message: Record) -> bool:
    return bool(part(record, "time").get("end") or part(message, "time").get("completed"))


def _time(record: Record, message: Record) -> float | None:
    end = part(record, "time").get("end") or part(message, "time").get("completed")
    return end / 1000 if isinstance(end, int | float) else None


def _identity(record: Record, message: Record, text: str) -> str:
    start = part(record, "time").get("start") or part(message, "time").get("created")
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
    return f"opencode/{start}/{digest}"
