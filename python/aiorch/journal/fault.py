"""What is wrong with a journal's file: told to who reads it, and found before an engine relies on it."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aiorch.errors import JournalDamagedError, JournalError
from aiorch.journal.pages import MAGIC
from aiorch.journal.place import part_of, uri
from aiorch.journal.rebuild import Trace
from aiorch.journal.rows import DirectiveState, Tag, WorkerState
from aiorch.journal.schema import VERSION
from aiorch.journal.wal import is_cut_short

_TABLES = {"meta", "directives", "workers", "events"}
_SHORT_READ = 522
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_STATES: tuple[tuple[str, str, type[StrEnum]], ...] = (
    ("workers", "state", WorkerState),
    ("transitions", "state", WorkerState),
    ("directives", "state", DirectiveState),
    ("decisions", "state", DirectiveState),
    ("events", "tag", Tag),
)
# Where the index of a write-ahead log says how many of its frames are valid.
_VALID_FRAMES = slice(16, 20)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a journal cannot be gone on with; `is_behind` when it is older than what was done."""

    text: str
    is_behind: bool = False


def is_damage(error: sqlite3.Error) -> bool:
    """Say whether an error of SQLite means that the file is not what was written."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return "Could not decode to UTF-8" in str(error)
    return code & 0xFF in _DAMAGE or code == _SHORT_READ


def explained(error: sqlite3.Error, path: Path) -> JournalError:
    """Return an error of SQLite as a sentence that says what to do about it."""
    run = path.parent.name
    if is_damage(error):
        return JournalDamagedError(
            f"the journal of run {run} is damaged ({error}): its engine saves what can be read of it when it"
            f" starts next, by prefix + O or `aiorch resume {run}`"
        )
    if not path.exists():
        return JournalError(f"run {run} has no journal: {path} is missing")
    if str(error).startswith("no such "):
        return JournalError(f"{path} is not a journal of aiorch ({error})")
    return JournalError(f"the journal of run {run} cannot be read ({error}): look at {path}")


def find_fault(path: Path, traces: Mapping[int, Trace]) -> Fault | None:
    """Return why a journal cannot be gone on with, None when it can; nothing is changed.

    Raises JournalError for one that is not ours to touch: of a newer version, of another program, or not
    readable.
    """
    if not path.is_file():
        return Fault("it is missing" if not os.path.lexists(path) else "it is no file")
    with suppress(OSError):
        return Fault(mark_of(path).read_text(errors="replace").strip() or "an engine met damage in it")
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
    except OSError as error:
        raise JournalError(
            f"the journal of run {path.parent.name} cannot be read: {error} (try `chmod 600`)"
        ) from error
    if head and head != MAGIC:
        return Fault("it is no database")
    try:
        with closing(sqlite3.connect(uri(path, "ro"), uri=True, isolation_level=None)) as database:
            return _examine(database, path, traces)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise explained(error, path) from error
        return Fault(str(error))


def mark_of(path: Path) -> Path:
    """Return the file that an engine leaves beside a journal in which it met damage."""
    return path.with_name("journal.fault")


def _examine(database: sqlite3.Connection, path: Path, traces: Mapping[int, Trace]) -> Fault | None:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise JournalError(
            f"the journal of run {path.parent.name} is of version {version}, this aiorch knows {VERSION}:"
            " update the plugin"
        )
    found = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    if found != "ok":
        return Fault(found.removeprefix("*** in database main ***\n").partition("\n")[0])
    if _is_log_cut_short(path):
        return Fault("its log is broken: what was written last is not read", is_behind=True)
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return Fault("it is empty")
    if not tables >= _TABLES:
        raise JournalError(f"{path} is a database of another program: it was left as it is, move it away")
    if not _makes_sense(database, tables):
        return Fault("rows of it make no sense")
    known = dict(database.execute("SELECT number, attempt FROM workers").fetchall())
    if any(trace.attempt > known.get(number, 0) for number, trace in traces.items()):
        return Fault("it is older than what was done: some workers are not in it", is_behind=True)
    return None


def _makes_sense(database: sqlite3.Connection, tables: set[str]) -> bool:
    for table, column, values in _STATES:
        marks = ", ".join("?" * len(values))
        query = f"SELECT 1 FROM {table} WHERE {column} NOT IN ({marks}) LIMIT 1"
        if table in tables and database.execute(query, [str(value) for value in values]).fetchone():
            return False
    texts = [row[0] for row in database.execute("SELECT value FROM meta")]
    texts += [row[0] for row in database.execute("SELECT after FROM workers WHERE ended IS NULL")]
    try:
        for text in texts:
            json.loads(text)
    except ValueError:
        return False
    return True


def _is_log_cut_short(path: Path) -> bool:
    """Say whether the write-ahead log holds more than SQLite reads of it: it stops where one is broken."""
    try:
        log = part_of(path, "-wal").read_bytes()
        with part_of(path, "-shm").open("rb") as file:
            index = file.read(_VALID_FRAMES.stop)
    except OSError:
        return False
    return is_cut_short(log, int.from_bytes(index[_VALID_FRAMES], sys.byteorder))
