"""Text measured in the cells that a terminal gives it (pure)."""

from __future__ import annotations

import unicodedata


def width(text: str) -> int:
    """Return how many cells a text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def cut(text: str, cells: int) -> str:
    """Return a text that takes so many cells at most, with `…` where something is left out."""
    return text if width(text) <= cells else _first(text, max(0, cells - 1)) + "…"[: max(0, cells)]


def filled(text: str, cells: int) -> str:
    """Return a text that takes just so many cells."""
    short = cut(text, cells)
    return short + " " * (cells - width(short))


def wrapped(text: str, cells: int) -> list[str]:
    """Return the lines of a text, those that are too long broken between words where that goes.

    What is indented stays so, and no character but blanks at a break is left out.
    """
    cells = max(2, cells)
    return [part for line in text.split("\n") for part in _broken(line.rstrip(), cells)]


def _broken(line: str, cells: int) -> list[str]:
    found = []
    while width(line) > cells:
        part = _first(line, cells)
        if " " not in (part[-1], line[len(part)]):
            at = part.rfind(" ")
            # A word that is longer than a line is broken; blanks that only indent are no place for a break.
            part = part[:at] if at > 0 and part[:at].strip() else part
        found.append(part.rstrip(" "))
        line = line[len(part) :].lstrip(" ")
    return [*found, line]


def _first(text: str, cells: int) -> str:
    used = 0
    for index, char in enumerate(text):
        used += _width(char)
        if used > cells:
            return text[:index]
    return text


def _width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
