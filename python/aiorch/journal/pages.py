"""Records of a SQLite file as they stand in its pages: what can be read where SQLite itself gives up (pure).

The format is that of https://sqlite.org/fileformat2.html, versions 3.7 to 3.51.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiorch.journal.wal import DEFAULT_PAGE, Wal, read_wal

MAGIC = b"SQLite format 3\0"
_HEADER = 100
_LEAF, _INTERIOR = 0x0D, 0x05
_INDEX_LEAF, _INDEX_INTERIOR = 0x0A, 0x02
_INT_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_MAX_PAYLOAD = 64 << 20

Value = int | float | str | bytes | None


class _BrokenError(ValueError):
    """What stands here is no such thing."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of some table: its rowid and the values of its columns."""

    rowid: int
    values: tuple[Value, ...]


@dataclass(slots=True)
class Contents:
    """What was read of a file.

    `unread` are the pages in which something could not be read. `is_behind` says that what was committed last
    may be missing: rows may be older than they should be.
    """

    records: list[Record] = field(default_factory=list)
    pages: int = 0
    unread: set[int] = field(default_factory=set)
    is_behind: bool = False


def read_contents(database: bytes, log: bytes) -> Contents:
    """Return all records in the table pages of a database file and its write-ahead log.

    No tree is followed: a page that is damaged costs what stands in it and no more. Which table a record is
    of, its caller has to tell.
    """
    wal = read_wal(log)
    return _Reader(database, wal).read()


class _Reader:
    def __init__(self, database: bytes, wal: Wal) -> None:
        self._database, self._wal = database, wal
        self._size = wal.page_size or _page_size(database) or DEFAULT_PAGE
        first = self._page(1)
        # Ours reserve nothing; what a damaged header says is not believed.
        self._usable = self._size - (first[20] if first.startswith(MAGIC) and first[20] < 64 else 0)
        whole = -(-len(database) // self._size)
        self._count = max([whole, *wal.pages])
        if first.startswith(MAGIC):
            noted = int.from_bytes(first[28:32], "big")
            # A file that was cut off says here how long it was.
            self._count = max(self._count, noted if noted <= 2 * self._count + 1024 else 0)
        self._used: set[int] = set()

    def read(self) -> Contents:
        found = Contents(pages=self._count, is_behind=self._wal.is_damaged)
        free = self._free_pages()
        broken = set()
        for number in range(1, self._count + 1):
            if number in free:
                continue
            try:
                if not self._read_page(number, found.records):
                    broken.add(number)
            except (_BrokenError, IndexError, struct.error):
                broken.add(number)
        found.unread = broken - self._used
        return found

    def _page(self, number: int) -> bytes:
        """Return the newest whole picture of a page, b"" when there is none."""
        logged = self._wal.pages.get(number)
        if logged is not None:
            return logged
        page = self._database[(number - 1) * self._size : number * self._size]
        return page if len(page) == self._size else b""

    def _read_page(self, number: int, records: list[Record]) -> bool:
        """Add the records of a page; return whether all that it holds was read."""
        page = self._page(number)
        start = _HEADER if number == 1 else 0
        kind = page[start] if page else 0
        if kind not in (_LEAF, _INTERIOR, _INDEX_LEAF, _INDEX_INTERIOR):
            return False
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        first = start + (12 if kind in (_INTERIOR, _INDEX_INTERIOR) else 8)
        if first + 2 * count > self._usable:
            return False
        is_whole = True
        for index in range(count):
            at = int.from_bytes(page[first + 2 * index : first + 2 * index + 2], "big")
            try:
                if at < first + 2 * count:
                    raise _BrokenError
                record = self._cell(page, kind, at)
                if record is not None:
                    records.append(record)
            except (_BrokenError, IndexError, struct.error):
                is_whole = False
        return is_whole

    def _cell(self, page: bytes, kind: int, at: int) -> Record | None:
        """Return the row in a cell, None for one that holds no row; raises _BrokenError."""
        if kind in (_INTERIOR, _INDEX_INTERIOR):
            child = int.from_bytes(page[at : at + 4], "big")
            if not 0 < child <= self._count:
                raise _BrokenError
            at += 4
        if kind == _INTERIOR:
            return None
        length, at = _varint(page, at)
        rowid = 0
        if kind == _LEAF:
            rowid, at = _varint(page, at)
        payload = self._payload(page, at, length, is_table=kind == _LEAF)
        # Of an index only its pages are wanted.
        values = _values(payload)
        return Record(_signed(rowid), values) if kind == _LEAF else None

    def _payload(self, page: bytes, at: int, length: int, *, is_table: bool) -> bytes:
        most = self._usable - 35 if is_table else (self._usable - 12) * 64 // 255 - 23
        if length > _MAX_PAYLOAD:
            raise _BrokenError
        if length <= most:
            if at + length > self._usable:
                raise _BrokenError
            return page[at : at + length]
        least = (self._usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (self._usable - 4)
        local = local if local <= most else least
        if at + local + 4 > self._usable:
            raise _BrokenError
        next_page = int.from_bytes(page[at + local : at + local + 4], "big")
        return page[at : at + local] + self._overflow(next_page, length - local)

    def _overflow(self, number: int, length: int) -> bytes:
        """Return what a chain of pages holds of a payload."""
        parts, passed = [], set()
        while length > 0:
            page = self._page(number) if 0 < number <= self._count and number not in passed else b""
            if not page:
                raise _BrokenError
            passed.add(number)
            parts.append(page[4 : 4 + min(length, self._usable - 4)])
            length -= len(parts[-1])
            number = int.from_bytes(page[:4], "big")
        if number != 0:
            raise _BrokenError
        self._used |= passed
        return b"".join(parts)

    def _free_pages(self) -> set[int]:
        """Return the pages that hold nothing any more; what they once held is not to come back."""
        first = self._page(1)
        number = int.from_bytes(first[32:36], "big") if first.startswith(MAGIC) else 0
        free: set[int] = set()
        while 0 < number <= self._count and number not in free:
            trunk = self._page(number)
            if not trunk:
                break
            free.add(number)
            following, count = struct.unpack(">II", trunk[:8])
            if count > self._usable // 4 - 2:
                break
            free.update(struct.unpack(f">{count}I", trunk[8 : 8 + 4 * count]))
            number = following
        return free


def _page_size(database: bytes) -> int:
    if not database.startswith(MAGIC) or len(database) < _HEADER:
        return 0
    size = int.from_bytes(database[16:18], "big")
    size = 65536 if size == 1 else size
    return size if size >= 512 and size & (size - 1) == 0 else 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    return value << 8 | data[at + 8], at + 9


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _values(payload: bytes) -> tuple[Value, ...]:
    """Return the values of a record; raises _BrokenError when its parts do not add up."""
    end, at = _varint(payload, 0)
    if not at <= end <= len(payload):
        raise _BrokenError
    kinds = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    sizes = [_size_of(kind) for kind in kinds]
    if at != end or end + sum(sizes) != len(payload):
        raise _BrokenError
    return tuple(_decoded(payload, end, kinds, sizes))


def _decoded(payload: bytes, at: int, kinds: list[int], sizes: list[int]) -> Iterator[Value]:
    for kind, size in zip(kinds, sizes, strict=True):
        data = payload[at : at + size]
        at += size
        if kind == 0:
            yield None
        elif kind in _INT_SIZES:
            yield int.from_bytes(data, "big", signed=True)
        elif kind == 7:
            yield float(struct.unpack(">d", data)[0])
        elif kind in (8, 9):
            yield kind - 8
        elif kind % 2:
            # No text of ours has one: this is a part of the file that was never written, or wiped.
            if b"\0" in data:
                raise _BrokenError
            try:
                yield data.decode()
            except UnicodeDecodeError as error:
                raise _BrokenError from error
        else:
            yield data


def _size_of(kind: int) -> int:
    if kind in _INT_SIZES:
        return _INT_SIZES[kind]
    if kind == 7:
        return 8
    if kind in (10, 11):
        raise _BrokenError
    return (kind - 12) // 2 if kind >= 12 else 0
