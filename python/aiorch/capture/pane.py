"""Reading one pane: decides between lines and screen, and hands the bytes on."""

from __future__ import annotations

from typing import Literal

from aiorch.capture.addressing import AddressingDetector, leaves_alternate
from aiorch.capture.ansi import decode_line
from aiorch.capture.directive import Rejected, Sighting
from aiorch.capture.frames import ScreenReader
from aiorch.capture.gutter import Gutter
from aiorch.capture.plain import PlainReader, advanced
from aiorch.capture.screen import width_of

SETTLE_SECONDS = 0.0015
"""Silence after which a screen counts as drawn.

The recordings give the same directives for 0.5 to 20 ms: a frame comes in one burst, and half a frame
rarely holds a whole object in the right place.
"""

MAX_UNSETTLED_SECONDS = 0.25
"""Longest time that flowing output may put off a settle."""

_RECENT = 65536
_EDGE = 15

KNOWN_LINES = 200

Mode = Literal["auto", "plain", "screen"]


class PaneReader:
    """Bytes of one pane → sightings; pure over bytes, sizes and calls of `settle`.

    In `auto` mode the pane is read as lines until a program addresses the cursor, from then on as a
    screen. When that program used the alternate screen and leaves it, the pane is read as lines again;
    a program that draws on the main screen leaves no such trace, so the pane then stays a screen.
    """

    def __init__(self, cols: int, rows: int, gutter: Gutter | None = None, *, mode: Mode = "auto") -> None:
        self._mode = mode
        self._plain = PlainReader()
        self._screen = ScreenReader(cols, rows, gutter)
        self._detector = AddressingDetector()
        self._drawing = mode == "screen"
        self._recent = b""
        self._edge = b""
        self._fresh = False
        self._total = 0
        self._above: list[str] = []
        self._before = ""
        self.seeded: list[Rejected] = []

    @property
    def drawing(self) -> bool:
        """Say whether the pane is read as a screen now."""
        return self._drawing

    @property
    def losses(self) -> int:
        """Return how often the emulator panicked; each time the screen was rebuilt empty."""
        return self._screen.losses

    @property
    def wants_settle(self) -> bool:
        """Say whether unsettled output matters: if not, no timer is needed."""
        return self._screen.wants_settle if self._drawing else self._plain.wants_settle

    @property
    def unfinished(self) -> str | None:
        """Return the position from which a plain pane must be read again after a restart, or None."""
        return None if self._drawing else self._plain.unfinished

    def feed(self, data: bytes, position: str) -> list[Sighting]:
        """Take bytes as they came; `position` is the printable `segment:offset` of their start."""
        if self._mode != "auto":
            return (self._screen if self._drawing else self._plain).feed(data, position)
        sightings: list[Sighting] = []
        while data:
            if self._drawing:
                taken = self._feed_screen(data, position, sightings)
            else:
                taken = self._feed_lines(data, position, sightings)
            data = data[taken:]
            self._total += taken
            position = advanced(position, taken)
        return sightings

    def settle(self) -> list[Sighting]:
        """Decide what the quiet pane shows.

        To be called after SETTLE_SECONDS of silence, and at the latest MAX_UNSETTLED_SECONDS after output
        began, while `wants_settle` holds.
        """
        return self._screen.settle() if self._drawing else self._plain.settle()

    def resize(self, cols: int, rows: int, *, will_resync: bool = False) -> None:
        """Take the pane's new size; `will_resync` promises a call of `resync` once the pane is quiet."""
        self._screen.will_resync = will_resync
        self._screen.resize(cols, rows)

    def use_gutter(self, gutter: Gutter | None) -> None:
        """Read the pane as another agent draws from now on; what was read so far is kept."""
        self._screen.use_gutter(gutter)

    def seed(self, text: str, cursor: tuple[int, int] | None = None, *, alternate: bool = False) -> None:
        """Start with what `capture-pane -p` showed when the pane was adopted.

        `cursor` is `#{cursor_x},#{cursor_y}`: programs that move the cursor relatively need it; `alternate`
        is `#{alternate_on}`. Directives on the screen are never yielded; they are listed in `seeded`.
        """
        lines = text.split("\n")
        column, row = cursor or (0, len(lines))
        # What is printed first goes on where the cursor stands.
        before = "".join(lines[row : row + 1]).ljust(column)[:column]
        *self._above, self._before = _joined([*lines[:row], before], self._screen.cols)
        self.seeded.extend(self._screen.seed(text, cursor, alternate=alternate))
        # Nobody prints lines on the alternate screen.
        self._drawing = self._drawing or alternate
        self._fresh = not self._drawing

    def resync(self, text: str, cursor: tuple[int, int] | None = None) -> None:
        """Correct a drawn screen by what `capture-pane -p` shows, without marking anything as seen.

        Worth a call once a pane is quiet after a resize: log and size change are not ordered to the byte,
        and a program that sends differences only then leaves an emulated screen torn.
        """
        if self._drawing:
            self._screen.resync(text, cursor)

    def screen_text(self) -> list[str]:
        """Return the visible rows of a drawn screen, or the unfinished line of a plain pane."""
        return self._screen.text() if self._drawing else [self._plain.text()]

    def known_lines(self) -> list[str]:
        """Return the last lines that were read, as a terminal shows them, about KNOWN_LINES."""
        if self._drawing:
            return self._screen.text(KNOWN_LINES)
        lines = [decode_line(line).text for line in self._recent.split(b"\n")[-KNOWN_LINES:]]
        return [*self._above, self._before + lines[0], *lines[1:]][-KNOWN_LINES:]

    def _feed_lines(self, data: bytes, position: str, sightings: list[Sighting]) -> int:
        """Read lines up to where the pane becomes a screen; return the bytes used."""
        start = self._detector.find(data)
        lines = data if start is None else data[: max(0, start)]
        self._recent = (self._recent + lines)[-_RECENT:]
        sightings.extend(self._plain.feed(lines, position))
        if start is None:
            return len(data)
        self._drawing = True
        # What was printed so far is on the screen too, and was decided as lines; the sequence that draws, of
        # which a part may have come earlier, is not part of it.
        end = self._total + len(lines)
        held = self._recent[start:] if start < 0 else b""
        # A seeded screen is continued as long as all that followed it is known.
        keep = self._fresh and end <= _RECENT
        self._screen.restart(self._recent[: len(self._recent) - len(held)], end - len(held), keep)
        sightings.extend(self._screen.feed(held, advanced(position, -len(held))))
        self._edge = held[-_EDGE:]
        self._fresh = False
        self._recent = b""
        return len(lines)

    def _feed_screen(self, data: bytes, position: str, sightings: list[Sighting]) -> int:
        """Read a screen up to where its program leaves the alternate screen; return the bytes used."""
        end = leaves_alternate(self._edge, data)
        part = data if end is None else data[:end]
        self._edge = (self._edge + part)[-_EDGE:] if end is None else b""
        sightings.extend(self._screen.feed(part, position))
        if end is not None:
            sightings.extend(self._screen.settle())
            self._drawing = False
            self._detector = AddressingDetector()
            self._plain = PlainReader()
        return len(part)


def _joined(rows: list[str], cols: int) -> list[str]:
    """Return rows as lines: one that fills its row goes on in the next."""
    lines = [""]
    for index, row in enumerate(rows):
        lines[-1] += row
        if width_of(row) < cols and index < len(rows) - 1:
            lines.append("")
    return lines
