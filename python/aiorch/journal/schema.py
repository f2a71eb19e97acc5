"""The tables of a journal, and how an older one becomes one of today."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from aiorch.errors import JournalError
from aiorch.journal.place import uri

_FIRST = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS directives (
  number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, conversation INTEGER NOT NULL, source TEXT NOT NULL,
  provenance TEXT NOT NULL, position TEXT NOT NULL, received_as TEXT NOT NULL, payload TEXT NOT NULL,
  user_id TEXT, state TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '', plan TEXT NOT NULL DEFAULT '', created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS workers (
  number INTEGER PRIMARY KEY, directive INTEGER NOT NULL REFERENCES directives, name TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL, agent TEXT NOT NULL DEFAULT '', task TEXT NOT NULL, after TEXT NOT NULL DEFAULT '[]',
  state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  attempt INTEGER NOT NULL DEFAULT 1, not_before REAL NOT NULL DEFAULT 0,
  pane TEXT NOT NULL DEFAULT '', pid INTEGER NOT NULL DEFAULT 0, status INTEGER,
  result TEXT NOT NULL DEFAULT '', created REAL NOT NULL, started REAL, ended REAL);
CREATE INDEX IF NOT EXISTS directives_by_state ON directives (state);
CREATE INDEX IF NOT EXISTS workers_by_directive ON workers (directive);
CREATE INDEX IF NOT EXISTS workers_by_state ON workers (state);
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY, time REAL NOT NULL, tag TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS session_files (name TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, reply TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sizes (
  segment TEXT NOT NULL, offset INTEGER NOT NULL, cols INTEGER NOT NULL, rows INTEGER NOT NULL);
"""

# Each step makes the next version; what is here is never changed, only added to. A new table needs a line in
# `salvage._SENSE` when its columns are like those of another.
STEPS = (
    _FIRST,
    "ALTER TABLE workers ADD COLUMN ticks INTEGER NOT NULL DEFAULT 0;",
    "ALTER TABLE workers ADD COLUMN idempotent INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE workers ADD COLUMN session TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE workers ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0;",
    "CREATE TABLE transitions (number INTEGER PRIMARY KEY, time REAL NOT NULL, worker INTEGER NOT NULL"
    " REFERENCES workers, attempt INTEGER NOT NULL, state TEXT NOT NULL, evidence TEXT NOT NULL);"
    "CREATE INDEX transitions_by_worker ON transitions (worker);",
    "ALTER TABLE workers ADD COLUMN paused REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE workers ADD COLUMN held REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE workers ADD COLUMN depth INTEGER NOT NULL DEFAULT 1;",
    "CREATE TABLE decisions (number INTEGER PRIMARY KEY, time REAL NOT NULL, directive INTEGER NOT NULL"
    " REFERENCES directives, state TEXT NOT NULL, reason TEXT NOT NULL);"
    # Events, transitions and decisions are numbered together from now on.
    "UPDATE transitions SET number = -number - (SELECT COALESCE(MAX(number), 0) FROM events);"
    "UPDATE transitions SET number = -number;",
    "ALTER TABLE workers ADD COLUMN shows TEXT NOT NULL DEFAULT '[]';"
    "ALTER TABLE workers ADD COLUMN waits TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE workers ADD COLUMN worked INTEGER NOT NULL DEFAULT 0;",
    "ALTER TABLE workers ADD COLUMN on_failure TEXT NOT NULL DEFAULT 'skip';"
    "ALTER TABLE workers ADD COLUMN checking REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE workers ADD COLUMN directory TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE workers ADD COLUMN record TEXT NOT NULL DEFAULT '{}';"
    "ALTER TABLE workers ADD COLUMN source TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE workers ADD COLUMN changes TEXT NOT NULL DEFAULT '{}';",
    "CREATE TABLE trees (worker INTEGER PRIMARY KEY REFERENCES workers, branch TEXT NOT NULL,"
    " base TEXT NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL);",
    "ALTER TABLE workers ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;",
    "ALTER TABLE workers ADD COLUMN collected REAL NOT NULL DEFAULT 0;",
    "CREATE TABLE messages (number INTEGER PRIMARY KEY, key TEXT NOT NULL, target INTEGER NOT NULL,"
    " name TEXT NOT NULL, origin TEXT NOT NULL, text TEXT NOT NULL, state TEXT NOT NULL,"
    " reason TEXT NOT NULL, place TEXT NOT NULL DEFAULT '', tries INTEGER NOT NULL, created REAL NOT NULL,"
    " changed REAL NOT NULL, not_before REAL NOT NULL);"
    "CREATE INDEX messages_by_state ON messages (state);",
)
VERSION = len(STEPS)


def upgrade(database: sqlite3.Connection) -> None:
    """Give a journal the tables of today, all of them or none; what it holds is kept.

    Raises JournalError for one that a newer version wrote.
    """
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if version == VERSION:
        return
    if version > VERSION:
        raise JournalError(
            f"the journal is of version {version}, this aiorch knows {VERSION}: update the plugin"
        )
    statements = [text for step in STEPS[version:] for text in step.split(";") if text.strip()]
    database.execute("BEGIN IMMEDIATE")
    try:
        for statement in [*statements, f"PRAGMA user_version = {VERSION}"]:
            database.execute(statement)
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def create(path: Path) -> None:
    """Make an empty journal; it has its tables from the first moment that it is found under its name on."""
    unfinished = path.with_name(f"{path.name}.new")
    for part in ("", "-journal"):
        path.with_name(f"{unfinished.name}{part}").unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(uri(unfinished, "rw"), uri=True, isolation_level=None)) as database:
        upgrade(database)
    unfinished.rename(path)
