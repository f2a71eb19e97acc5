"""Reading a pane's log: segments that `split` writes and the engine consumes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the log was consumed: a segment's file name and the byte offset in it.

    `Cursor("", 0)` is the beginning.
    """

    segment: str
    offset: int

    def __str__(self) -> str:
        return f"{self.segment}:{self.offset}"


class SegmentTail:
    """Reads what was appended to the segments of one directory, in the order of their names.

    Names look like `000001-aaaaa`: a prefix that grows each time the pipe is armed, then the suffix of
    `split`. A segment that vanished is skipped. One that became shorter than the cursor was truncated
    (a re-armed pipe with an old prefix does that): it is read again from its start.
    """

    def __init__(self, directory: Path, cursor: Cursor, chunk: int = 65536) -> None:
        self._directory = directory
        self._cursor = cursor
        self._chunk = chunk
        self._fd = -1
        self._open_name = ""

    @property
    def cursor(self) -> Cursor:
        """Return the position behind the last byte that was read."""
        return self._cursor

    def read(self) -> Iterator[tuple[Cursor, bytes]]:
        """Yield everything up to the present end, each chunk with the cursor behind it; never blocks."""
        while True:
            yield from self._read_segment()
            # Asked only after the end was met: the writer never returns to an older segment.
            following = self._next_segment()
            if following is None:
                return
            # The writer may have added to the old segment between its end and the listing.
            yield from self._read_segment()
            self._cursor = Cursor(following, 0)

    def close(self) -> None:
        """Release the open segment; reading again opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._open_name = ""

    def _read_segment(self) -> Iterator[tuple[Cursor, bytes]]:
        if not self._cursor.segment or not self._open():
            return
        if os.fstat(self._fd).st_size < self._cursor.offset:
            self._cursor = Cursor(self._cursor.segment, 0)
        while self._fd >= 0:
            data = os.pread(self._fd, self._chunk, self._cursor.offset)
            if not data:
                return
            self._cursor = Cursor(self._cursor.segment, self._cursor.offset + len(data))
            yield self._cursor, data

    def _open(self) -> bool:
        name = self._cursor.segment
        if self._fd >= 0 and self._open_name == name:
            return True
        self.close()
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            self._fd = os.open(self._directory / name, flags)
        except OSError:
            return False
        self._open_name = name
        return True

    def _next_segment(self) -> str | None:
        try:
            with os.scandir(self._directory) as entries:
                names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except OSError:
            return None
        return min((name for name in names if name > self._cursor.segment and name[0] != "."), default=None)
