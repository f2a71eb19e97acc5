"""What can be saved of a damaged journal: the rows in its pages, each put back where it belongs (pure)."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from aiorch.capture.directive import Source
from aiorch.journal.history import SERIES
from aiorch.journal.pages import Record, Value, read_contents
from aiorch.journal.rows import DirectiveState, MessageState, Tag, WorkerState
from aiorch.journal.schema import STEPS
from aiorch.tree import TreeState

Row = dict[str, object]
Rows = dict[str, dict[int, Row]]
"""Rows by table and rowid."""

GAPS = "gaps"
"""The meta value that says how many numbers nobody has: what an earlier salvage could not save."""

_NAME = re.compile(r"[a-z_]{1,40}")


@dataclass(slots=True)
class Salvage:
    """The rows that were saved; `lost` are those that are known to be missing.

    `is_whole` says that nothing is: every page could be read. `is_behind` says that rows may be older than
    the last ones that were committed.
    """

    rows: Rows = field(default_factory=dict)
    saved: int = 0
    lost: int = 0
    unread: int = 0
    is_whole: bool = False
    is_behind: bool = False


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: str
    may_be_null: bool
    default: object
    is_key: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """A table by what its rows look like; records of older versions have `least` columns and more."""

    table: str
    columns: tuple[_Column, ...]
    least: int

    def row(self, record: Record) -> Row | None:
        """Return a record as a row of this table, None when it is none."""
        if not self.least <= len(record.values) <= len(self.columns):
            return None
        row: Row = {column.name: column.default for column in self.columns}
        for column, value in zip(self.columns, record.values, strict=False):
            if not _fits(column, value):
                return None
            row[column.name] = record.rowid if column.is_key else value
        return row if record.rowid > 0 and _makes_sense(self.table, row) else None


def salvage(database: bytes, log: bytes) -> Salvage:
    """Return what can be read of a journal's file and its write-ahead log."""
    contents = read_contents(database, log)
    found = Salvage(rows={shape.table: {} for shape in shapes()}, is_behind=contents.is_behind)
    for record in contents.records:
        for shape in shapes():
            row = shape.row(record)
            if row is not None:
                found.rows[shape.table][record.rowid] = row
                break
    _drop_former(found.rows)
    found.saved = sum(len(rows) for rows in found.rows.values())
    # What an earlier salvage could not save is not lost now.
    found.lost = max(0, missing(found.rows) - _gaps(found.rows))
    found.unread = len(contents.unread)
    found.is_whole = not (found.lost or found.unread or found.is_behind) and found.saved > 0
    return found


@cache
def shapes() -> tuple[Shape, ...]:
    """Return the shape of every table that a journal of today has."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    try:
        least: dict[str, int] = {}
        for step in STEPS:
            database.executescript(step)
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
            for (name,) in rows.fetchall():
                least.setdefault(name, len(_columns(database, name)))
        return tuple(Shape(name, _columns(database, name), count) for name, count in least.items())
    finally:
        database.close()


def blank(table: str) -> Row:
    """Return a row of a table with nothing in it but what is there by default."""
    shape = next(shape for shape in shapes() if shape.table == table)
    return {column.name: column.default for column in shape.columns}


def _columns(database: sqlite3.Connection, table: str) -> tuple[_Column, ...]:
    rows = database.execute(f"PRAGMA table_info({table})").fetchall()
    found = []
    for _, name, kind, needed, default, key in rows:
        is_key = bool(key) and kind == "INTEGER"
        value = None if default is None else database.execute(f"SELECT {default}").fetchone()[0]
        found.append(_Column(name, kind, is_key or not needed, value, is_key))
    return tuple(found)


def _fits(column: _Column, value: Value) -> bool:
    if column.is_key:
        # The number of a row is its rowid, and stands nowhere else.
        return value is None
    if value is None:
        return column.may_be_null
    kinds: dict[str, tuple[type, ...]] = {"INTEGER": (int,), "REAL": (int, float), "TEXT": (str,)}
    return isinstance(value, kinds[column.kind])


def _is_json(text: object, kind: type | tuple[type, ...] = object) -> bool:
    try:
        return isinstance(json.loads(str(text)), kind)
    except (ValueError, RecursionError):
        return False


def _is_one_of(
    values: type[Tag | DirectiveState | WorkerState | MessageState | Source | TreeState], column: str
) -> Callable[[Row], bool]:
    known = {str(value) for value in values}
    return lambda row: row[column] in known


# What is true of every row of a table: it tells tables of the same columns apart, and rows from rubbish.
_SENSE: Mapping[str, tuple[Callable[[Row], bool], ...]] = {
    "meta": (
        lambda row: _NAME.fullmatch(str(row["name"])) is not None,
        lambda row: _is_json(row["value"]),
    ),
    "session_files": (
        lambda row: _is_json(row["name"], str),
        lambda row: _is_json(row["record"], dict),
    ),
    "answers": (
        lambda row: str(row["request"]).endswith(".json"),
        lambda row: _is_json(row["reply"], dict),
    ),
    "trees": (
        _is_one_of(TreeState, "state"),
        lambda row: _is_json(row["record"], dict),
    ),
    "events": (_is_one_of(Tag, "tag"),),
    "messages": (_is_one_of(MessageState, "state"),),
    "transitions": (_is_one_of(WorkerState, "state"),),
    "decisions": (_is_one_of(DirectiveState, "state"),),
    "workers": (
        _is_one_of(WorkerState, "state"),
        lambda row: _is_json(row["after"], list),
        lambda row: _is_json(row["record"], dict) and _is_json(row["changes"], dict),
        lambda row: 0 < int(str(row["attempt"])) < 1 << 31,
    ),
    "directives": (
        _is_one_of(DirectiveState, "state"),
        _is_one_of(Source, "source"),
        lambda row: _is_json(row["payload"], dict),
        lambda row: not row["plan"] or _is_json(row["plan"], list),
    ),
}


def _makes_sense(table: str, row: Row) -> bool:
    return all(holds(row) for holds in _SENSE.get(table, ()))


def _drop_former(rows: Rows) -> None:
    """Leave out what was replaced: of the rows of one name the last one counts."""
    for table, name in (("meta", "name"), ("session_files", "name"), ("answers", "request")):
        last = {row[name]: rowid for rowid, row in sorted(rows[table].items())}
        rows[table] = {rowid: rows[table][rowid] for rowid in last.values()}


def missing(rows: Rows) -> int:
    """Return how many rows are missing among those that are numbered without a gap."""
    history = {number for table in SERIES for number in rows[table]}
    steps, decisions = rows["transitions"].values(), rows["decisions"].values()
    workers = {*rows["workers"], *(_number(step["worker"]) for step in steps)}
    directives = {*rows["directives"], *(_number(one["directive"]) for one in decisions)}
    directives |= {_number(row["directive"]) for row in rows["workers"].values()}
    present = len(history) + len(rows["workers"]) + len(rows["directives"])
    return sum(max(known, default=0) for known in (history, workers, directives)) - present


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _gaps(rows: Rows) -> int:
    noted = next((row["value"] for row in rows["meta"].values() if row["name"] == GAPS), "0")
    value = json.loads(str(noted))
    return value if isinstance(value, int) else 0
