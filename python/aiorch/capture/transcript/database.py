"""Reading an SQLite database that another program owns, without leaving a trace beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

Signature = tuple[tuple[int, ...], ...]

_FORMATS = slice(18, 20)
_WRITE_AHEAD = b"\x02\x02"
_WAIT_SECONDS = 0.2
_YOUNG_NANOSECONDS = 100_000_000


class Database:
    """One foreign database; each read opens and closes it, so that its owner can always tidy up.

    SQLite's own read-only mode makes `-wal` and `-shm` where there are none, and rewrites `-shm` after a
    crash (seen with 3.40). So a database in WAL mode is read in one of three ways. Both files there: it
    is in use, or its owner was killed, and `readonly_shm` reads through them. None there: nobody has it
    open; it is read as it lies, and what was read is thrown away if it changed meanwhile. `-wal`
    alone: a private copy is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: Signature = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files of which one changes when somebody writes."""
        return (self.path, self._beside("-wal"))

    def changed(self) -> bool:
        """Say whether there is something that no successful read has seen; costs two stats."""
        signature = self._signature()
        return bool(signature[0]) and signature != self._seen

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection with one consistent view.

        Raises sqlite3.Error or OSError when the database cannot be read just now (locked, half made,
        changed under our hands): what was read is then void.
        """
        before = self._signature()
        with self._connection(before) as connection, closing(connection):
            connection.text_factory = _decode
            connection.execute("BEGIN")
            yield connection
        # Two writes within one tick of the file system's clock leave one time stamp.
        newest = max((facts[-1] for facts in before if facts), default=0)
        self._seen = before if time.time_ns() - newest > _YOUNG_NANOSECONDS else ()

    @contextmanager
    def _connection(self, before: Signature) -> Iterator[sqlite3.Connection]:
        if not self._is_write_ahead():
            yield _connect(self.path, "mode=ro")
        elif not before[1]:
            yield _connect(self.path, "mode=ro&immutable=1")
            if self._signature() != before:
                raise sqlite3.OperationalError("the database changed while it was read")
        elif self._beside("-shm").exists():
            yield _connect(self.path, "mode=ro&readonly_shm=1")
        else:
            with tempfile.TemporaryDirectory(prefix="aiorch-") as folder:
                copy = Path(folder) / "copy.db"
                shutil.copyfile(self.path, copy)
                shutil.copyfile(self._beside("-wal"), copy.with_name("copy.db-wal"))
                yield _connect(copy, "mode=ro")

    def _is_write_ahead(self) -> bool:
        with self.path.open("rb") as file:
            return file.read(_FORMATS.stop)[_FORMATS] == _WRITE_AHEAD

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _signature(self) -> Signature:
        return tuple(_facts(path) for path in self.files)


def _connect(path: Path, parameters: str) -> sqlite3.Connection:
    name = quote(os.fsencode(path.absolute()))
    return sqlite3.connect(f"file:{name}?{parameters}", uri=True, timeout=_WAIT_SECONDS, isolation_level=None)


def _facts(path: Path) -> tuple[int, ...]:
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return ()
    # Opening a named pipe that somebody put there would wait for ever.
    return (facts.st_ino, facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else ()


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")
