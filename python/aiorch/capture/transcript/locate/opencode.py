"""OpenCode: one SQLite database for all sessions of a user."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from aiorch import process
from aiorch.capture.transcript.database import Database
from aiorch.capture.transcript.locate import files
from aiorch.capture.transcript.locate.found import Known, Seen, Store
from aiorch.capture.transcript.locate.lead import Lead

_MAX_SESSIONS = 50
_ROWS = (
    "SELECT id, directory, time_created, time_updated FROM session WHERE parent_id IS NULL"
    f" ORDER BY time_updated DESC LIMIT {_MAX_SESSIONS}"
)


class _Row(NamedTuple):
    session: str
    directory: str
    created: float
    updated: float


class OpenCodeStore(Store):
    """Sessions in `opencode.db` (or `opencode-<channel>.db`) in `$XDG_DATA_HOME/opencode`, or `$OPENCODE_DB`.

    Seen in 1.18.33: the process holds it open; a new session is a row and no new file.
    """

    one_per_file = False

    def root(self, environment: Mapping[str, str], home: Path) -> Path:
        """Return `$XDG_DATA_HOME/opencode`, by default in `~/.local/share`."""
        return Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share") / "opencode"

    def seen(self, lead: Lead, since: float) -> Iterator[Seen]:
        """Yield the sessions of the directory, with the times that the database gives."""
        for database in self._databases(lead):
            rows = [(row, lead.is_here(row.directory)) for row in _rows(database)]
            for row, here in rows:
                if here is not False:
                    written = self._written(database, row, rows)
                    yield Seen(database, written, row.session, here, row.created)

    def known(self, lead: Lead, seen: Seen) -> Known:
        """Return what the row says; all of it was seen already."""
        return Known(seen.here, begun=seen.begun if seen.here else None)

    def asked_for(self, lead: Lead) -> str:
        """Return the session of `--session ID` or `-s ID`."""
        session = lead.option("--session", "-s")
        return session if files.is_session(session) else ""

    def places(self, lead: Lead) -> list[Path]:
        """Return the folder of the database; its log changes with every message."""
        return [database.parent for database in self._databases(lead)] or [self._default(lead).parent]

    def _default(self, lead: Lead) -> Path:
        root = self.root(lead.environment, lead.home)
        return root / (lead.environment.get("OPENCODE_DB") or "opencode.db")

    def _databases(self, lead: Lead) -> list[Path]:
        """Return the database that the process holds open, else the usual ones."""
        held = {
            Path(path) for pid in lead.pids for path in process.written_files(pid) if path.endswith(".db")
        }
        folder = self._default(lead).parent
        usual = [self._default(lead), *(entry.path for entry in files.listed(folder, ".db", "opencode"))]
        found = [path for path in (files.owned(path) for path in dict.fromkeys(usual)) if path is not None]
        return [path for path in found if path in held] or found

    def _written(self, database: Path, row: _Row, rows: list[tuple[_Row, bool | None]]) -> float:
        """Return when a session was last written.

        A database that was brought here from elsewhere has times of long ago: of its one session, the
        file's own time counts.
        """
        if len(rows) > 1 or rows[0][1] is not None:
            return row.updated
        logs = [database, database.with_name(f"{database.name}-wal")]
        return max(
            (entry.written for log in logs for entry in files.listed(log.parent, log.name, log.name)),
            default=0.0,
        )


def _rows(database: Path) -> list[_Row]:
    """Return the last sessions that are nobody's children; empty when it is no such database."""
    try:
        with Database(database).reading() as db:
            return [_Row(str(a), str(b), int(c) / 1000, int(d) / 1000) for a, b, c, d in db.execute(_ROWS)]
    except (OSError, sqlite3.Error, TypeError, ValueError, OverflowError):
        return []
