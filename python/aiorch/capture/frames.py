"""Directives of a program that draws a screen: emulate, scan, and believe only what stays."""

from __future__ import annotations

import re
from dataclasses import replace

from aiorch.capture.directive import Directive, Rejected, Sighting, Source
from aiorch.capture.grammar import MARKER, Broken, Complete, Partial
from aiorch.capture.gutter import Gutter
from aiorch.capture.identity import REFUSED, Memory, identity, provenance
from aiorch.capture.lines import CUT_OFF
from aiorch.capture.marker import FOREIGN, Found, find_markers
from aiorch.capture.plain import advanced, has_trace, trace_end
from aiorch.capture.reach import beyond
from aiorch.capture.screen import HISTORY_ROWS, Row, Screen, drawing

SLICE = 2048
"""While a marker may be on the screen it is scanned at multiples of this many bytes of the stream.

Fixed places in the stream, not the ends of reads: the result doesn't depend on how bytes were cut.
"""

# Replaced bytes, and emoji whose parts terminals and programs count differently.
_UNSURE = re.compile("[\ufffd\ufe0f\u200d\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]")

SCAN_BYTES = 4096
"""Output that has to come, on average, for one look at the end of a frame: keeps hostile output cheap."""
# The beginning of lines erased upwards, which already erases: it waits for its end.
_BEGUN = re.compile(rb"\x1b(?:\[(?:2(?:K(?:\x1b(?:\[1?)?)?)?)?)?\Z")

BEFORE_START = "before start"
_TAIL = 16
_BURST = 16
_FEW_ROWS = 500
# What programs send before they draw anew, or when a frame is done: a change of screen, the cursor hidden or
# shown, an update begun or ended, the cursor sent home, an erased screen, lines erased upwards, a reset.
_FRAME = re.compile(
    rb"\x1b(?:\[(?:\?(?:1049|1047|47|2026|25)[hl]|H|[0-3]?J)|c)|(?<!\x1b\[1A)\x1b\[2K\x1b\[1A"
)
_Hit = tuple[Found, str | None]


class ScreenReader:
    """Bytes of one drawn screen → sightings.

    A directive is believed when it was complete and the same at a settle, in two scans in a row while output
    flowed, or when it had scrolled off; each one once, by content, however often it is redrawn.
    """

    def __init__(self, cols: int, rows: int, gutter: Gutter | None) -> None:
        self._screen = Screen(cols, rows, apart=gutter is not None and gutter.apart)
        self._gutter = self._style = gutter
        self._checked = -1
        self._edge_at = 0
        self._seen, self._foreign = Memory(), Memory()
        self._last: set[str] = set()
        self._doubts: set[str] = set()
        self._offset = 0
        self._tail = self._held = b""
        self._position = ""
        self._paid = -_BURST * SCAN_BYTES
        self._hot = False
        self._suspect = 0
        self._unsettled = False
        self._changed = False
        self._resized = False
        self._torn = self.will_resync = False
        self._next_row = 0
        self._past: tuple[int, list[Row], list[_Hit]] = (0, [], [])

    @property
    def cols(self) -> int:
        """Return how wide the screen is."""
        return self._screen.cols

    @property
    def losses(self) -> int:
        """Return how often the emulator had to be rebuilt after a panic."""
        return self._screen.losses

    @property
    def _is_alert(self) -> bool:
        """Say whether the output may hold a directive, or what was drawn before a resize."""
        return self._hot or self._suspect > 0 or self._resized

    @property
    def wants_settle(self) -> bool:
        """Say whether a look at the quiet screen could decide anything."""
        return bool(self._doubts) or (self._unsettled and (self._hot or self._suspect > 0))

    def feed(self, data: bytes, position: str) -> list[Sighting]:
        """Take bytes that begin at `position`."""
        if self._held:
            data, position = self._held + data, advanced(position, -len(self._held))
        end = _BEGUN.search(data, max(0, len(data) - _TAIL))
        self._held = end.group() if end else b""
        return self._feed(data[: len(data) - len(self._held)], position)

    def _feed(self, data: bytes, position: str) -> list[Sighting]:
        sightings: list[Sighting] = []
        at = 0
        while at < len(data):
            if not (self._is_alert or has_trace(self._tail[-2:] + data[at:])):
                at += self._advance(data[at:])
                self._screen.shed(self._screen.scrolled)
                self._position = advanced(position, at)
                continue
            piece = data[at : at + SLICE - self._offset % SLICE]
            sightings.extend(self._feed_slice(piece, advanced(position, at)))
            at += len(piece)
            self._position = advanced(position, at)
            if self._offset % SLICE == 0 and (self._hot or self._suspect):
                self._suspect = max(0, self._suspect - 1)
                sightings.extend(self._scan_slice())
        return sightings

    def _feed_slice(self, piece: bytes, position: str) -> list[Sighting]:
        """Take bytes of one slice, with a look at the screen where a frame ends."""
        sightings: list[Sighting] = []
        done = 0
        if not self._is_alert:
            behind = trace_end(self._tail[-2:] + piece) - len(self._tail[-2:])
            done = self._take(piece[: behind if behind > 0 else len(piece)])
        # A sequence may have begun in what was taken.
        before, at = len(self._tail) - done, 0
        text = self._tail + piece[done:]
        while done < len(piece):
            edge = _FRAME.search(text, at)
            at, end = (edge.end(), edge.end() - before) if edge else (at, len(piece))
            if edge and end <= done:
                continue
            # Nothing is drawn by the beginning of a sequence, if it came earlier.
            start = max(done, edge.start() - before) if edge else end
            missing = 0
            if edge:
                self._edge_at = self._offset + end - done
                missing = self._paid + SCAN_BYTES - self._edge_at
                if missing > 0 and not self._resized:
                    at += max(0, missing - _TAIL)
                    continue
            done += self._take(piece[done:start])
            if done < start:
                # The screen became wider there: what follows is looked at again.
                at = done + before
            elif edge:
                sightings.extend(self._end_frame(advanced(position, end), missing <= 0))
                if self._resized and edge.group().endswith(b"J"):
                    done += self._take(piece[done:end])
                    self._check_blank()
        return sightings

    def _end_frame(self, position: str, allowed: bool) -> list[Sighting]:
        """Look at the screen as it is before a frame begins or when it is done."""
        if self._resized and self._offset != self._checked:
            self._check_blank()
        if not (allowed and self._changed and (self._hot or self._suspect)):
            return []
        self._paid = max(self._paid, self._edge_at - _BURST * SCAN_BYTES) + SCAN_BYTES
        self._position = position
        self._screen.flush()
        return self._scan(framed=True)

    def _scan_slice(self) -> list[Sighting]:
        """Look at the screen in the midst of output.

        Where frames have ends, anything between them may be half a frame, even twice in a row: only what
        scrolls off is looked at.
        """
        framed = self._edge_at > self._offset - SLICE
        if framed and self._screen.scrolled - self._next_row < _FEW_ROWS:
            return []
        return self._scan(steady=not framed)

    def _check_blank(self) -> None:
        """Forget the resize once nothing is shown of what was drawn before it."""
        # A program draws only what it thinks has changed; after a resize it may be wrong until it erases all.
        self._checked = self._offset
        self._screen.flush()
        if self._screen.is_blank:
            self._resized = self._torn = False
            self._style = self._gutter
            self._past = (0, [], [])

    def _take(self, part: bytes) -> int:
        """Draw bytes, and note what may be part of a marker; return how many were taken."""
        before = self._tail[-2:]
        taken = self._advance(part)
        if taken and has_trace(before + part[:taken]):
            # The rest of the marker may lie behind the end of the slice.
            self._suspect = 2
        return taken

    def settle(self) -> list[Sighting]:
        """Look at the screen while no output comes."""
        if not self.wants_settle:
            return []
        self._flush()
        self._unsettled = False
        return self._scan(settled=True)

    def _flush(self) -> None:
        """Draw what waits for its end."""
        self._take(self._held)
        self._held = b""
        self._screen.flush()

    def resize(self, cols: int, rows: int) -> None:
        """Take the pane's new size; from then on a row break must be explained by the width."""
        if (cols, rows) != (self._screen.cols, self._screen.rows):
            self._flush()
            blank = not self._screen.history and not any(row.text for row in self._screen.view())
            self._screen.resize(cols, rows)
            if blank:
                return
            self._resized = self._unsettled = True
            self._torn = self._torn or self._screen.alternate
            if self._gutter is not None:
                # Rows cut anew at another width leave parts of words in the gutter.
                self._style = replace(self._gutter, strict=False)

    def use_gutter(self, gutter: Gutter | None) -> None:
        """Look at the rows as another agent draws them."""
        self._gutter = self._style = gutter
        self._past = (0, [], [])
        self._screen.apart = gutter is not None and gutter.apart
        self._hot = self._unsettled = True

    def seed(self, text: str, cursor: tuple[int, int] | None, *, alternate: bool) -> list[Rejected]:
        """Start with the text of a screen; return the directives on it, which will not be yielded."""
        self._screen.feed_text("\x1b[?1049h" * alternate + drawing(text, cursor))
        return self._remember()

    def restart(self, data: bytes, offset: int, keep: bool) -> None:
        """Continue a screen, or begin a new one, with bytes that were read elsewhere.

        They end at `offset` of the stream; nothing on the screen will be yielded.
        """
        self._offset, self._held = offset, b""
        if not keep:
            self._screen = self._screen.blank()
        self._next_row = 0
        self._tail = data[-_TAIL:]
        self._screen.feed(data)
        self._remember()

    def text(self, above: int = 0) -> list[str]:
        """Return the visible rows, and as many of those that scrolled off last."""
        past = self._screen.history
        return [row.text for row in [*past[max(0, len(past) - above) :], *self._screen.view()]]

    def resync(self, text: str, cursor: tuple[int, int] | None) -> None:
        """Put the text of the real screen in the place of the emulated one; history and identities stay."""
        screen = self._screen.blank()
        screen.adopt(self._screen, drawing(text, cursor))
        self._screen, self._torn, self._unsettled = screen, False, True
        self._hot = True

    def _advance(self, data: bytes) -> int:
        """Draw bytes up to where the screen had to become wider; return how many were taken."""
        taken, widened = 0, False
        if self._gutter is not None:
            before = len(self._tail)
            for wide in beyond(self._screen.cols).finditer(self._tail + data):
                if wide.end() > before and not widened:
                    start = max(taken, wide.start() - before)
                    # Which screen it is shows when all before it is drawn.
                    self._draw(data[taken:start])
                    taken, widened = start, self._widen(int(wide["column"]))
        if not widened:
            self._draw(data[taken:])
            taken = len(data)
        self._offset += taken
        self._tail = (self._tail + data[max(0, taken - _TAIL) : taken])[-_TAIL:]
        return taken

    def _widen(self, column: int) -> bool:
        """Make room for a known agent that draws at `column`: it learns of a resize before we do."""
        screen = self._screen
        if column <= screen.cols or not screen.alternate:
            return False
        screen.flush()
        blank = screen.is_blank
        screen.resize(max(column, 2 * screen.cols), screen.rows)
        self._resized, self._torn = self._resized or not blank, self._torn or not blank
        return True

    def _draw(self, data: bytes) -> None:
        losses = self._screen.losses
        if data and self._screen.feed(data):
            self._unsettled = self._changed = True
            # What told whose words these are may have been lost.
            self._torn = self._torn or self._screen.losses > losses

    def _find(self) -> list[_Hit]:
        """Return the markers of the rows that are new since the last scan, or still visible."""
        self._screen.shed(self._next_row)
        history = self._screen.history[-HISTORY_ROWS:]
        rows = [*history, *self._screen.view()]
        top = self._screen.scrolled - len(history)
        first = max(0, self._next_row - top)
        visible = len(history)
        if not _has_marker(rows, first):
            self._hot = False
            self._next_row = self._screen.scrolled
            return []
        known = self._unchanged(rows, first)
        begin, finished = (known[-1][0].row + 1, known[-1][0].last) if known else (first, -1)
        # An alternate screen is drawn anew in its place: what scrolled off is not what stood above.
        seam = visible if self._screen.alternate else 0
        fresh = list(find_markers(rows, self._screen.cols, self._style, begin, finished, seam))
        found = [hit for hit, _ in known] + fresh
        waiting = [hit.row for hit in found if isinstance(hit.verdict, Partial) and hit.last >= visible - 1]
        self._next_row = top + min([visible, *waiting])
        self._hot = bool(waiting) or _has_marker(rows, visible)
        fresh = [_off(hit, visible) for hit in fresh]
        hits = known + [(hit, identity(hit)) for hit in fresh]
        self._past = (self._screen.scrolled, rows, hits)
        return hits

    def _unchanged(self, rows: list[Row], first: int) -> list[_Hit]:
        """Return what the last scan found complete in rows that are the same now, and all rows above, too."""
        scrolled, old, hits = self._past
        if scrolled != self._screen.scrolled or len(old) != len(rows) or not hits:
            return []
        known = []
        same = next((i for i in range(first, len(rows)) if rows[i] is not old[i]), len(rows))
        for hit, key in hits:
            if (
                not isinstance(hit.verdict, Complete)
                or hit.refusal
                or not first <= hit.row <= hit.last < same
            ):
                break
            known.append((hit, key))
        return known

    def _scan(self, *, settled: bool = False, framed: bool = False, steady: bool = False) -> list[Sighting]:
        """Look at the screen: of a pane that is quiet, at the end of a frame, or in the midst of output.

        Twice the same in the midst of output is enough when `steady`.
        """
        self._changed = False
        sightings: list[Sighting] = []
        current: set[str] = set()
        doubts: set[str] = set()
        for hit, key in self._find():
            if key is None or self._is_foreign(hit, key) or key in self._seen:
                continue
            if self._resized and not hit.explained:
                continue
            good = isinstance(hit.verdict, Complete) and not hit.refusal
            # A torn screen that will be corrected is looked at again then.
            early = not (self._torn and self.will_resync) and (framed or (steady and key in self._last))
            if good and (settled or hit.closed or early):
                sightings.append(self._accept(hit, key))
            elif good:
                current.add(key)
            elif settled and key in self._doubts:
                sightings.append(self._accept(hit, key))
            elif settled:
                doubts.add(key)
        self._last = current
        self._doubts = doubts if settled else self._doubts
        return sightings

    def _is_foreign(self, hit: Found, key: str) -> bool:
        """Say whether others said this, as far as can be seen: their mark may have scrolled off meanwhile."""
        if hit.refusal in FOREIGN:
            self._foreign.add(key.removeprefix(REFUSED))
        return not hit.refusal and not hit.owned and key in self._foreign

    def _accept(self, hit: Found, key: str) -> Sighting:
        self._seen.add(key)
        source = Source.PLAIN if self._gutter is not None and self._gutter.mixed else Source.SCREEN
        if not isinstance(hit.verdict, Complete):
            reason = hit.verdict.reason if isinstance(hit.verdict, Broken) else CUT_OFF
            return Rejected(reason, source, self._position, hit.text, key)
        if hit.refusal:
            return Rejected(hit.refusal, source, self._position, hit.text, key, is_error=False)
        altered = self._torn or not hit.explained or bool(_UNSURE.search(hit.text)) or hit.is_rendered
        payload = hit.verdict.payload
        return Directive(payload, source, provenance(self._gutter), self._position, hit.text, key, altered)

    def _remember(self) -> list[Rejected]:
        known = []
        for hit, key in self._find():
            if key is None or key in self._seen:
                continue
            self._seen.add(key)
            if isinstance(hit.verdict, Complete) and not hit.refusal:
                at = self._position
                known.append(Rejected(BEFORE_START, Source.SCREEN, at, hit.text, key, is_error=False))
        self._last = set()
        return known


def _has_marker(rows: list[Row], first: int) -> bool:
    return any(MARKER in row.text for row in rows[first:])


def _off(hit: Found, visible: int) -> Found:
    """Mark a complete directive all of whose rows scrolled off as closed."""
    if isinstance(hit.verdict, Complete) and hit.last < visible:
        return replace(hit, closed=True)
    return hit
