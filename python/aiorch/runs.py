"""The runs on this machine: which of them lost their tmux and can go on."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiorch.errors import JournalError, UsageError
from aiorch.journal import ACTIVE, Journal, WorkerState
from aiorch.journal.reading import Reading, reading
from aiorch.paths import RunPaths


@dataclass(frozen=True, slots=True)
class CutOff:
    """A run that was not stopped and has no engine; `changed` is in seconds since the epoch.

    `socket` and `session` say where in tmux it was. One whose journal cannot be read has a `fault`, and
    nothing else is known of it.
    """

    root: Path
    socket: str
    session: str
    directory: str
    changed: float
    unfinished: int
    asking: int
    done: int
    fault: str = ""

    @property
    def is_open(self) -> bool:
        """Return whether there is something left to do in it."""
        return self.unfinished > 0 or self.asking > 0 or bool(self.fault)


def cut_off_runs(state: Path) -> list[CutOff]:
    """Return the runs below the state directory that can go on, the last one first."""
    found = [run for root in (state / "runs").glob("*") if (run := _read(root)) is not None]
    return sorted(found, key=lambda run: run.changed, reverse=True)


def choose(runs: list[CutOff], wanted: str | None, directory: str) -> CutOff:
    """Return the run of that name, else the last one of this directory, else the only one.

    Raises UsageError with the names there are.
    """
    if wanted is not None:
        chosen = [run for run in runs if run.root.name == wanted]
    else:
        chosen = [run for run in runs if run.directory == directory][:1] or (runs if len(runs) == 1 else [])
    if chosen:
        return chosen[0]
    names = "".join(f"\n  {line}" for line in map(described, runs))
    if not runs:
        raise UsageError("there is no run to go on with: all were stopped, or have an engine")
    raise UsageError(f"name the run to go on with (`aiorch resume RUN`):{names}")


def described(run: CutOff) -> str:
    """Return one line about a run."""
    if run.fault:
        return f"{run.root.name}  {run.fault}"
    parts = [f"{run.unfinished} unfinished", f"{run.asking} waiting for an answer", f"{run.done} done"]
    return f"{run.root.name}  {', '.join(parts)}, in {run.directory}"


def drop(run: CutOff) -> None:
    """Give a run up: its directory stays as it is, and nobody offers to go on with it.

    Raises JournalError for one whose journal is damaged.
    """
    if run.fault:
        raise JournalError(run.fault)
    journal = Journal(RunPaths(run.root).journal)
    journal.set_meta("stopped", time.time())
    journal.close()


def _read(root: Path) -> CutOff | None:
    try:
        if has_engine(root):
            return None
    except OSError:
        # It never began.
        return None
    changed = last_written(root)
    try:
        with reading(RunPaths(root).journal) as journal:
            return _cut_off(root, journal, changed)
    except JournalError as error:
        return CutOff(root, "", "", "", changed, 0, 0, 0, str(error))


def _cut_off(root: Path, journal: Reading, changed: float) -> CutOff | None:
    if not journal.meta("begun") or journal.meta("stopped"):
        return None
    counts, directory, target = journal.counts(), journal.meta("directory"), journal.meta("target")
    place = target if isinstance(target, dict) else {}
    return CutOff(
        root,
        str(place.get("socket", "")),
        str(place.get("session", "")),
        directory if isinstance(directory, str) else "",
        changed,
        sum(counts.get(state, 0) for state in {*ACTIVE, WorkerState.QUEUED, WorkerState.LOST}),
        journal.asking(),
        counts.get(WorkerState.DONE, 0),
    )


def last_written(root: Path) -> float:
    """Return when a run's journal was written, that of its directory when it has none."""
    path = RunPaths(root).journal
    times = []
    for file in (path, path.with_name(f"{path.name}-wal")):
        with suppress(OSError):
            found = file.stat()
            # Who reads a journal makes an empty log beside it.
            if file == path or found.st_size:
                times.append(found.st_mtime)
    return max(times, default=0.0) or root.stat().st_mtime


def has_engine(root: Path) -> bool:
    """Return whether an engine works on a run. Raises OSError for one that never had any."""
    descriptor = os.open(root / "lock", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
