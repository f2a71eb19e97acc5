"""A terminal emulator fed with a pane's bytes: the only code that knows `pyavt`."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from avt import Line, Vt

MIN_COLUMNS = 2
"""Below this width avt 0.17 panics on wide characters."""

HISTORY_ROWS = 2500
"""Scrolled-off rows that are kept: what one slice can scroll off, and the rows that tell whose they are."""


_EMOJI = "[\u2190-\u21ff\u231a-\u23ff\u25aa-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
_TONE = "[\U0001f3fb-\U0001f3ff]"
_CLUSTER = re.compile(f"{_EMOJI}(?:\ufe0f?(?:{_TONE}|\u200d{_EMOJI}\ufe0f?)+|\ufe0f)")
_OPEN_CLUSTER = re.compile(f"{_EMOJI}\ufe0f?(?:{_TONE}|\u200d{_EMOJI}\ufe0f?)*\u200d?\\Z")
_ALTERNATE = re.compile(r"\x1b\[\?(?:\d+;)*(?:1049|1047|47)(?:;\d+)*([hl])")
_SWITCH = re.compile(f"\x1bc|{_ALTERNATE.pattern}")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*)?\Z")
_NUMBERS = re.compile(r"\d+")
_TEXT_STYLE, _EMOJI_STYLE = "\ufe0e", "\ufe0f"
# Characters that no program prints stand for clusters inside the emulator: wide ones, narrow ones, and one
# that holds a column that the cluster may or may not take.
_WIDE, _NARROW, _HOLDER = 0x30000, 0x100000, "\U0010fffd"
_MAX_CLUSTERS = 4096
_EDGE = 32
_STAND_INS = re.compile("[\U00030000-\U00030fff\U00100000-\U00100fff\U0010fffd]")


@dataclass(slots=True)
class Row:
    """One row of a screen: its text without trailing blanks, and which columns have a background."""

    text: str
    line: Line | None = field(default=None, repr=False, compare=False)

    def filled(self, column: int) -> bool:
        """Say whether the cell at `column` has a background colour of its own."""
        if self.line is None or column >= len(self.line):
            return False
        return self.line[column].pen.background is not None

    def edge(self, column: int) -> int:
        """Return the column where the background of the cell at `column` ends (a side panel begins)."""
        if self.line is None or column >= len(self.line):
            return column
        cells = self.line.cells
        wanted = cells[column].pen.background
        for index in range(column, len(cells)):
            if cells[index].pen.background != wanted:
                return index
        return len(cells)

    def until(self, column: int) -> str:
        """Return the text left of `column`."""
        taken, width = 0, 0
        for taken, char in enumerate(self.text):
            if width >= column:
                return self.text[:taken].rstrip()
            width += _char_width(char)
        return self.text


def width_of(text: str) -> int:
    """Return how many columns `text` takes, by East Asian width; combining characters take none."""
    return len(text) if text.isascii() else _wide_width(text)


@lru_cache(2048)
def _wide_width(text: str) -> int:
    return sum(map(_char_width, text))


@lru_cache(4096)
def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _redraw(line: Line, cols: int) -> str:
    """Return the sequences that draw the text and backgrounds of a row, cut at `cols`."""
    parts, colour = [], ""
    for cell in line.cells[:cols]:
        if cell.width == 0:
            continue
        wanted = ";".join(_NUMBERS.findall(repr(cell.pen.background)))
        if wanted != colour:
            kind = "2" if ";" in wanted else "5"
            parts.append(f"\x1b[48;{kind};{wanted}m" if wanted else "\x1b[49m")
            colour = wanted
        parts.append(cell.char)
    # A character in the last column leaves the cursor there: CR LF goes to the next row as anywhere else.
    return "".join(parts) + "\x1b[0m"


def drawing(text: str, cursor: tuple[int, int] | None) -> str:
    """Return what draws the text of a screen, with the cursor at column and row `cursor`."""
    drawn = "\r\n".join(text.rstrip("\n").split("\n"))
    return drawn if cursor is None else f"\x1b[H{drawn}\x1b[{cursor[1] + 1};{cursor[0] + 1}H"


class Clusters:
    """Gives emoji of several characters the width that programs count for them.

    avt 0.17 counts each part, so text behind such an emoji would be overwritten by the next cursor
    move. Joined and toned ones take two columns, or with `apart` those of all their parts (OpenCode 1.18.33).
    With a variation selector for emoji style, programs count one column or two: the second one is held, and
    vanishes unless something is drawn there. Selectors for text style, which avt gives a column of their own,
    are dropped.
    """

    def __init__(self, *, apart: bool = False) -> None:
        self.apart = apart
        self._names: dict[str, str] = {}
        self._clusters: dict[int, str] = {ord(_HOLDER): ""}
        self._held = ""

    def encode(self, text: str) -> str:
        """Replace clusters by stand-ins; an emoji at the very end waits for what follows."""
        text, self._held = self._held + text, ""
        if text.isascii():
            return text
        if ord(text[-1]) >= 0x200D and (tail := _OPEN_CLUSTER.search(text, max(0, len(text) - 32))):
            text, self._held = text[: tail.start()], tail.group()
        return _CLUSTER.sub(self._stand_in, text.replace(_TEXT_STYLE, ""))

    def flush(self) -> str:
        """Return what waited."""
        text, self._held = self._held, ""
        return _CLUSTER.sub(self._stand_in, text)

    def decode(self, text: str) -> str:
        """Put the clusters back."""
        return text.translate(self._clusters) if self._names and _STAND_INS.search(text) else text

    def _stand_in(self, match: re.Match[str]) -> str:
        cluster = match.group()
        if cluster not in self._names and len(self._names) >= _MAX_CLUSTERS:
            return cluster
        narrow = len(cluster) == 2 and cluster[1] == _EMOJI_STYLE and _char_width(cluster[0]) == 1
        if cluster not in self._names:
            number = (_NARROW if narrow else _WIDE) + len(self._names)
            self._names[cluster] = chr(number)
            self._clusters[number] = cluster
        held = 1 if narrow else (width_of(cluster) - 2 if self.apart else 0)
        return self._names[cluster] + _HOLDER * held


class Screen:
    """A pane's screen and the latest rows that scrolled off; survives a panic of the emulator.

    `scrolled` counts rows that scrolled off, `losses` counts panics: the screen was then rebuilt empty and
    fills again with what follows.
    """

    def __init__(self, cols: int, rows: int, *, apart: bool = False) -> None:
        self.cols = max(MIN_COLUMNS, cols)
        self.rows = max(1, rows)
        self.losses = 0
        self.scrolled = 0
        self.history: list[Row] = []
        self._shed = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._clusters = Clusters(apart=apart)
        self.alternate = False
        self._edge = ""
        self._vt = Vt(self.cols, self.rows, 0)
        self._rows: list[Row | None] = []

    def feed(self, data: bytes) -> bool:
        """Take bytes as they came; say whether any row changed."""
        return self.feed_text(self._decoder.decode(data))

    def feed_text(self, text: str) -> bool:
        """Take decoded text; say whether any row changed."""
        if "?" in text or "?" in self._edge:
            for match in _ALTERNATE.finditer(self._edge + text):
                self.alternate = match[1] == "h"
        self._edge = (self._edge + text[-_EDGE:])[-_EDGE:]
        return self._put(self._clusters.encode(text))

    def flush(self) -> None:
        """Show what waited for more output (an emoji that could have become a longer one)."""
        self._put(self._clusters.flush())

    def _put(self, text: str) -> bool:
        changed = False
        at = 0
        if "\x1bc" in text or "[?" in text:
            # avt 0.17 forgets rows that scrolled off when a reset or a change of screen follows in one call.
            for switch in _SWITCH.finditer(text):
                changed |= self._put_part(text[at : switch.start()])
                at = switch.start()
        return self._put_part(text[at:]) or changed

    def _put_part(self, text: str) -> bool:
        try:
            changed, scrolled = self._vt.feed_str(text)
        except Exception:  # the engine must live on whatever the emulator meets
            self._rebuild()
            return True
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            self._rebuild()
            return True
        if scrolled:
            self._keep(scrolled)
        if self._rows:
            for index in changed:
                self._rows[index] = None
        return bool(changed) or bool(scrolled)

    @property
    def apart(self) -> bool:
        """Say whether joined emoji take the columns of all their parts."""
        return self._clusters.apart

    @apart.setter
    def apart(self, value: bool) -> None:
        self._clusters.apart = value

    def resize(self, cols: int, rows: int) -> None:
        """Take the pane's new size; rows change as in tmux, the history is forgotten."""
        self.cols, self.rows = max(MIN_COLUMNS, cols), max(1, rows)
        # Rows cut anew at another width no longer show what stood at their left edge.
        self.history.clear()
        self._rows.clear()
        try:
            if self.alternate:
                self._resize_alternate()
            else:
                self._vt.resize(self.cols, self.rows)
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            self._rebuild()

    def _resize_alternate(self) -> None:
        """Cut or pad the alternate screen as tmux 3.3a does; avt 0.17 would wrap its rows anew."""
        lines, cursor = self._vt.view(), self._vt.cursor
        row = cursor.row
        surplus = max(0, len(lines) - self.rows)
        below = min(surplus, len(lines) - 1 - row)
        lines = lines[surplus - below : len(lines) - below]
        row = max(0, row - (surplus - below))
        self._vt = Vt(self.cols, self.rows, 0)
        drawn = "\r\n".join(_redraw(line, self.cols) for line in lines)
        self._vt.feed_str(f"\x1b[?1049h\x1b[H{drawn}\x1b[{row + 1};{cursor.col + 1}H")
        # The size may change between two bytes of a sequence.
        if begun := _BEGUN.search(self._edge):
            self._vt.feed_str(begun.group())

    def blank(self) -> Screen:
        """Return an empty screen of the same kind."""
        return Screen(self.cols, self.rows, apart=self.apart)

    def adopt(self, other: Screen, text: str) -> None:
        """Show `text`, and take over history and mode of the screen it replaces."""
        self.history, self.scrolled, self.losses = other.history, other.scrolled, other.losses
        self._decoder, self.alternate = other._decoder, other.alternate
        self._put("\x1b[?1049h" * self.alternate + text)

    @property
    def is_blank(self) -> bool:
        """Say whether no row shows anything."""
        return not any(line.text.strip() for line in self._vt.view())

    def view(self) -> list[Row]:
        """Return the visible rows, top first."""
        lines = self._vt.view()
        if len(self._rows) != len(lines):
            self._rows = [None] * len(lines)
        for index, row in enumerate(self._rows):
            if row is None:
                self._rows[index] = self._row(lines[index])
        return list(self._rows)  # type: ignore[arg-type]  # none is missing now

    def shed(self, before: int) -> None:
        """Keep only the text of rows that scrolled off before row `before`: their cells take much room."""
        top = self.scrolled - len(self.history)
        for row in self.history[max(0, self._shed - top) : max(0, before - top)]:
            row.line = None
        self._shed = max(self._shed, before)

    def _row(self, line: Line) -> Row:
        return Row(self._clusters.decode(line.text.rstrip()), line)

    def _keep(self, scrolled: Iterable[Line]) -> None:
        before = len(self.history)
        self.history.extend(map(self._row, scrolled))
        self.scrolled += len(self.history) - before
        if len(self.history) > 3 * HISTORY_ROWS:
            del self.history[:-HISTORY_ROWS]

    def _rebuild(self) -> None:
        self.losses += 1
        self._rows.clear()
        self._vt = Vt(self.cols, self.rows, 0)
