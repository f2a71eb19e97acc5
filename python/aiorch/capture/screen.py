"""A terminal emulator fed with a pane's bytes: the only code that knows `pyavt`."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

import avt

MIN_COLUMNS = 2
"""Below this width avt 0.17 panics on wide characters."""

HISTORY_ROWS = 1400
"""Scrolled-off rows that are kept: what one slice of output can scroll off, and the rows that tell whose they are."""


_EMOJI = "[\u2190-\u21ff\u231a-\u23ff\u25aa-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
_TONE = "[\U0001f3fb-\U0001f3ff]"
_CLUSTER = re.compile(f"{_EMOJI}\ufe0f?(?:{_TONE}|\u200d{_EMOJI}\ufe0f?)+")
_OPEN_CLUSTER = re.compile(f"{_EMOJI}\ufe0f?(?:{_TONE}|\u200d{_EMOJI}\ufe0f?)*\u200d?\\Z")
_TEXT_STYLE = "\ufe0e"
# Wide characters that no program prints stand for clusters inside the emulator.
_STAND_IN = 0x30000
_MAX_CLUSTERS = 4096


@dataclass(slots=True)
class Row:
    """One row of a screen: its text without trailing blanks, and which columns have a background."""

    text: str
    line: avt.Line | None = field(default=None, repr=False, compare=False)

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
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


class Clusters:
    """Gives emoji that are joined or toned the width that programs count for them: two columns.

    avt 0.17 counts each part, so text behind such an emoji would be overwritten by the next cursor
    move. Variation selectors for text style, which avt gives a column of their own, are dropped.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._clusters: dict[int, str] = {}
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
        return text.translate(self._clusters) if self._clusters and not text.isascii() else text

    def _stand_in(self, match: re.Match[str]) -> str:
        cluster = match.group()
        if cluster not in self._names:
            if len(self._names) >= _MAX_CLUSTERS:
                return cluster
            number = _STAND_IN + len(self._names)
            self._names[cluster] = chr(number)
            self._clusters[number] = cluster
        return self._names[cluster]


class Screen:
    """A pane's screen and the latest rows that scrolled off; survives a panic of the emulator.

    `scrolled` counts rows that scrolled off, `losses` counts panics: the screen was then rebuilt empty and
    fills again with what follows.
    """

    def __init__(self, cols: int, rows: int) -> None:
        self.cols = max(MIN_COLUMNS, cols)
        self.rows = max(1, rows)
        self.losses = 0
        self.scrolled = 0
        self.history: list[Row] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._clusters = Clusters()
        self._vt = avt.Vt(self.cols, self.rows, 0)

    def feed(self, data: bytes) -> bool:
        """Take bytes as they came; say whether any row changed."""
        return self.feed_text(self._decoder.decode(data))

    def feed_text(self, text: str) -> bool:
        """Take decoded text; say whether any row changed."""
        return self._put(self._clusters.encode(text))

    def flush(self) -> None:
        """Show what waited for more output (an emoji that could have become a longer one)."""
        self._put(self._clusters.flush())

    def _put(self, text: str) -> bool:
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
        return bool(changed) or bool(scrolled)

    def resize(self, cols: int, rows: int) -> None:
        """Take the pane's new size; rows reflow as in tmux."""
        self.cols, self.rows = max(MIN_COLUMNS, cols), max(1, rows)
        try:
            _, scrolled = self._vt.resize(self.cols, self.rows)
        except BaseException as error:
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                self._rebuild()
                return
            raise
        self._keep(scrolled)

    def view(self) -> list[Row]:
        """Return the visible rows, top first."""
        return [self._row(line) for line in self._vt.view()]

    def _row(self, line: avt.Line) -> Row:
        return Row(self._clusters.decode(line.text.rstrip()), line)

    def _keep(self, scrolled: Iterable[avt.Line]) -> None:
        before = len(self.history)
        self.history.extend(map(self._row, scrolled))
        self.scrolled += len(self.history) - before
        if len(self.history) > 3 * HISTORY_ROWS:
            del self.history[:-HISTORY_ROWS]

    def _rebuild(self) -> None:
        self.losses += 1
        self._vt = avt.Vt(self.cols, self.rows, 0)
