"""What comes back of damaged journals, and what it costs to look for damage: salvage.py [ROUNDS]

A journal of 200 directives with three workers each is damaged ROUNDS times in each way: pages overwritten
with rubbish at random places, cut off, without its beginning, with a broken place in its log. The share of
rows that come back, next to what SQLite alone gives when each table is read from both ends and then number
by number.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from aiorch.journal import Journal, Tag  # noqa: E402
from aiorch.journal.fault import find_fault  # noqa: E402
from aiorch.journal.salvage import salvage, shapes  # noqa: E402
from support.journals import fill, new_run  # noqa: E402

PAGE, FRAME, LOG_HEADER = 4096, 4120, 32
DIRECTIVES, EVENTS = 200, 100_000
Damage = Callable[[bytearray, bytearray, random.Random], None]


def pages(share: float) -> Damage:
    """Overwrite so many of the pages."""

    def damage(database: bytearray, _log: bytearray, at: random.Random) -> None:
        count = len(database) // PAGE
        for page in at.sample(range(count), max(1, int(count * share))):
            database[page * PAGE : (page + 1) * PAGE] = at.randbytes(PAGE)

    return damage


def first_page(database: bytearray, _log: bytearray, _at: random.Random) -> None:
    database[:PAGE] = bytes(PAGE)


def cut(database: bytearray, _log: bytearray, at: random.Random) -> None:
    del database[len(database) * at.randrange(30, 70) // 100 :]


def frame(_database: bytearray, log: bytearray, at: random.Random) -> None:
    place = LOG_HEADER + at.randrange(len(log) // FRAME) * FRAME + at.randrange(FRAME - 64)
    log[place : place + 64] = at.randbytes(64)


def log_head(_database: bytearray, log: bytearray, at: random.Random) -> None:
    log[:LOG_HEADER] = at.randbytes(LOG_HEADER)


WAYS: dict[str, tuple[bool, Damage]] = {
    "one page": (False, pages(0)),
    "1 % of the pages": (False, pages(0.01)),
    "5 % of the pages": (False, pages(0.05)),
    "20 % of the pages": (False, pages(0.2)),
    "the first page": (False, first_page),
    "cut to 30-70 %": (False, cut),
    "64 bytes of the log": (True, frame),
    "head of the log": (True, log_head),
}


def by_sqlite(path: Path) -> int:
    """Return how many rows SQLite gives when what is damaged is passed over."""
    found = 0
    with closing(sqlite3.connect(path)) as database:
        for table in [shape.table for shape in shapes()]:
            seen: set[int] = set()
            for order in ("ASC", "DESC"):
                _collect(database, f"SELECT rowid, * FROM {table} ORDER BY rowid {order}", seen)
            for number in range(min(seen, default=0), max(seen, default=0)):
                if number not in seen:
                    _collect(database, f"SELECT rowid, * FROM {table} WHERE rowid = {number}", seen)
            found += len(seen)
    return found


def _collect(database: sqlite3.Connection, query: str, seen: set[int]) -> None:
    try:
        for row in database.execute(query):
            seen.add(row[0])
    except sqlite3.Error:
        return


def measure(folder: Path, rounds: int) -> None:
    paths = new_run(folder / "run")
    journal = Journal(paths.journal)
    fill(journal, DIRECTIVES)
    logged = (paths.journal.read_bytes(), paths.journal.with_name("journal.db-wal").read_bytes())
    journal.close()
    settled = (paths.journal.read_bytes(), b"")
    begin = time.perf_counter()
    total = salvage(*settled).saved
    took = (time.perf_counter() - begin) * 1000
    print(f"{total} rows in {len(settled[0]) // PAGE} pages, read in {took:.0f} ms; rows that come back:")
    print(f"  {'damage':22}{'ours: median':>14}{'least':>8}{'SQLite: median':>17}{'least':>8}")
    at = random.Random(1)
    for name, (has_log, damage) in WAYS.items():
        ours, theirs = [], []
        for _ in range(rounds):
            database, log = map(bytearray, logged if has_log else settled)
            damage(database, log, at)
            ours.append(salvage(bytes(database), bytes(log)).saved / total)
            theirs.append(_sqlite_share(folder, database, log) / total)
        print(f"  {name:22}{_shares(ours, 14)}{_shares(theirs, 17)}")


def _sqlite_share(folder: Path, database: bytes, log: bytes) -> int:
    path = folder / "damaged.db"
    path.write_bytes(database)
    path.with_name("damaged.db-wal").write_bytes(log)
    path.with_name("damaged.db-shm").unlink(missing_ok=True)
    return by_sqlite(path)


def _shares(values: list[float], width: int) -> str:
    return f"{statistics.median(values) * 100:>{width - 2}.1f} %{min(values) * 100:>6.1f} %"


def check(folder: Path, name: str, directives: int, events: int) -> None:
    """Print how long an engine looks at a journal before it goes on with it."""
    paths = new_run(folder / name)
    journal = Journal(paths.journal)
    fill(journal, directives)
    with journal.transaction():
        for number in range(events):
            journal.add_event(Tag.SPAWNED, f"worker-{number} in pane %{number} and some words more")
    journal.close()
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        assert find_fault(paths.journal, {}) is None
        times.append((time.perf_counter() - begin) * 1000)
    size = paths.journal.stat().st_size / 1024
    print(f"  {name:22}{size:10.0f} KB  median {statistics.median(times):6.1f} ms, most {max(times):6.1f} ms")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory(prefix="aiorch-bench-") as folder:
        print("looking for damage before an engine goes on")
        check(Path(folder), "20 directives", 20, 0)
        check(Path(folder), "200 directives", DIRECTIVES, 0)
        check(Path(folder), "100000 events", 20, EVENTS)
        measure(Path(folder), rounds)


if __name__ == "__main__":
    main()
