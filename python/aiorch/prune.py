"""Deleting runs that nobody needs any more: by age, by size, and never one that still has something to do."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import shutil
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from aiorch.errors import JournalError
from aiorch.journal import ACTIVE, WorkerState
from aiorch.journal.reading import Reading, reading
from aiorch.paths import RunPaths
from aiorch.runs import has_engine, last_written
from aiorch.ui.report import counted
from aiorch.ui.terminal import printable

log = logging.getLogger(__name__)

DAY = 86400.0
BACKGROUND_DELAY = 3.0
"""Seconds after the beginning of a run before old ones are looked for: it begins in peace."""

_HALF_DELETED = ".pruned-"
_OPEN = {*ACTIVE, WorkerState.QUEUED, WorkerState.LOST}


class Standing(StrEnum):
    """What a run still is to somebody."""

    RUNNING = "running"
    UNFINISHED = "unfinished"
    UNREADABLE = "unreadable"
    ENDED = "ended"
    LEFTOVER = "leftover"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is to go: runs older than so many seconds, and the oldest ones above so many bytes.

    None is no limit. The newest `keep` runs stay. With `unfinished` also runs go that have something left to
    do, or whose journal cannot be read.
    """

    older_than: float | None = None
    max_size: int | None = None
    keep: int = 0
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One run; `changed` is when it was written last (seconds since the epoch), `size` its bytes on disk."""

    root: Path
    standing: Standing
    changed: float
    size: int


@dataclass(slots=True)
class Pruned:
    """What was deleted and what was not; `failed` says why by run."""

    deleted: list[Found] = field(default_factory=list)
    kept: list[Found] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def freed(self) -> int:
        """Return how many bytes came free."""
        return sum(found.size for found in self.deleted)


def prune(state: Path, limits: Limits, now: float, *, dry_run: bool = False) -> Pruned:
    """Delete the runs below the state directory that are over the limits, the oldest first.

    A run with an engine is never touched: its lock is held while it is deleted. With `dry_run` nothing is.
    """
    pruned = Pruned()
    runs = state / "runs"
    found = sorted(_survey(runs), key=lambda one: one.changed)
    total = sum(one.size for one in found)
    newest = {one.root for one in found[len(found) - limits.keep :]} if limits.keep else set()
    for one in found:
        too_much = limits.max_size is not None and total > limits.max_size
        if one.root in newest or not _may_go(one, limits, now, too_much=too_much):
            pruned.kept.append(one)
            continue
        try:
            gone = dry_run or _delete(runs, one, limits)
        except OSError as error:
            gone = False
            pruned.failed[one.root.name] = str(error)
        if gone:
            total -= one.size
        (pruned.deleted if gone else pruned.kept).append(one)
    if not dry_run:
        _finish_deleting(runs)
    return pruned


def command(options: argparse.Namespace, state: Path, days: int) -> int:
    """Prune as the options say, by default what is older than so many days, and return the exit code."""
    older, most = options.older_than, options.max_size
    if older is None and most is None and days:
        older = days * DAY
    limits = Limits(older, most, options.keep, options.unfinished)
    now = time.time()
    pruned = prune(state, limits, now, dry_run=options.dry_run)
    said = (
        _as_json(pruned, options.dry_run) if options.json else "\n".join(_lines(pruned, now, options.dry_run))
    )
    print(said)  # noqa: T201 - the command's output
    return 1 if pruned.failed else 0


def _as_json(pruned: Pruned, dry_run: bool) -> str:
    def record(one: Found) -> dict[str, object]:
        return {"run": one.root.name, "standing": one.standing, "changed": one.changed, "bytes": one.size}

    whole = {
        "dry_run": dry_run,
        "deleted": [record(one) for one in pruned.deleted],
        "kept": [record(one) for one in pruned.kept],
        "failed": pruned.failed,
        "freed": pruned.freed,
    }
    return json.dumps(whole, indent=1)


def _lines(pruned: Pruned, now: float, dry_run: bool) -> Iterator[str]:
    verb = "would be deleted" if dry_run else "deleted"
    for one in pruned.deleted:
        age = max(0, int((now - one.changed) // DAY))
        yield printable(f"{one.root.name}  {one.standing}, {counted(age, 'day')} old, {_bytes(one.size)}")
    for name, error in pruned.failed.items():
        yield printable(f"{name}  cannot be deleted: {error}")
    free = "would come free" if dry_run else "came free"
    yield f"{counted(len(pruned.deleted), 'run')} {verb}, {_bytes(pruned.freed)} {free}"
    if pruned.kept:
        counts = Counter(str(one.standing) for one in pruned.kept)
        names = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        size = _bytes(sum(one.size for one in pruned.kept))
        yield f"{counted(len(pruned.kept), 'run')} kept ({names}), {size}"


def _bytes(size: int) -> str:
    return f"{size / 1024**2:.1f} MB" if size >= 1024**2 else f"{size // 1024} KB"


def prune_later(state: Path, days: int) -> None:
    """Delete runs that were not touched for so many days, on a thread of its own; 0 deletes none."""
    if days:
        timer = threading.Timer(BACKGROUND_DELAY, _prune_quietly, (state, Limits(older_than=days * DAY)))
        timer.daemon = True
        timer.start()


def _prune_quietly(state: Path, limits: Limits) -> None:
    try:
        pruned = prune(state, limits, time.time())
    except Exception:
        # It is no engine's business.
        log.exception("old runs cannot be deleted")
        return
    for one in pruned.deleted:
        log.info("run %s was deleted: it is older than keep_runs_days", one.root.name)
    for name, error in pruned.failed.items():
        log.warning("run %s cannot be deleted: %s", name, error)


def _may_go(one: Found, limits: Limits, now: float, *, too_much: bool) -> bool:
    age = now - one.changed
    if one.standing is Standing.LEFTOVER:
        return age > DAY
    if one.standing is Standing.RUNNING or (one.standing is not Standing.ENDED and not limits.unfinished):
        return False
    return too_much or (limits.older_than is not None and age > limits.older_than)


def _survey(runs: Path) -> Iterator[Found]:
    try:
        names = sorted(entry.name for entry in os.scandir(runs) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for name in names:
        if not name.startswith("."):
            # Whoever else deletes runs may be faster.
            with suppress(OSError):
                yield _look(runs / name)


def _look(root: Path) -> Found:
    size, changed = _size(root), last_written(root)
    is_running = False
    with suppress(FileNotFoundError):
        is_running = has_engine(root)
    standing = Standing.RUNNING if is_running else _standing(RunPaths(root))
    return Found(root, standing, changed, size)


def _standing(paths: RunPaths) -> Standing:
    """Return what a run without an engine is."""
    if not os.path.lexists(paths.journal) and not _has_traces(paths):
        return Standing.LEFTOVER
    try:
        with reading(paths.journal) as journal:
            if not journal.meta("begun") and not _has_traces(paths):
                return Standing.LEFTOVER
            return Standing.UNFINISHED if _is_open(journal) else Standing.ENDED
    except JournalError:
        return Standing.UNREADABLE


def _is_open(journal: Reading) -> bool:
    if journal.meta("stopped"):
        return False
    counts = journal.counts()
    return journal.asking() > 0 or any(counts.get(state) for state in _OPEN)


def _has_traces(paths: RunPaths) -> bool:
    """Say whether workers began in a run."""
    with suppress(OSError):
        return any(paths.workers.iterdir())
    return False


def _size(root: Path) -> int:
    total = 0
    for folder, _, files in os.walk(root):
        for name in ("", *files):
            with suppress(OSError):
                total += os.lstat(f"{folder}/{name}").st_blocks * 512
    return total


def _delete(runs: Path, one: Found, limits: Limits) -> bool:
    """Delete a run and return whether that was done: not when an engine has begun to work on it.

    It vanishes as a whole: what a process that is killed here leaves is deleted the next time.
    """
    with _locked(one.root) as is_ours:
        # It may have been gone on with since we looked.
        standing = _standing(RunPaths(one.root)) if is_ours else Standing.RUNNING
        if standing is not one.standing and not (limits.unfinished and is_ours):
            return False
        descriptor = os.open(runs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            name = f"{_HALF_DELETED}{one.root.name}"
            os.rename(one.root.name, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
            shutil.rmtree(name, dir_fd=descriptor)
        finally:
            os.close(descriptor)
    return True


@contextmanager
def _locked(root: Path) -> Iterator[bool]:
    """Hold the lock of a run; yield whether it is ours, and not an engine's."""
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield stat.S_ISREG(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _finish_deleting(runs: Path) -> None:
    try:
        descriptor = os.open(runs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for name in os.listdir(descriptor):  # noqa: PTH208 - the folder that is open, whatever its name is now
            if name.startswith(_HALF_DELETED):
                shutil.rmtree(name, ignore_errors=True, dir_fd=descriptor)
    finally:
        os.close(descriptor)
