"""Rows of a screen with what is drawn faintly or inverse in them, from `capture-pane -e` (pure)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_CODES = re.compile(r"\x1b\[([0-9;:]*)m|\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)|[\x0e\x0f]")
# So many numbers follow these two after 38, 48 or 58: a colour is none of the styles.
_COLOURS = {38, 48, 58}
_PARTS = {5: 1, 2: 3}


@dataclass(frozen=True, slots=True)
class Styled:
    """One row: its text, and for each character whether it is faint and whether it is inverse."""

    text: str
    faint: tuple[bool, ...]
    inverse: tuple[bool, ...]


@dataclass(slots=True)
class _Style:
    faint: bool = False
    inverse: bool = False

    def take(self, codes: str) -> None:
        """Change by the numbers of one escape sequence."""
        # With colons a colour is one part: 38:2::9:9:9.
        numbers = iter(int(part) if part.isdigit() else -1 for part in (codes or "0").split(";"))
        for number in numbers:
            if number in _COLOURS:
                for _ in range(_PARTS.get(next(numbers, -1), 0)):
                    next(numbers, None)
            elif number in (0, -1):
                # A part with colons is a colour or the form of an underline.
                self.faint, self.inverse = (False, False) if number == 0 else (self.faint, self.inverse)
            elif number in (2, 22):
                self.faint = number == 2
            elif number in (7, 27):
                self.inverse = number == 7


def styled(rows: Iterable[str]) -> list[Styled]:
    """Return rows without their escapes; a style holds until it is changed, in later rows, too."""
    style = _Style()
    return [_row(row, style) for row in rows]


def _row(row: str, style: _Style) -> Styled:
    text: list[str] = []
    faint: list[bool] = []
    inverse: list[bool] = []
    at = 0
    for found in [*_CODES.finditer(row), None]:
        part = row[at : found.start() if found else len(row)]
        text.append(part)
        faint += [style.faint] * len(part)
        inverse += [style.inverse] * len(part)
        if found is not None:
            at = found.end()
            if found[0].startswith("\x1b["):
                style.take(found[1])
    return Styled("".join(text), tuple(faint), tuple(inverse))


def width(text: str) -> int:
    """Return how many columns a text takes; near enough for what stands before a prompt."""
    return sum(_columns(text))


def _columns(text: str) -> Iterator[int]:
    for char in text:
        if unicodedata.combining(char) or unicodedata.category(char) in ("Cf", "Mn", "Me"):
            yield 0
        else:
            yield 2 if unicodedata.east_asian_width(char) in "WF" else 1
