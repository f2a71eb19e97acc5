"""The run's SQLite file: the only place where state lives, written by the engine alone."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path

from aiorch.capture.directive import SESSION_KEY, Directive, Rejected
from aiorch.errors import JournalDamagedError
from aiorch.journal.history import decoded
from aiorch.journal.messages import Messages
from aiorch.journal.place import Place, uri
from aiorch.journal.rows import ACTIVE, ENDED, DirectiveRow, DirectiveState, WorkerRow, WorkerState
from aiorch.journal.schema import create, upgrade
from aiorch.journal.text import Connection
from aiorch.plan.schema import DEFAULT_POLICY, WorkerSpec

_LEFT_OPEN: list[sqlite3.Connection] = []
_FLAGS = ("idempotent", "resumes", "worked")
_WORKER_COLUMNS = frozenset(field.name for field in fields(WorkerRow))


class Journal(Messages):
    """Reads and writes one run's journal; only the engine opens it for writing."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        if not read_only and not path.exists():
            create(path)
        target = uri(path, "ro" if read_only else "rw")
        database = sqlite3.connect(target, uri=True, isolation_level=None, timeout=5, factory=Connection)
        database.row_factory = sqlite3.Row
        super().__init__(database, path.parent / "news" / "events")
        self._is_read_only = read_only
        if not read_only:
            path.chmod(0o600)
            # NORMAL loses nothing when the process dies. What a power cut must not cost is `durable`.
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
            upgrade(self._db)
        self.place = Place(path)

    def is_in_place(self) -> bool:
        """Return whether others find this very journal at its place."""
        return self.place.is_kept or self._is_found_again()

    def _is_found_again(self) -> bool:
        """Say so of files that look like others: some file systems give them another number now and then."""
        try:
            with closing(Journal(self.place.path, read_only=True)) as other:
                # What others see once the log is empty stands in the database, what they see next in the log.
                if not (self._is_seen(other, settled=True) and self._is_seen(other, settled=False)):
                    return False
        except (sqlite3.Error, JournalDamagedError):
            return False
        self.place.note()
        return True

    def _is_seen(self, other: Journal, *, settled: bool) -> bool:
        token = time.time_ns()
        self.set_meta("place", token)
        if settled and self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            return False
        return other.meta("place") == token

    def copy_to(self, path: Path) -> None:
        """Write a whole copy of the journal as it is now, into a file that is not there yet."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
        with closing(sqlite3.connect(uri(path, "rw"), uri=True)) as copy:
            self._db.backup(copy)

    def close(self) -> None:
        """Close the file; one that is not in its place any more stays open until the process ends.

        SQLite would remove the log beside it by its name, which is another journal's by then.
        """
        if self._is_read_only or self.place.is_kept:
            self._db.close()
        else:
            _LEFT_OPEN.append(self._db)

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Commit all writes inside together, or none when it raises; may be nested.

        A `durable` one that is not nested is on the disk when it is over, with all that was committed before.
        """
        if self._db.in_transaction:
            yield
            return
        if durable:
            self._db.execute("PRAGMA synchronous=FULL")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                # Some faults end the transaction by themselves.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        finally:
            if durable:
                self._db.execute("PRAGMA synchronous=NORMAL")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read inside be as it was at one moment."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def add_directive(self, directive: Directive, conversation: int) -> int | None:
        """Record a directive and return its number, or None when this very directive is there already."""
        # What a session file says bears the agent's own mark, the same in all its conversations.
        own = directive.key.startswith(SESSION_KEY)
        key = directive.key if own else f"{conversation}:{directive.source}:{directive.key}"
        return self._insert_directive(
            key, conversation, directive.source, directive.provenance, directive.position,
            directive.received_as, json.dumps(directive.payload), None, DirectiveState.ASKING, "",
        )  # fmt: skip

    def add_rejected(self, rejected: Rejected, conversation: int) -> int | None:
        """Record text that is no directive and return its number, or None when it is there already."""
        state = DirectiveState.REJECTED if rejected.is_error else DirectiveState.IGNORED
        with self.transaction():
            number = self._insert_directive(
                f"{conversation}:{rejected.source}:!{rejected.key}", conversation, rejected.source, "",
                rejected.position, rejected.received_as, "{}", None, state, rejected.reason,
            )  # fmt: skip
            if number is not None:
                self._add_decision(number, state, rejected.reason)
        return number

    def _insert_directive(self, *values: object) -> int | None:
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO directives"
            " (key, conversation, source, provenance, position, received_as, payload, user_id,"
            " state, reason, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, time.time()),
        )
        return cursor.lastrowid if cursor.rowcount else None

    def set_directive(
        self, number: int, state: DirectiveState, reason: str = "", plan: str | None = None
    ) -> None:
        """Record what became of a directive; `plan` is its JSON text once there is one."""
        with self.transaction():
            self._db.execute(
                "UPDATE directives SET state = ?, reason = ?, plan = COALESCE(?, plan) WHERE number = ?",
                (state, reason, plan, number),
            )
            self._add_decision(number, state, reason)

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

    def keep_file(self, name: str, record: Mapping[str, object]) -> None:
        """Remember how far one session file was read, and what is known of it."""
        # A path may be no UTF-8, which no database takes: JSON writes such bytes as escapes.
        row = (json.dumps(name), json.dumps(record))
        self._db.execute("INSERT OR REPLACE INTO session_files VALUES (?, ?)", row)

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

    def keep_answer(self, request: str, reply: Mapping[str, object]) -> None:
        """Remember what a request was answered, in the transaction of what it did."""
        self._db.execute("INSERT INTO answers VALUES (?, ?)", (request, json.dumps(reply)))

    def answer(self, request: str) -> dict[str, object] | None:
        """Return what a request was answered that was carried out already."""
        row = self._db.execute("SELECT reply FROM answers WHERE request = ?", (request,)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def forget_answer(self, request: str) -> None:
        """Note that a request is gone and will not be read again."""
        self._db.execute("DELETE FROM answers WHERE request = ?", (request,))

    def set_request(self, number: int, user_id: str | None, payload: Mapping[str, object]) -> None:
        """Record what a directive was understood as: its id, and the payload with what its file holds."""
        self._db.execute(
            "UPDATE directives SET user_id = ?, payload = ? WHERE number = ?",
            (user_id, json.dumps(payload), number),
        )

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

    def add_worker(self, directive: int, spec: WorkerSpec, depth: int = 1) -> int:
        """Record a worker as queued and return its number."""
        cursor = self._db.execute(
            "INSERT INTO workers"
            " (directive, name, type, task, after, idempotent, on_failure, depth, state, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (directive, spec.name, spec.type, spec.task, json.dumps(spec.after), spec.idempotent,
             spec.on_failure or DEFAULT_POLICY, depth, WorkerState.QUEUED, time.time()),
        )  # fmt: skip
        assert cursor.lastrowid is not None
        self._add_transition(cursor.lastrowid, WorkerState.QUEUED, f"directive #{directive}")
        return cursor.lastrowid

    def move_worker(self, number: int, state: WorkerState, evidence: str, **columns: object) -> None:
        """Bring a worker into a state, with what showed that it is in it, and change columns with it."""
        with self.transaction():
            self.set_worker(number, state=state, **columns)
            self._add_transition(number, state, evidence)

    def set_worker(self, number: int, **columns: object) -> None:
        """Change columns of one worker; its state changes by `move_worker`."""
        names = ", ".join(f"{name} = ?" for name in columns)
        self._db.execute(f"UPDATE workers SET {names} WHERE number = ?", (*columns.values(), number))

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

    def forget_panes(self, panes: Collection[str]) -> None:
        """Note that these panes are closed: tmux may give the place to another worker."""
        marks = ", ".join("?" * len(panes))
        self._db.execute(f"UPDATE workers SET pane = '' WHERE pane IN ({marks})", tuple(panes))

    def forget_all_panes(self) -> None:
        """Note that all panes are gone: another tmux server gives their ids to others."""
        self._db.execute("UPDATE workers SET pane = ''")

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

    def add_size(self, segment: str, offset: int, cols: int, rows: int) -> None:
        """Record the size that the primary has from this point of its log on."""
        self._db.execute("INSERT INTO sizes VALUES (?, ?, ?, ?)", (segment, offset, cols, rows))

    def sizes(self) -> list[tuple[str, int, int, int]]:
        """Return all recorded sizes as (segment, offset, cols, rows), oldest first."""
        rows = self._db.execute("SELECT * FROM sizes ORDER BY segment, offset, rowid")
        return [(row["segment"], row["offset"], row["cols"], row["rows"]) for row in rows]


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
