"""Reading a recorded log again: bytes and sizes in their order, and no clock (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from aiorch.capture.directive import Sighting
from aiorch.capture.pane import PaneReader

LOG = "log"
"""Name of the log in positions: `log:OFFSET`."""


@dataclass(frozen=True, slots=True)
class Resize:
    """The size that the pane had from the byte at `offset` of its log on."""

    offset: int
    cols: int
    rows: int


def play(reader: PaneReader, blocks: Iterable[bytes], resizes: Sequence[Resize] = ()) -> Iterator[Sighting]:
    """Yield what a reader finds in a log, the same for every way of cutting it into blocks.

    The pane counts as quiet before a resize and at the end of the log; what is drawn and erased between is
    found where a frame ends.
    """
    pending = sorted(resizes, key=lambda resize: resize.offset)
    offset = 0
    for block in blocks:
        at = 0
        while at < len(block):
            while pending and pending[0].offset <= offset + at:
                yield from _resize(reader, pending.pop(0))
            end = min(len(block), pending[0].offset - offset) if pending else len(block)
            yield from reader.feed(block[at:end], f"{LOG}:{offset + at}")
            at = end
        offset += len(block)
    while pending and pending[0].offset <= offset:
        yield from _resize(reader, pending.pop(0))
    # What is broken counts as such when a second look finds it unchanged.
    for _ in range(2):
        yield from reader.settle()


def _resize(reader: PaneReader, resize: Resize) -> list[Sighting]:
    found = reader.settle()
    reader.resize(resize.cols, resize.rows)
    return found
