"""What is read of a journal: by the engine, and by every command, so little is loaded for it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from aiorch.capture.keys import SESSION_KEY
from aiorch.journal.history import decoded
from aiorch.journal.messages import Messages
from aiorch.journal.place import uri
from aiorch.journal.rows import ACTIVE, ENDED, DirectiveRow, DirectiveState, WorkerRow, WorkerState
from aiorch.journal.text import Connection

_FLAGS = ("idempotent", "resumes", "worked")
_WORKER_COLUMNS = frozenset(WorkerRow._fields)


class Reading(Messages):
    """A journal as it can be read; whoever only reads cannot change it."""

    def copy_to(self, path: Path) -> None:
        """Write a whole copy of the journal as it is now, into a file that is not there yet."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
        with closing(sqlite3.connect(uri(path, "rw"), uri=True)) as copy:
            self._db.backup(copy)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read inside be as it was at one moment."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def directives(self, state: DirectiveState | None = None) -> list[DirectiveRow]:
        """Return the directives, oldest first, all or those in one state."""
        rows = self._db.execute(
            "SELECT * FROM directives WHERE ? IS NULL OR state = ? ORDER BY number", (state, state)
        )
        return [decoded(_directive_row, row) for row in rows]

    def asking(self) -> int:
        """Return how many directives wait for the user's answer."""
        query = "SELECT COUNT(*) FROM directives WHERE state = ?"
        return int(self._db.execute(query, (DirectiveState.ASKING,)).fetchone()[0])

    def has_payload(self, payload: Mapping[str, object]) -> bool:
        """Return whether some directive with this very payload was recorded already."""
        query = "SELECT 1 FROM directives WHERE payload = ? LIMIT 1"
        return self._db.execute(query, (json.dumps(payload),)).fetchone() is not None

    def said_payloads(self, limit: int) -> list[Mapping[str, object]]:
        """Return the payloads of the last directives that came from session files, oldest first."""
        rows = self._db.execute(
            "SELECT payload FROM directives WHERE key >= ? AND key < ? ORDER BY number DESC LIMIT ?",
            (SESSION_KEY, SESSION_KEY[:-1] + ";", limit),
        ).fetchall()
        return [json.loads(row[0]) for row in reversed(rows)]

    def session_files(self) -> dict[str, dict[str, object]]:
        """Return what is remembered of session files, by name."""
        rows = self._db.execute("SELECT * FROM session_files")
        return {json.loads(name): json.loads(record) for name, record in rows}

    def lives_of(self, agent: str) -> list[tuple[float, float | None]]:
        """Return from when to when (None: until now) workers of an agent ran."""
        query = "SELECT started, ended FROM workers WHERE agent = ? AND started IS NOT NULL"
        return [(row[0], row[1]) for row in self._db.execute(query, (agent,))]

    def shown_question(self, key: str) -> DirectiveRow | None:
        """Return the directive of the screen with this key, if it waits for the user's answer."""
        row = self._db.execute(
            "SELECT * FROM directives WHERE state = 'asking' AND key LIKE '%:' || ? ORDER BY number DESC",
            (key,),
        ).fetchone()
        return None if row is None else decoded(_directive_row, row)

    def answer(self, request: str) -> dict[str, object] | None:
        """Return what a request was answered that was carried out already."""
        row = self._db.execute("SELECT reply FROM answers WHERE request = ?", (request,)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def directive(self, number: int) -> DirectiveRow | None:
        """Return one directive by number."""
        row = self._db.execute("SELECT * FROM directives WHERE number = ?", (number,)).fetchone()
        return None if row is None else decoded(_directive_row, row)

    def same_id(self, conversation: int, user_id: str, before: int) -> DirectiveRow | None:
        """Return the earlier directive of this conversation that was accepted under the same id."""
        row = self._db.execute(
            "SELECT * FROM directives WHERE conversation = ? AND user_id = ? AND number < ?"
            " AND state NOT IN ('rejected', 'ignored') ORDER BY number LIMIT 1",
            (conversation, user_id, before),
        ).fetchone()
        return None if row is None else decoded(_directive_row, row)

    def workers(self) -> list[WorkerRow]:
        """Return all workers of the run, oldest first."""
        return [
            decoded(_worker_row, row) for row in self._db.execute("SELECT * FROM workers ORDER BY number")
        ]

    def unfinished(self) -> list[WorkerRow]:
        """Return the workers that have not ended, oldest first."""
        marks = ", ".join("?" * len(ENDED))
        rows = self._db.execute(
            f"SELECT * FROM workers WHERE state NOT IN ({marks}) ORDER BY number", tuple(ENDED)
        )
        return [decoded(_worker_row, row) for row in rows]

    def active(self) -> list[WorkerRow]:
        """Return the workers that are under way, oldest first."""
        marks = ", ".join("?" * len(ACTIVE))
        query = f"SELECT * FROM workers WHERE state IN ({marks}) ORDER BY number"
        return [decoded(_worker_row, row) for row in self._db.execute(query, tuple(ACTIVE))]

    def last_begun(self, most: int) -> list[float]:
        """Return when the last attempts began, so many at most."""
        query = "SELECT time FROM transitions WHERE state = 'starting' ORDER BY number DESC LIMIT ?"
        return [row[0] for row in self._db.execute(query, (most,))]

    def panes_done(self, before: float) -> set[str]:
        """Return the panes of workers that were done before a time."""
        query = "SELECT pane FROM workers WHERE state = 'done' AND pane != '' AND ended <= ?"
        return {row[0] for row in self._db.execute(query, (before,))}

    def first_done(self) -> float | None:
        """Return when the first worker was done that still has its pane, None when there is none."""
        query = "SELECT MIN(ended) FROM workers WHERE state = 'done' AND pane != ''"
        found: float | None = self._db.execute(query).fetchone()[0]
        return found

    def workers_of(self, directive: int) -> list[WorkerRow]:
        """Return the workers of one directive, oldest first."""
        rows = self._db.execute("SELECT * FROM workers WHERE directive = ? ORDER BY number", (directive,))
        return [decoded(_worker_row, row) for row in rows]

    def waiting_for(self, name: str) -> set[int]:
        """Return the directives that have workers which come after the one of this name."""
        rows = self._db.execute("SELECT directive, after FROM workers WHERE after != '[]'")
        return {row[0] for row in rows if name in json.loads(row[1])}

    def overlapping(self, number: int, since: float) -> list[WorkerRow]:
        """Return the other workers that ran at a time after `since` (seconds since the epoch)."""
        rows = self._db.execute(
            "SELECT * FROM workers WHERE number != ? AND started IS NOT NULL AND state != 'queued'"
            " AND (ended IS NULL OR ended > ?) ORDER BY number",
            (number, since),
        )
        return [decoded(_worker_row, row) for row in rows]

    def records(self, agent: str, other_than: int) -> list[dict[str, object]]:
        """Return the session files that are known of an agent's workers, those of one left out."""
        query = "SELECT record FROM workers WHERE agent = ? AND number != ? AND record != '{}'"
        return [json.loads(row[0]) for row in self._db.execute(query, (agent, other_than))]

    def named(self, names: Collection[str]) -> dict[str, WorkerRow]:
        """Return the workers of these names."""
        marks = ", ".join("?" * len(names))
        rows = self._db.execute(f"SELECT * FROM workers WHERE name IN ({marks})", tuple(names))
        return {row["name"]: decoded(_worker_row, row) for row in rows}

    def panes_of(self, *states: WorkerState) -> set[str]:
        """Return the panes whose worker is in one of these states."""
        marks = ", ".join("?" * len(states))
        return {
            row[0] for row in self._db.execute(f"SELECT pane FROM workers WHERE state IN ({marks})", states)
        }

    def count_workers(self) -> int:
        """Return how many workers the run has had."""
        return int(self._db.execute("SELECT COUNT(*) FROM workers").fetchone()[0])

    def is_open(self, directive: int) -> bool:
        """Return whether a directive has workers that have not ended."""
        marks = ", ".join("?" * len(ENDED))
        row = self._db.execute(
            f"SELECT 1 FROM workers WHERE directive = ? AND state NOT IN ({marks}) LIMIT 1",
            (directive, *ENDED),
        ).fetchone()
        return row is not None

    def counts(self) -> dict[WorkerState, int]:
        """Return how many workers are in each state; one that is held under way waits."""
        rows = self._db.execute(
            "SELECT CASE WHEN paused > 0 AND state = 'working' THEN 'waiting' ELSE state END AS shown,"
            " COUNT(*) FROM workers GROUP BY shown"
        )
        return dict(decoded(_counted, row) for row in rows)

    def worker(self, number: int) -> WorkerRow:
        """Return one worker by number."""
        row = self._db.execute("SELECT * FROM workers WHERE number = ?", (number,)).fetchone()
        return decoded(_worker_row, row)

    def names(self) -> set[str]:
        """Return the names of all workers of the run."""
        return {row[0] for row in self._db.execute("SELECT name FROM workers")}

    def sizes(self) -> list[tuple[str, int, int, int]]:
        """Return all recorded sizes as (segment, offset, cols, rows), oldest first."""
        rows = self._db.execute("SELECT * FROM sizes ORDER BY segment, offset, rowid")
        return [(row["segment"], row["offset"], row["cols"], row["rows"]) for row in rows]


@contextmanager
def reading(path: Path) -> Iterator[Reading]:
    """Open a journal for reading; raises JournalError with a sentence for all that is wrong with it."""
    try:
        with closing(Reading(connect(path, "ro"), news_of(path))) as journal:
            yield journal
    except sqlite3.Error as error:
        from aiorch.journal.fault import explained

        raise explained(error, path) from error


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a journal's file in a mode of SQLite's: ro, rw."""
    database = sqlite3.connect(uri(path, mode), uri=True, isolation_level=None, timeout=5, factory=Connection)
    database.row_factory = sqlite3.Row
    return database


def news_of(path: Path) -> Path:
    """Return the file that is touched when the event log of a journal has grown."""
    return path.parent / "news" / "events"


def _counted(row: sqlite3.Row) -> tuple[WorkerState, int]:
    return WorkerState(row[0]), row[1]


def _worker_row(row: sqlite3.Row) -> WorkerRow:
    # An engine of another version may have more columns, or fewer.
    values = {name: row[name] for name in row.keys() if name in _WORKER_COLUMNS}  # noqa: SIM118
    values["after"] = tuple(json.loads(values["after"]))
    values["state"] = WorkerState(values["state"])
    values |= {name: bool(values[name]) for name in _FLAGS if name in values}
    return WorkerRow(**values)


def _directive_row(row: sqlite3.Row) -> DirectiveRow:
    names = ("number", "source", "position", "received_as", "user_id", "reason", "plan", "created")
    values = {name: row[name] for name in names}
    return DirectiveRow(payload=json.loads(row["payload"]), state=DirectiveState(row["state"]), **values)
