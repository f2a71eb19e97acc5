"""tmux window layouts as values: parse, change heights, write back with the checksum."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from aiorch.errors import TmuxError

_CELL = re.compile(r"(\d+)x(\d+),(\d+),(\d+)(?:,(\d+))?")
_CLOSERS = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a layout: a pane, or a row (`{`) or column (`[`) of cells. Units are character cells."""

    width: int
    height: int
    x: int
    y: int
    pane: str | None = None
    kind: str = ""
    children: tuple[Cell, ...] = ()

    def panes(self) -> Iterator[str]:
        """Yield the pane ids (`%3`) in this cell, in layout order."""
        if self.pane is not None:
            yield self.pane
        for child in self.children:
            yield from child.panes()


def parse(text: str) -> Cell:
    """Return the root cell of a layout as `#{window_layout}` prints it.

    Raises TmuxError when it is not one.
    """
    _, _, body = text.partition(",")
    cell, end = _parse_cell(body, 0)
    if end != len(body):
        raise TmuxError(f"tmux gave a window layout that cannot be read: {text}")
    return cell


def _parse_cell(text: str, at: int) -> tuple[Cell, int]:
    match = _CELL.match(text, at)
    if match is None:
        raise TmuxError(f"tmux gave a window layout that cannot be read: {text}")
    width, height, x, y = (int(match[index]) for index in (1, 2, 3, 4))
    end = match.end()
    kind = text[end : end + 1]
    if kind not in _CLOSERS:
        return Cell(width, height, x, y, pane=f"%{match[5]}"), end
    children: list[Cell] = []
    while text[end : end + 1] != _CLOSERS[kind]:
        child, end = _parse_cell(text, end + 1)
        children.append(child)
    return Cell(width, height, x, y, kind=kind, children=tuple(children)), end + 1


def dump(root: Cell) -> str:
    """Return the layout string that `select-layout` takes, checksum first."""
    body = _dump_cell(root)
    return f"{_checksum(body):04x},{body}"


def _dump_cell(cell: Cell) -> str:
    head = f"{cell.width}x{cell.height},{cell.x},{cell.y}"
    if cell.pane is not None:
        return f"{head},{cell.pane[1:]}"
    inner = ",".join(_dump_cell(child) for child in cell.children)
    return f"{head}{cell.kind}{inner}{_CLOSERS[cell.kind]}"


def _checksum(body: str) -> int:
    value = 0
    for char in body:
        value = ((value >> 1) + ((value & 1) << 15) + ord(char)) & 0xFFFF
    return value


def shares(total: int, parts: int) -> list[int]:
    """Return `parts` sizes that fill `total` with one separator between each; they differ by 1 at most."""
    room = total - (parts - 1)
    base, extra = divmod(room, parts)
    return [base + (1 if index < extra else 0) for index in range(parts)]


def capacity(height: int, min_rows: int) -> int:
    """Return how many panes of at least `min_rows` fit one above the other in `height` rows, at least 1."""
    return max(1, (height + 1) // (min_rows + 1))


def equal_heights(root: Cell, panes: Collection[str]) -> Cell:
    """Return the layout with the columns that hold only `panes` divided evenly; the rest is untouched."""
    if root.kind == "[" and all(child.pane in panes for child in root.children):
        sizes = shares(root.height, len(root.children))
        y, children = root.y, []
        for child, height in zip(root.children, sizes, strict=True):
            children.append(replace(child, height=height, y=y))
            y += height + 1
        return replace(root, children=tuple(children))
    return replace(root, children=tuple(equal_heights(child, panes) for child in root.children))


def size_of(root: Cell, pane: str) -> tuple[int, int] | None:
    """Return (columns, rows) of a pane, or None when it is not in this layout."""
    if root.pane == pane:
        return root.width, root.height
    found = (size_of(child, pane) for child in root.children)
    return next((size for size in found if size is not None), None)


def column_of(root: Cell, panes: Collection[str]) -> Cell | None:
    """Return the highest cell that holds nothing but `panes`, or None."""
    inside = list(root.panes())
    if inside and all(pane in panes for pane in inside):
        return root
    found = (column_of(child, panes) for child in root.children)
    return next((cell for cell in found if cell is not None), None)
