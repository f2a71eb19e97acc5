"""The last lines of a file that grows, each read once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_Identity = tuple[int, int, int]


class GrowingFile:
    """A file of lines of which only the end matters: its last `most` bytes, and what is appended later."""

    def __init__(self, path: Path, most: int) -> None:
        self._path, self._most = path, most
        self._seen: _Identity = (0, 0, 0)
        self._offset = 0

    def read(self) -> list[bytes]:
        """Return the lines that came since the last call, the first of them maybe without its beginning.

        The last one may not be whole: it comes again when it has grown. A file that is another one now, or
        was written anew, begins again; one that cannot be read has no lines.
        """
        try:
            if _identity(self._path.stat()) == self._seen:
                return []
            # Not to hang on a named pipe that somebody put there.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return []
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            try:
                return self._lines(file.fileno())
            except OSError:
                return []

    def _lines(self, descriptor: int) -> list[bytes]:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return []
        size, start = facts.st_size, self._offset
        is_same = facts.st_ino == self._seen[0] and size >= start
        if start and not (is_same and os.pread(descriptor, 1, start - 1) == b"\n"):
            self._offset = start = 0
        start = max(start, size - self._most)
        data = os.pread(descriptor, size - start, start)
        self._seen = _identity(facts)
        end = data.rfind(b"\n") + 1
        self._offset = start + end if end else self._offset
        return data.split(b"\n")


def _identity(facts: os.stat_result) -> _Identity:
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
