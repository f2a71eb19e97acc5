"""Doing harm to a journal: what a broken disk, a stray hand or a power cut leaves."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from pathlib import Path

PAGE = 4096


def settle_log(journal: Path) -> None:
    """Bring all that is in the log into the file itself, and let the engine's own copies count no more."""
    database = sqlite3.connect(journal, isolation_level=None)
    assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    version = database.execute("PRAGMA user_version").fetchone()[0]
    database.execute(f"PRAGMA user_version = {version}")
    database.close()


def overwrite(path: Path, pages: Iterable[int], *, start: int = 0, size: int = PAGE) -> None:
    """Fill pages of a file, counted from 0, with rubbish; it is always the same."""
    rubbish = random.Random(7)
    with path.open("r+b") as file:
        for page in pages:
            file.seek(start + page * size)
            file.write(rubbish.randbytes(size))


def pages_of(journal: Path) -> int:
    return journal.stat().st_size // PAGE
