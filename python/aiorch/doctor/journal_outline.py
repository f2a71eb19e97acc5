"""The structure of a run's journal for a bug report: numbers, states, times and lengths, no texts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from aiorch.doctor import vocabulary

TABLES = (
    "directives", "workers", "events", "transitions", "decisions", "session_files", "answers", "sizes",
    "trees",
    "messages",
)  # fmt: skip
LAST_ROWS = 2000
_CHECKED_BYTES = 64 << 20
_WORDS = frozenset({"state", "tag", "source", "type", "agent", "pane", "segment", "position"})
# What the engine notes under these names is told by numbers and words of ours.
_META = (
    "adopted", "agent", "agent_pid", "begin", "begun", "conversation", "counted", "cursor", "directory",
    "gap", "history", "primary_gone", "seed", "series", "source", "stopped", "taking_over",
    "target", "window",
)  # fmt: skip


def damage(path: Path) -> str:
    """Return what SQLite finds damaged in a journal, '' for one that is whole or too large to be read now."""
    if path.stat().st_size > _CHECKED_BYTES:
        return ""
    with closing(_open(path)) as database:
        found = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    return "" if found == "ok" else found


def outline(path: Path) -> dict[str, object]:
    """Return what is where in a journal, by table; what cannot be read is named by the kind of error."""
    found: dict[str, object] = {}
    try:
        with closing(_open(path)) as database:
            found["version"] = int(database.execute("PRAGMA user_version").fetchone()[0])
            for table in _there(database):
                if table != "events":
                    found[table] = _table(database, table)
            found["meta"] = _meta(list(_rows(database, "meta")))
    except sqlite3.Error as error:
        found["error"] = type(error).__name__
    return found


def events(path: Path) -> list[dict[str, object]]:
    """Return the last events of a journal, with the texts that hold nobody's words."""
    found: list[dict[str, object]] = []
    with suppress(sqlite3.Error), closing(_open(path)) as database:
        workers = {
            str(name): int(number) for number, name in database.execute("SELECT number, name FROM workers")
        }
        rows = database.execute("SELECT * FROM events ORDER BY number DESC LIMIT ?", (LAST_ROWS,))
        for row in rows:
            text = str(row["text"])
            record = _row(row)
            record["text"] = vocabulary.event(text, workers)
            found.append(record)
    return found[::-1]


def texts(path: Path) -> dict[str, object]:
    """Return every row of a journal as it is, by table: tasks, results and messages too."""
    found: dict[str, object] = {}
    for table in (*TABLES, "meta"):
        with suppress(sqlite3.Error), closing(_open(path)) as database:
            found[table] = [dict(row) for row in _rows(database, table)]
    return found


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    database.row_factory = sqlite3.Row
    return database


def _there(database: sqlite3.Connection) -> list[str]:
    """Return the tables of ours that a journal has: one of another version has others."""
    names = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [table for table in TABLES if table in names]


def _table(database: sqlite3.Connection, table: str) -> object:
    try:
        rows = list(_rows(database, table))
    except sqlite3.Error as error:
        return {"error": type(error).__name__}
    return [_row(row) for row in rows]


def _rows(database: sqlite3.Connection, table: str) -> Iterator[sqlite3.Row]:
    # The names are those above.
    query = f"SELECT * FROM {table} ORDER BY rowid DESC LIMIT {LAST_ROWS}"
    yield from reversed(database.execute(query).fetchall())


def _row(row: sqlite3.Row) -> dict[str, object]:
    """Return numbers and words of ours as they are, the length of all else."""
    found: dict[str, object] = {}
    for name, value in zip(row.keys(), row, strict=True):
        if value is None or isinstance(value, int | float):
            found[name] = value
        elif name in _WORDS and (known := vocabulary.word(str(value))) is not None:
            found[name] = known
        elif len(value):
            found[f"{name}_length"] = len(value)
    return found


def _meta(rows: Sequence[sqlite3.Row]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in rows:
        if name in _META:
            found[name] = _plain(value)
        else:
            found["others"] = 1 + int(str(found.get("others", 0)))
    return found


def _plain(text: object) -> object:
    """Return a JSON value with numbers and words of ours; for all else how long it is."""
    try:
        value = json.loads(str(text))
    except ValueError:
        return {"length": len(str(text))}
    if isinstance(value, list) and len(value) <= 4:
        return [_scalar(one) for one in value]
    return _scalar(value)


def _scalar(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and (known := vocabulary.word(value)) is not None:
        return known
    return {"length": len(value) if isinstance(value, str | list | dict) else 0}
