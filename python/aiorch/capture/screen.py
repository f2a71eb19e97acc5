"""A terminal emulator fed with a pane's bytes: the only code that knows `pyavt`."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

import avt

MIN_COLUMNS = 2
"""Below this width avt 0.17 panics on wide characters."""

HISTORY_ROWS = 1400
"""Scrolled-off rows that are kept: what one slice of output can scroll off, and the rows that tell whose they are."""


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


def width_of(text: str) -> int:
    """Return how many columns `text` takes, by East Asian width; combining characters take none."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


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
        self._vt = avt.Vt(self.cols, self.rows, 0)

    def feed(self, data: bytes) -> bool:
        """Take bytes as they came; say whether any row changed."""
        return self.feed_text(self._decoder.decode(data))

    def feed_text(self, text: str) -> bool:
        """Take decoded text; say whether any row changed."""
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
        return [Row(line.text.rstrip(), line) for line in self._vt.view()]

    def _keep(self, scrolled: Iterable[avt.Line]) -> None:
        before = len(self.history)
        self.history.extend(Row(line.text.rstrip(), line) for line in scrolled)
        self.scrolled += len(self.history) - before
        if len(self.history) > 3 * HISTORY_ROWS:
            del self.history[:-HISTORY_ROWS]

    def _rebuild(self) -> None:
        self.losses += 1
        self._vt = avt.Vt(self.cols, self.rows, 0)
