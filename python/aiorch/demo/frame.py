"""Cells, wrapping and painting: how the scripted lead draws, as pure functions over plain values."""

from __future__ import annotations

import unicodedata

Span = tuple[str, str]
"""Text and its style (SGR parameters, empty for the terminal's own colours)."""
Line = list[Span]
Cell = tuple[str, str]
"""One character and its style; the right half of a wide character holds an empty string."""
Grid = list[list[Cell]]

BLANK: Cell = (" ", "")


def char_width(char: str) -> int:
    """Return how many columns a character takes: 0, 1 or 2."""
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cc", "Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def text_width(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(char_width(char) for char in text)


def _cut(word: str, width: int) -> tuple[str, str]:
    """Split a word where it stops fitting; the first part is never empty."""
    used = 0
    for at, char in enumerate(word):
        used += char_width(char)
        if used > width and at:
            return word[:at], word[at:]
    return word, ""


def wrap(text: str, width: int) -> list[str]:
    """Break text at blanks as coding agents do: the blank at a break is eaten, a long word is cut hard."""
    rows: list[str] = []
    for paragraph in text.split("\n"):
        row = ""
        for word in paragraph.split(" "):
            if row and text_width(row) + 1 + text_width(word) <= width:
                row += " " + word
                continue
            if row:
                rows.append(row)
            head, rest = _cut(word, width)
            while rest:
                rows.append(head)
                head, rest = _cut(rest, width)
            row = head
        rows.append(row)
    return rows


def to_cells(line: Line, cols: int) -> list[Cell]:
    """Lay a line out in exactly `cols` cells: clipped, or filled with blanks.

    An empty last span gives the filling blanks its style.
    """
    cells: list[Cell] = []
    for text, style in line:
        for char in text:
            width = char_width(char)
            if width and len(cells) + width <= cols:
                cells.append((char, style))
                cells.extend([("", style)] * (width - 1))
    fill = line[-1][1] if line and line[-1][0] == "" else ""
    return cells + [(" ", fill)] * (cols - len(cells))


def _worth_writing(old: Cell, new: Cell, whole: bool) -> bool:
    return old != new or (whole and new != BLANK)


def _paint_row(old: list[Cell], new: list[Cell], whole: bool) -> tuple[int, str]:
    """Return the first column to write and what to write from there, or `(-1, "")` for an equal row."""
    wanted = [x for x, cell in enumerate(new) if _worth_writing(old[x], cell, whole)]
    if not wanted:
        return -1, ""
    out: list[str] = []
    at, style = wanted[0], ""
    for x in wanted:
        char, wants = new[x]
        if not char:
            continue
        if x != at:
            out.append(f"\x1b[{x + 1}G")
        if wants != style:
            out.append(f"\x1b[0;{wants}m" if wants else "\x1b[m")
            style = wants
        out.append(char)
        at = x + char_width(char)
    return wanted[0], "".join(out) + ("\x1b[m" if style else "")


def paint(old: Grid | None, new: Grid, whole: bool = False) -> str:
    """Return the bytes that turn the old frame into the new one.

    Cells that did not change are skipped by cursor moves, blanks included, so the stream holds no
    readable sentence. `whole` writes every character again; `old` None means an erased screen of
    another size.
    """
    out = ["\x1b[2J"] if old is None else []
    for y, row in enumerate(new):
        before = old[y] if old is not None else [BLANK] * len(row)
        x, text = _paint_row(before, row, whole)
        if text:
            out.append(f"\x1b[{y + 1};{x + 1}H{text}")
    return "".join(out)
