"""Where a journal's files are, and whether they are still those that were opened."""

from __future__ import annotations

import os
from pathlib import Path

PARTS = ("", "-wal", "-shm")


class Place:
    """The files of an open journal: the database and its write-ahead log.

    Not the index of the log: who misses it makes a new one.
    """

    def __init__(self, path: Path) -> None:
        self._files = [part_of(path, part) for part in PARTS[:2]]
        self.note()

    @property
    def path(self) -> Path:
        """Return the path of the database itself."""
        return self._files[0]

    def note(self) -> None:
        """Take the files that are there now for those that are open."""
        self._identities = [_identity(file) for file in self._files]

    @property
    def is_kept(self) -> bool:
        """Return whether the files that are there are those that are open."""
        return [_identity(file) for file in self._files] == self._identities

    @property
    def files(self) -> list[Path]:
        """Return those files there that are open."""
        pairs = zip(self._files, self._identities, strict=True)
        return [file for file, identity in pairs if identity is not None and _identity(file) == identity]


def part_of(path: Path, part: str) -> Path:
    """Return the file of a database at `path` whose name ends with `part`."""
    return path.with_name(f"{path.name}{part}")


def uri(path: Path, mode: str) -> str:
    """Return a file for SQLite to open, in one of its modes."""
    name = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{name}?mode={mode}"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - at every step of the engine, twice as fast
    except OSError:
        return None
    return found.st_dev, found.st_ino
