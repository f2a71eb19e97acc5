"""Making a run's journal fit to go on with: what can be read of a damaged one becomes the new one."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import stat
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from aiorch.errors import JournalDamagedError, JournalError
from aiorch.journal.fault import Fault, find_fault, mark_of
from aiorch.journal.place import PARTS, part_of, uri
from aiorch.journal.rebuild import Trace, rebuild
from aiorch.journal.rows import Tag
from aiorch.journal.salvage import Rows, Salvage, salvage
from aiorch.journal.schema import upgrade
from aiorch.journal.store import Journal
from aiorch.paths import RunPaths

log = logging.getLogger(__name__)

_ACTION = re.compile(r"w([0-9]{1,9})-([0-9]{1,9})")
_STAGED = "journal.saved-"
_ASIDE = "journal.damaged-"
_UNFINISHED = ".part"
_MAX_RESULT = 64 * 1024


def repair(paths: RunPaths) -> None:
    """Look at a run's journal before an engine goes on with it, and save what can be saved of a damaged one.

    The damaged file is kept beside it. To be called with the run's lock held. An engine that is killed on the
    way is followed by one that goes on here. Raises JournalError when the journal is not ours to touch, or
    when nothing can be written.
    """
    try:
        _put_in_place(paths)
        traces = _traces(paths.workers)
        fault = find_fault(paths.journal, traces)
        if fault is not None:
            log.error("the journal is damaged: %s", fault.text)
            _stage(paths, fault, traces)
            _put_in_place(paths)
    except (OSError, sqlite3.Error) as error:
        text = f"the journal of run {paths.root.name} is damaged, and what is left of it cannot be saved"
        raise JournalError(f"{text}: {error}") from error


def put_back(journal: Journal, paths: RunPaths) -> None:
    """Write a journal anew whose files were removed or replaced while it is open; raises OSError.

    Nothing is lost by it: an open file can be read until it is closed.
    """
    text = "the journal was taken away from its place: it was written anew, nothing is lost"
    journal.add_event(Tag.ERROR, text)
    staged = _staged_path(paths)
    journal.copy_to(staged.with_name(f"{staged.name}{_UNFINISHED}"))
    _commit(staged)
    for file in journal.place.files:
        file.unlink()
    _put_in_place(paths)


def note_fault(paths: RunPaths, error: JournalDamagedError) -> None:
    """Leave word for the next engine that this one met damage: a look from outside may not find it."""
    try:
        _write(mark_of(paths.journal), f"{error.__cause__ or error}\n".encode("utf-8", "replace"))
    except OSError:
        log.exception("the next engine cannot be told")


def _stage(paths: RunPaths, fault: Fault, traces: Mapping[int, Trace]) -> None:
    """Write what can be saved into a file of its own, whole when it has its name."""
    found = salvage(_content(paths.journal), _content(part_of(paths.journal, "-wal")))
    found.is_behind = found.is_behind or fault.is_behind
    found.is_whole = found.is_whole and not found.is_behind
    staged = _staged_path(paths)
    kept = _aside(staged) if os.path.lexists(paths.journal) else ""
    known = {number: _with_end(paths.workers, number, trace) for number, trace in traces.items()}
    rebuild(found, known, _told(found, fault, kept), time.time())
    unfinished = staged.with_name(f"{staged.name}{_UNFINISHED}")
    _write(unfinished, b"")
    with closing(sqlite3.connect(uri(unfinished, "rw"), uri=True, isolation_level=None)) as database:
        upgrade(database)
        _insert(database, found.rows)
    _commit(staged)


def _told(found: Salvage, fault: Fault, kept: str) -> str:
    total = f"{'at least ' if found.unread else ''}{found.saved + found.lost}"
    count = f"{found.saved} of {total} rows were saved" if found.saved else "no row could be read"
    old = f", the old file is kept in {kept}" if kept else ""
    return f"the journal was damaged ({fault.text}): {count}{old}"


def _insert(database: sqlite3.Connection, rows: Rows) -> None:
    database.execute("BEGIN")
    for table, found in rows.items():
        for rowid, row in sorted(found.items()):
            names, marks = ", ".join(row), ", ".join("?" * (len(row) + 1))
            # Two rows of one name can only come from a page that was given up: the first is kept.
            statement = f"INSERT OR IGNORE INTO {table} (rowid, {names}) VALUES ({marks})"
            database.execute(statement, (rowid, *row.values()))
    database.execute("COMMIT")


def _staged_path(paths: RunPaths) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    taken = {path.name.removeprefix(_ASIDE) for path in paths.root.glob(f"{_ASIDE}*")}
    count = 1
    while (name := stamp if count == 1 else f"{stamp}.{count}") in taken:
        count += 1
    for left in paths.root.glob(f"{_STAGED}*{_UNFINISHED}*"):
        left.unlink()
    return paths.root / f"{_STAGED}{name}"


def _aside(staged: Path) -> str:
    return f"{_ASIDE}{staged.name.removeprefix(_STAGED)}"


def _commit(staged: Path) -> None:
    """Give a staged file its name once all of it is on the disk."""
    unfinished = staged.with_name(f"{staged.name}{_UNFINISHED}")
    descriptor = os.open(unfinished, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unfinished.rename(staged)


def _put_in_place(paths: RunPaths) -> None:
    """Let a staged journal take the place of the present one, which is moved aside."""
    for staged in sorted(paths.root.glob(f"{_STAGED}*")):
        if _UNFINISHED in staged.name:
            continue
        for part in PARTS:
            old = part_of(paths.journal, part)
            if not os.path.lexists(old):
                continue
            # The log's index is made anew from it, and an empty log is made by whoever reads.
            if part == "-shm" or (part == "-wal" and not old.stat().st_size):
                old.unlink()
            else:
                aside = old.rename(paths.root / f"{_aside(staged)}{part}")
                if not aside.is_symlink():
                    aside.chmod(0o700 if aside.is_dir() else 0o600)
        mark_of(paths.journal).unlink(missing_ok=True)
        staged.rename(paths.journal)


def _traces(workers: Path) -> dict[int, Trace]:
    """Return the last attempt of each worker that has a directory, and whether it ran."""
    traces: dict[int, Trace] = {}
    try:
        names = os.listdir(workers)  # noqa: PTH208 - names alone
    except OSError:
        return {}
    for name in names:
        match = _ACTION.fullmatch(name)
        if match is None or int(match[1]) == 0:
            continue
        number, attempt = int(match[1]), int(match[2])
        if number not in traces or attempt > traces[number].attempt:
            traces[number] = Trace(attempt, _has_begun(workers / name / "start"))
    return traces


def _with_end(workers: Path, number: int, trace: Trace) -> Trace:
    """Return a trace with what the attempt left when it ended."""
    folder = workers / f"w{number}-{trace.attempt}"
    status = _head(folder / "exit", 3).strip()
    # A sandbox has a folder of its own in the place of the attempt's.
    data = _head(folder / "result", _MAX_RESULT) or _head(folder / "out/result", _MAX_RESULT)
    result = data.decode("utf-8", "replace").replace("\0", "").strip()
    return replace(trace, status=int(status) if status.isdigit() else None, result=result)


def _head(path: Path, size: int) -> bytes:
    """Return the beginning of a file that a worker may have put there: it may be a link or a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(size) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""


def _has_begun(record: Path) -> bool:
    """Say whether the record of a start is written: it is blank until then."""
    return _head(record, 10).strip().isdigit()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return b""


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
