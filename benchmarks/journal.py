"""What the journal costs at each level of `synchronous`: journal.py [DIRECTORY] [ROUNDS]

A directive with three workers, in the transactions that the engine makes:

decided   it was read, planned and judged, its workers are queued: one transaction
begun     its workers are about to start: one transaction
shown     they run, and the views are told: three transactions

`engine` is what the engine does: FULL for what begins, NORMAL for the rest; a directive that came as a
request is FULL in `decided`, too. Interleaved in one run, beside a bare write and fdatasync. DIRECTORY
(default: where runs are kept) says which disk is meant: all is done in a folder of its own there.
Milliseconds.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python")]

from aiorch import paths  # noqa: E402
from aiorch.capture.directive import Directive, Source  # noqa: E402
from aiorch.config import load_config  # noqa: E402
from aiorch.engine.crew import Crew  # noqa: E402
from aiorch.engine.intake import Intake  # noqa: E402
from aiorch.journal import Journal, Tag, WorkerState  # noqa: E402
from aiorch.workers.profile_file import load_profiles  # noqa: E402

PARTS = ("decided", "begun", "shown")
LEVELS = {name: (name,) * len(PARTS) for name in ("OFF", "NORMAL", "FULL", "EXTRA")}
LEVELS["engine"] = ("NORMAL", "FULL", "NORMAL")
WARM = 10
Nobody = cast(Any, None)


class Primary:
    """As much of a primary as a directive of the command line needs."""

    conversation = 1
    agent = None
    is_new = False


class Bench:
    """One journal, and its level in each part."""

    def __init__(self, folder: Path, name: str, levels: Sequence[str]) -> None:
        run = folder / name
        (run / "news").mkdir(parents=True)
        self.file = run / "journal.db"
        self.journal = Journal(self.file)
        config, profiles = load_config(None), load_profiles(None)
        primary = cast(Any, Primary())
        crew = Crew(Nobody, self.journal, Nobody, primary, Nobody, config, profiles, Nobody)
        self._intake = Intake(self.journal, crew, primary, config, profiles)
        self._count = 0
        self._levels = levels

    def one(self) -> list[float]:
        """Take one directive through its three parts and return how long each took."""
        self._count += 1
        parts = zip(self._levels, (self._decide, self._begin, self._show), strict=True)
        return [self._at(level, part) for level, part in parts]

    def _at(self, level: str, part: Callable[[], None]) -> float:
        self.journal._db.execute(f"PRAGMA synchronous={level}")
        return _timed(part)

    def _decide(self) -> None:
        name = f"{self._count}"
        task = {"task": "Build a REST API with authentication and tests"}
        directive = Directive(task, Source.CLI, "request", f"inbox/{name}", str(task), name)
        with self.journal.transaction():
            self._intake.take(directive)
            self.journal.set_meta("cursor", ["000001-aaaaa", self._count])

    def _begin(self) -> None:
        with self.journal.transaction():
            for number in self._workers():
                columns = {"agent": "claude", "reason": "", "session": "5c5e6b0e-8f2b-4c0e-9a55-2f6f1f0a7a11"}
                self.journal.move_worker(number, WorkerState.STARTING, "a place is free", **columns)

    def _show(self) -> None:
        with self.journal.transaction():
            for number in self._workers():
                columns = {"pane": f"%{number}", "pid": number, "ticks": 7, "started": 1.0, "ended": None}
                self.journal.move_worker(number, WorkerState.WORKING, f"process {number}", **columns)
                self.journal.add_event(Tag.SPAWNED, f"worker {number} in pane %{number}")
        self.journal.set_meta("counted", [3, f"3 working of {3 * self._count}"])
        self.journal.add_event(Tag.WORKERS, f"3 working of {3 * self._count}")

    def _workers(self) -> range:
        return range(3 * self._count - 2, 3 * self._count + 1)


class Bare:
    """A file that is written as a database's log is, with nothing around it."""

    def __init__(self, folder: Path, size: int) -> None:
        self._data, self._at = b"x" * size, 0
        self._descriptor = os.open(folder / f"bare{size}", os.O_RDWR | os.O_CREAT, 0o600)

    def one(self) -> list[float]:
        """Append, and wait until the disk has it."""
        return [_timed(self._append)]

    def _append(self) -> None:
        os.pwrite(self._descriptor, self._data, self._at)
        os.fdatasync(self._descriptor)
        self._at = (self._at + len(self._data)) % (4 << 20)


def _timed(do: Callable[[], None]) -> float:
    begin = time.perf_counter()
    do()
    return (time.perf_counter() - begin) * 1000


def measure(folder: Path, rounds: int) -> dict[str, list[list[float]]]:
    """Return the times of each way, round by round."""
    ways: dict[str, Bench | Bare] = {name: Bench(folder, name, levels) for name, levels in LEVELS.items()}
    ways |= {f"fdatasync {size // 1024} KiB": Bare(folder, size) for size in (4096, 16 * 4096)}
    times: dict[str, list[list[float]]] = {name: [] for name in ways}
    for index in range(rounds + WARM):
        for name, way in ways.items():
            took = way.one()
            if index >= WARM:
                times[name].append(took)
    return times


def show(times: dict[str, list[list[float]]]) -> None:
    print(f"  {'':18}{''.join(f'{part:>16}' for part in (*PARTS, 'all three'))}")
    for name, rows in times.items():
        columns = [list(column) for column in zip(*rows, strict=True)]
        if len(columns) > 1:
            columns.append([sum(row) for row in rows])
        cells = (f"{statistics.median(column):7.2f}{_p90(column):9.2f}" for column in columns)
        print(f"  {name:18}{''.join(cells)}")
    print("  each: median and 90th percentile")
    for name in ("OFF", "FULL", "EXTRA", "engine"):
        pairs = zip(times[name], times["NORMAL"], strict=True)
        ratio = statistics.median(sum(row) / sum(normal) for row, normal in pairs)
        print(f"  {name} / NORMAL, all three, median of the ratios round by round: {ratio:.2f}")


def _p90(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.9) - 1]


def filesystem(folder: Path) -> str:
    """Return type and device of the filesystem of a folder, as the kernel lists it."""
    found = ("", "?", "?")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, place, kind, *_ = line.split(" ")
        if folder.is_relative_to(place) and len(place) >= len(found[0]):
            found = (place, kind, device)
    return f"{found[1]} on {found[2]}"


def main() -> None:
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else paths.state_dir()
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    above = next(path for path in (place.resolve(), *place.resolve().parents) if path.is_dir())
    folder = Path(tempfile.mkdtemp(prefix="aiorch-bench-", dir=above))
    try:
        kind = filesystem(folder)
        print(f"{rounds} directives with three workers on {kind}, SQLite {sqlite3.sqlite_version}, ms")
        show(measure(folder, rounds))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
