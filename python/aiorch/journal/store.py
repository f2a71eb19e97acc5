"""The run's SQLite file: the only place where state lives, written by the engine alone."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from aiorch.capture.directive import Directive, Rejected
from aiorch.capture.keys import SESSION_KEY
from aiorch.errors import JournalDamagedError
from aiorch.journal.place import Place
from aiorch.journal.reading import Reading, connect, news_of
from aiorch.journal.rows import DirectiveState, WorkerState
from aiorch.journal.schema import create, upgrade
from aiorch.plan.schema import DEFAULT_POLICY, WorkerSpec

_LEFT_OPEN: list[sqlite3.Connection] = []


class Journal(Reading):
    """Reads and writes one run's journal; only the engine opens it for writing."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        if not read_only and not path.exists():
            create(path)
        super().__init__(connect(path, "ro" if read_only else "rw"), news_of(path))
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

    def keep_file(self, name: str, record: Mapping[str, object]) -> None:
        """Remember how far one session file was read, and what is known of it."""
        # A path may be no UTF-8, which no database takes: JSON writes such bytes as escapes.
        row = (json.dumps(name), json.dumps(record))
        self._db.execute("INSERT OR REPLACE INTO session_files VALUES (?, ?)", row)

    def keep_answer(self, request: str, reply: Mapping[str, object]) -> None:
        """Remember what a request was answered, in the transaction of what it did."""
        self._db.execute("INSERT INTO answers VALUES (?, ?)", (request, json.dumps(reply)))

    def forget_answer(self, request: str) -> None:
        """Note that a request is gone and will not be read again."""
        self._db.execute("DELETE FROM answers WHERE request = ?", (request,))

    def set_request(self, number: int, user_id: str | None, payload: Mapping[str, object]) -> None:
        """Record what a directive was understood as: its id, and the payload with what its file holds."""
        self._db.execute(
            "UPDATE directives SET user_id = ?, payload = ? WHERE number = ?",
            (user_id, json.dumps(payload), number),
        )

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

    def forget_panes(self, panes: Collection[str]) -> None:
        """Note that these panes are closed: tmux may give the place to another worker."""
        marks = ", ".join("?" * len(panes))
        self._db.execute(f"UPDATE workers SET pane = '' WHERE pane IN ({marks})", tuple(panes))

    def forget_all_panes(self) -> None:
        """Note that all panes are gone: another tmux server gives their ids to others."""
        self._db.execute("UPDATE workers SET pane = ''")

    def add_size(self, segment: str, offset: int, cols: int, rows: int) -> None:
        """Record the size that the primary has from this point of its log on."""
        self._db.execute("INSERT INTO sizes VALUES (?, ?, ?, ?)", (segment, offset, cols, rows))
