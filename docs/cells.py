"""Reading `capture-pane -e` text: which character stands in which cell, in which colours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from wcwidth import wcwidth

DARK = ["#1d1f21", "#cc6666", "#8fbf63", "#d8a657", "#6f9bd1", "#b294bb", "#6fb3b8", "#c5c8c6"]
BRIGHT = ["#666a6e", "#ff7a7a", "#b5e08c", "#f6d27a", "#8ec3ff", "#d7b8e8", "#8fe0e6", "#ffffff"]
FOREGROUND, BACKGROUND = "#d4d4d4", "#16181a"
TOKEN = re.compile(r"\x1b\[([0-9;:]*)m|\x1b\][^\x1b\x07]*(?:\x1b\\|\x07)|\x1b[()].|[\x0e\x0f]|(.)")
BOLD, DIM, UNDERLINE, REVERSE = 1, 2, 4, 7


@dataclass(frozen=True, slots=True)
class Pen:
    """The look of a cell; `on` holds the SGR numbers of its attributes."""

    fg: str = ""
    bg: str = ""
    on: frozenset[int] = frozenset()

    def colours(self) -> tuple[str, str]:
        """Return what is really seen: foreground and background."""
        fg, bg = self.fg or FOREGROUND, self.bg or BACKGROUND
        if REVERSE in self.on:
            fg, bg = bg, fg
        if BOLD in self.on and fg in DARK:
            fg = BRIGHT[DARK.index(fg)]
        return (_mix(fg, bg) if DIM in self.on else fg), bg


class Glyph(NamedTuple):
    """One drawn character at its column."""

    x: int
    char: str
    width: int
    pen: Pen


def _mix(one: str, two: str) -> str:
    pairs = ((int(one[i : i + 2], 16), int(two[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{(a + b) // 2:02x}" for a, b in pairs)


def _indexed(number: int) -> str:
    if number < 16:
        return (DARK + BRIGHT)[number]
    if number >= 232:
        return "#" + f"{8 + 10 * (number - 232):02x}" * 3
    steps = (number - 16) // 36, (number - 16) // 6 % 6, (number - 16) % 6
    return "#" + "".join(f"{55 + 40 * step if step else 0:02x}" for step in steps)


def apply_sgr(pen: Pen, text: str) -> Pen:
    """Return the pen after one SGR sequence."""
    codes = [int(code or 0) for code in re.split("[;:]", text)]
    while codes:
        code = codes.pop(0)
        tens, unit = divmod(code, 10)
        if code == 0:
            pen = Pen()
        elif code < 10:
            pen = replace(pen, on=pen.on | {code})
        elif tens == 2:
            pen = replace(pen, on=pen.on - ({BOLD, DIM} if unit == 2 else {unit}))
        elif unit > 7 or tens == 5:
            colour = _extended(codes) if unit == 8 else ""
            pen = replace(pen, fg=colour) if tens == 3 else replace(pen, bg=colour) if tens == 4 else pen
        elif tens in (3, 9):
            pen = replace(pen, fg=(DARK if tens == 3 else BRIGHT)[unit])
        else:
            pen = replace(pen, bg=(DARK if tens == 4 else BRIGHT)[unit])
    return pen


def _extended(codes: list[int]) -> str:
    kind = codes.pop(0) if codes else 0
    if kind == 5 and codes:
        return _indexed(codes.pop(0) & 255)
    if kind == 2 and len(codes) >= 3:
        return "#" + "".join(f"{codes.pop(0) & 255:02x}" for _ in range(3))
    return ""


def glyphs(screen: str) -> Iterator[list[Glyph]]:
    """Yield the glyphs of each row of `capture-pane -e` text."""
    pen = Pen()
    for line in screen.split("\n"):
        row: list[Glyph] = []
        x = 0
        for match in TOKEN.finditer(line):
            if match[1] is not None:
                pen = apply_sgr(pen, match[1])
            elif match[2]:
                width = wcwidth(match[2])
                if width < 1 and row:
                    row[-1] = row[-1]._replace(char=row[-1].char + match[2])
                    continue
                row.append(Glyph(x, match[2], max(width, 1), pen))
                x += max(width, 1)
        yield row
