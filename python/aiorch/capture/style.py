"""Seeing in the style of a payload's characters that a renderer took something away (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from avt import Cell, Pen

from aiorch.capture.screen import Row

_Style = tuple[str, bool, bool, bool, bool]


def is_rendered(rows: Sequence[Row], column: int, base: int, edge: int) -> bool:
    """Say whether a string of the object that opens behind `column` changes its style midway.

    That is how Markdown shows what it took the marks from: `**x**` turns bold, a code span or a link gets a
    colour (Claude Code 2.1.330, Codex 0.169.0). Highlighters of code colour a string as a whole, but for its
    escapes, which are not looked at. Rows after the first begin at `base`, and
    their text ends before `edge`.
    """
    inside = escaped = opened = False
    depth, style = 0, None
    for char, pen in _cells(rows, column, base, edge):
        if escaped:
            escaped = False
        elif inside and char == "\\":
            escaped = True
        elif char == '"':
            inside, style = not inside, None
        elif inside and char != " ":
            seen = _style(pen)
            if style is not None and seen != style:
                return True
            style = seen
        elif not inside and char in "{[":
            depth, opened = depth + 1, True
        elif not inside and char in "}]":
            depth -= 1
            if opened and depth <= 0:
                return False
    return False


def _cells(rows: Sequence[Row], column: int, base: int, edge: int) -> Iterator[tuple[str, Pen]]:
    for number, row in enumerate(rows):
        cells: Sequence[Cell] = row.line.cells if row.line is not None else ()
        for cell in cells[base if number else column : edge]:
            if cell.width:
                yield cell.char, cell.pen


def _style(pen: Pen) -> _Style:
    return repr(pen.foreground), pen.bold, pen.italic, pen.underline, pen.strikethrough
