"""Directives of a program that prints lines: exact, without a terminal emulator."""

from __future__ import annotations

import bisect
import re

from aiorch.capture.ansi import Line, decode_line
from aiorch.capture.directive import Directive, Rejected, Sighting, Source
from aiorch.capture.grammar import MARKER, MAX_PAYLOAD, Broken
from aiorch.capture.lines import Hit, LineScanner, Locate, find_in_text, spoken_texts

MAX_LINE = 4 * MAX_PAYLOAD + 65536
"""Bytes kept of one line; the rest of a longer line is dropped."""

# Any run of five characters of the marker holds one of the first four whole; the last one is a letter of
# it that is styled alone, as highlighters do (Aider in a fence).
TRACES = (b"[OR", b"CHE", b"STR", b"ATE", b"mH\x1b")
_TRACE = re.compile(b"|".join([*map(re.escape, TRACES), b"```", b"~~~"]))


def has_trace(data: bytes) -> bool:
    """Say cheaply whether `data` may hold a part of the marker."""
    for trace in TRACES:  # noqa: SIM110 - twice as fast as any() on the path of all output
        if trace in data:
            return True
    return False


def advanced(position: str, by: int) -> str:
    """Return the position `segment:offset` that is `by` bytes further on; without an offset, the same."""
    segment, _, offset = position.rpartition(":")
    return f"{segment}:{max(0, int(offset) + by)}" if offset.isdigit() else position


def trace_end(data: bytes) -> int:
    """Return the index behind the first part of a marker in `data`, or -1."""
    ends = [at + len(trace) for trace in TRACES if (at := data.find(trace)) >= 0]
    return min(ends, default=-1)


class Positions:
    """Translates offsets in the fed stream to the positions that the engine gave, `segment:offset`."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._names: list[tuple[str, int]] = []

    def add(self, start: int, position: str) -> None:
        """Note that the byte at stream offset `start` stands at `position`."""
        segment, _, offset = position.rpartition(":")
        known = segment if offset.isdigit() else position
        base = int(offset) if offset.isdigit() else 0
        if self._names and self._names[-1] == (known, base - (start - self._starts[-1])):
            return
        self._starts.append(start)
        self._names.append((known, base))

    def at(self, offset: int) -> str:
        """Return the position of the byte at a stream offset."""
        index = bisect.bisect_right(self._starts, offset) - 1
        if index < 0:
            return f":{offset}"
        segment, base = self._names[index]
        return f"{segment}:{base + offset - self._starts[index]}"

    def forget(self, before: int) -> None:
        """Drop what is needed only for offsets below `before`."""
        keep = max(0, bisect.bisect_right(self._starts, before) - 1)
        del self._starts[:keep]
        del self._names[:keep]


class PlainReader:
    """Bytes of lines → sightings; the same for every way of cutting the bytes into chunks."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._start = 0
        self._total = 0
        self._positions = Positions()
        self._scanner = LineScanner()
        self._early: set[str] = set()
        self._peeked = -1
        self._traced = False

    def feed(self, data: bytes, position: str) -> list[Sighting]:
        """Take bytes that begin at `position`; yield what their complete lines hold."""
        begin = self._total
        self._positions.add(begin, position)
        self._total += len(data)
        first = data.find(b"\n")
        if first < 0:
            self._grow(data)
            return []
        self._grow(data[:first])
        sightings = self._lines([bytes(self._line)], self._start)
        cut = data.rfind(b"\n") + 1
        block = data[first + 1 : cut]
        if block and self._matters(block):
            sightings.extend(self._lines(block.split(b"\n")[:-1], begin + first + 1))
        self._line.clear()
        self._traced, self._peeked = False, -1
        self._start = begin + cut
        self._grow(data[cut:])
        if self._scanner.open_at is None:
            self._positions.forget(self._start)
        return sightings

    def settle(self) -> list[Sighting]:
        """Yield a directive that is complete although its line has no end yet (a prompt, say)."""
        if len(self._line) == self._peeked or not self.wants_settle:
            return []
        self._peeked = len(self._line)
        line = decode_line(bytes(self._line))
        found = []
        for hit in self._scanner.peek(line.text, self._locator(line, self._start)):
            if hit.where not in self._early:
                self._early.add(hit.where)
                found.append(_sighting(hit))
        return found

    @property
    def wants_settle(self) -> bool:
        """Say whether the unfinished line may complete a directive."""
        if not self._line or len(self._line) == self._peeked:
            return False
        return self._traced or self._scanner.open_at is not None

    @property
    def unfinished(self) -> str | None:
        """Return the position of the first byte that is not decided yet, or None at the start of a line."""
        if self._scanner.open_at is not None:
            return self._scanner.open_at
        return self._positions.at(self._start) if self._line else None

    def text(self) -> str:
        """Return the unfinished line as a terminal shows it."""
        return decode_line(bytes(self._line)).text

    def _grow(self, data: bytes) -> None:
        data = data[: max(0, MAX_LINE - len(self._line))]
        self._line += data
        if data and not self._traced:
            self._traced = has_trace(bytes(self._line[-len(data) - 2 :]))

    def _matters(self, block: bytes) -> bool:
        return self._scanner.open_at is not None or has_trace(block) or b"```" in block or b"~~~" in block

    def _lines(self, raws: list[bytes], start: int) -> list[Sighting]:
        sightings: list[Sighting] = []
        for raw in raws:
            if self._scanner.open_at is not None or _TRACE.search(raw):
                sightings.extend(self._one(raw[:MAX_LINE], start))
            start += len(raw) + 1
        return sightings

    def _one(self, raw: bytes, start: int) -> list[Sighting]:
        line = decode_line(raw)
        early, self._early = self._early, set()
        if self._scanner.open_at is None and raw.startswith(b"{") and MARKER in line.text:
            texts = spoken_texts(line.text)
            if texts is not None:
                return self._spoken(texts, self._positions.at(start))
        hits = self._scanner.push(line.text, self._locator(line, start))
        return [_sighting(hit) for hit in hits if hit.where not in early]

    def _spoken(self, texts: list[str], position: str) -> list[Sighting]:
        found: list[Sighting] = []
        for number, text in enumerate(texts):
            for hit in find_in_text(text):
                where = f"{position}#{number}.{hit.where}"
                found.append(_sighting(Hit(hit.verdict, hit.refusal, where, hit.text, hit.fenced)))
        return found

    def _locator(self, line: Line, start: int) -> Locate:
        return lambda index: self._positions.at(start + line.offset(index))


def _sighting(hit: Hit) -> Sighting:
    key = f"plain:{hit.where}"
    if isinstance(hit.verdict, Broken):
        return Rejected(hit.verdict.reason, Source.PLAIN, hit.where, hit.text, key)
    if hit.refusal:
        return Rejected(hit.refusal, Source.PLAIN, hit.where, hit.text, key, is_error=False)
    provenance = "a fenced line of output" if hit.fenced else "a line of output"
    return Directive(
        hit.verdict.payload, Source.PLAIN, provenance, hit.where, hit.text, key, fenced=hit.fenced
    )
