"""The write-ahead log beside a SQLite file: which of its pages are whole, and whether some are not (pure)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

DEFAULT_PAGE = 4096
_HEADER, _FRAME = 32, 24
_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}


@dataclass(slots=True)
class Wal:
    """The last whole picture of each page in the log; `is_damaged` when something committed cannot be read.

    `page_size` is 0 for an empty log and for one without a beginning that can be read.
    """

    page_size: int = 0
    pages: dict[int, bytes] = field(default_factory=dict)
    is_damaged: bool = False


def read_wal(log: bytes) -> Wal:
    """Return what a write-ahead log holds.

    SQLite stops at the first frame that is not whole. Here those behind it are taken too: each is checked by
    itself, by the sum that the one before it noted.
    """
    noted = _header(log)
    header = noted or _guessed(log)
    if header is None:
        return Wal(is_damaged=len(log) > 0)
    wal = Wal(page_size=header.page_size)
    # What follows the last commit was never committed.
    end, last = 0, 0
    frames = list(_frames(log, header))
    for index, frame in enumerate(frames):
        if frame.is_whole and frame.commits:
            end = index + 1
        if frame.commits:
            last = index + 1
    wal.is_damaged = noted is None or last > end or not all(frame.is_whole for frame in frames[:end])
    for frame in frames[:end]:
        if frame.is_whole:
            wal.pages[frame.page] = frame.data
    return wal


def is_cut_short(log: bytes, valid: int) -> bool:
    """Say whether a log holds a commit behind the first `valid` frames, which are all that SQLite reads."""
    header = _header(log)
    if header is None:
        return len(log) > 0
    step = _FRAME + header.page_size
    for at in range(_HEADER + valid * step, len(log) - step + 1, step):
        page, size, *salts = struct.unpack(">IIII", log[at : at + 16])
        if tuple(salts) == header.salts and page and size:
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Header:
    page_size: int
    order: str
    salts: tuple[int, int]
    sums: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Frame:
    page: int
    commits: bool
    is_whole: bool
    data: bytes


def _header(log: bytes) -> _Header | None:
    if len(log) < _HEADER:
        return None
    magic, _, size, _, *rest = struct.unpack(">8I", log[:_HEADER])
    order = _MAGICS.get(magic)
    if order is None or not 512 <= size <= 65536 or size & (size - 1):
        return None
    sums = _summed(log[:24], (0, 0), order)
    return _Header(size, order, (rest[0], rest[1]), sums) if sums == (rest[2], rest[3]) else None


def _guessed(log: bytes) -> _Header | None:
    """Return the beginning that a log must have had, by its first frame; that frame then counts as broken."""
    if len(log) < _HEADER + _FRAME + DEFAULT_PAGE:
        return None
    first, second = struct.unpack(">II", log[_HEADER + 8 : _HEADER + 16])
    return _Header(DEFAULT_PAGE, "<", (first, second), (0, 0))


def _frames(log: bytes, header: _Header) -> Iterator[_Frame]:
    """Yield the frames since the log was begun anew; those behind them are of an earlier time."""
    sums, step = header.sums, _FRAME + header.page_size
    for at in range(_HEADER, len(log) - step + 1, step):
        page, size, *rest = struct.unpack(">6I", log[at : at + _FRAME])
        noted = (rest[2], rest[3])
        data = log[at + _FRAME : at + step]
        is_ours = (rest[0], rest[1]) == header.salts
        is_whole = is_ours and page > 0 and noted == _summed(log[at : at + 8] + data, sums, header.order)
        sums = noted
        if is_ours:
            yield _Frame(page, size > 0, is_whole, data)
        else:
            # Either the end, or a frame whose beginning is damaged: the next ones tell.
            yield _Frame(0, False, False, b"")


def _summed(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & 0xFFFFFFFF
        second = (second + words[index + 1] + first) & 0xFFFFFFFF
    return first, second
