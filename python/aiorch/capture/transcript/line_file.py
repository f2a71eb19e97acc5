"""Reading the complete lines that are appended to a file, whatever happens to the file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 18
MAX_LINE = 1 << 24
"""Longest line in bytes that is looked at; a longer one is yielded as an empty one."""

_TAIL = 64


@dataclass(frozen=True, slots=True)
class Line:
    """A complete line without its line feed, and the offset of its first byte."""

    offset: int
    data: bytes


class LineFile:
    """Yields the lines of a file that were completed since the last read.

    Nothing of an unfinished line is kept in memory, and no byte of it is searched twice. A file that
    was truncated, overwritten or replaced is read again from its start, and `restarts` counts that;
    one that vanished, or cannot be read, has no new lines until it is back.
    """

    def __init__(self, path: Path, cursor: object = None) -> None:
        self.path = path
        self.restarts = 0
        self._offset = 0
        self._searched = 0
        self._inode = 0
        self._tail = b""
        self._known = ""
        self._seen: tuple[int, ...] = ()
        if isinstance(cursor, Mapping):
            self._resume(cursor)

    @property
    def offset(self) -> int:
        """Return the offset of the first line that was not yielded."""
        return self._offset

    @property
    def cursor(self) -> dict[str, object]:
        """Return where to go on: how far, in which file, and what stood just before."""
        known = _digest(self._tail) if self._tail else self._known
        return {"inode": self._inode, "offset": self._offset, "tail": known}

    def read(self) -> Iterator[Line]:
        """Yield the new complete lines; take them all before reading again."""
        if self._signature() in ((), self._seen):
            return
        descriptor = self._open()
        if descriptor < 0:
            return
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                return
            self._check(descriptor, facts)
            yield from self._lines(descriptor)
            # Bytes that came since fstat change the size again: the next read sees them.
            self._seen = _signature(facts)
        finally:
            os.close(descriptor)

    def rest(self) -> Line | None:
        """Return the last line although it has no end; for a file that will not grow any more."""
        descriptor = self._open()
        if descriptor < 0:
            return None
        try:
            size = os.fstat(descriptor).st_size - self._offset
            data = self._span(descriptor, self._offset, size) if 0 < size <= MAX_LINE else b""
        finally:
            os.close(descriptor)
        return Line(self._offset, data) if data else None

    def _resume(self, cursor: Mapping[object, object]) -> None:
        offset, inode, tail = cursor.get("offset"), cursor.get("inode"), cursor.get("tail")
        if isinstance(offset, int) and isinstance(inode, int) and isinstance(tail, str) and offset >= 0:
            self._offset = self._searched = offset
            self._inode, self._known = inode, tail

    def _signature(self) -> tuple[int, ...]:
        try:
            return _signature(self.path.stat())
        except (OSError, ValueError):
            return ()

    def _open(self) -> int:
        # Not to hang on a named pipe that somebody put there.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            return os.open(self.path, flags)
        except (OSError, ValueError):
            return -1

    def _check(self, descriptor: int, facts: os.stat_result) -> None:
        same = self._inode in (0, facts.st_ino) and facts.st_size >= self._searched
        start = max(0, self._offset - _TAIL)
        before = self._span(descriptor, start, self._offset - start)
        # Other bytes before the offset: somebody wrote the file anew in its place.
        known = before == self._tail if self._tail else _digest(before) == self._known
        if not same or (self._offset and not known):
            self._offset = self._searched = 0
            self.restarts += 1
            before = b""
        self._tail = before
        self._inode = facts.st_ino

    def _lines(self, descriptor: int) -> Iterator[Line]:
        while data := _pread(descriptor, CHUNK, self._searched):
            start = max(0, self._offset - self._searched)
            while (end := data.find(b"\n", start)) >= 0:
                stop = self._searched + end
                begin = self._offset
                if stop - begin > MAX_LINE:
                    line = b""
                elif begin >= self._searched:
                    line = data[begin - self._searched : end]
                else:
                    line = self._span(descriptor, begin, stop - begin)
                self._offset = stop + 1
                last = line[-_TAIL:] or self._span(
                    descriptor, stop - min(_TAIL, stop - begin), min(_TAIL, stop - begin)
                )
                self._tail = (self._tail + last + b"\n")[-_TAIL:]
                yield Line(begin, line)
                start = end + 1
            self._searched += len(data)

    def _span(self, descriptor: int, start: int, length: int) -> bytes:
        parts: list[bytes] = []
        while length > 0 and (data := _pread(descriptor, length, start)):
            parts.append(data)
            start, length = start + len(data), length - len(data)
        return b"".join(parts)


def _pread(descriptor: int, length: int, offset: int) -> bytes:
    try:
        return os.pread(descriptor, length, offset)
    except OSError:
        # An unplugged disk or a stale network handle: as if nothing had come.
        return b""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _signature(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
