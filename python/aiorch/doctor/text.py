"""What was found, for a terminal: facts first, the findings with their remedies where the eye lands."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aiorch import trust
from aiorch.doctor.finding import Finding, Level, Part
from aiorch.doctor.words import Value, Words, shown
from aiorch.ui.terminal import printable

NARROWEST, WIDTH, WIDEST = 60, 80, 100
_LABEL = 20
_LEAST = 14
_INDENT = "  "
_SIGNS = {Level.OK: ("✔", "32"), Level.NOTE: ("●", "33"), Level.PROBLEM: ("✖", "1;31")}


@dataclass(frozen=True, slots=True)
class Style:
    """How wide the text may be, in columns, and whether it has colours."""

    width: int = WIDTH
    color: bool = False

    def paint(self, text: str, code: str) -> str:
        """Return text in a colour, if there are any."""
        return f"\033[{code}m{text}\033[0m" if self.color else text


def report(
    parts: Sequence[Part], findings: Sequence[Finding], overrides: trust.Overrides, style: Style
) -> str:
    """Return all of it: facts, the table of who may do what, findings."""
    lines: list[str] = []
    for part in parts:
        rows = list(_rows(part.facts, 1, style.width))
        if rows:
            lines += [style.paint(part.area.capitalize(), "1"), *rows, ""]
    lines += [style.paint("Who may do what by itself (run, ask first, or refuse)", "1")]
    lines += [*_table(trust.table(overrides), style.width), "", style.paint("Findings", "1")]
    lines += _findings(findings, style)
    return "\n".join(lines)


def summary(findings: Iterable[Finding]) -> str:
    """Return how many problems and notes there are, in words."""
    found = list(findings)
    counts = [(sum(one.level is level for one in found), str(level)) for level in (Level.PROBLEM, Level.NOTE)]
    parts = [f"{number} {word}{'' if number == 1 else 's'}" for number, word in counts if number]
    return ", ".join(parts) or "nothing is wrong"


def _findings(findings: Sequence[Finding], style: Style) -> Iterator[str]:
    fine = [one.area for one in findings if one.level is Level.OK]
    if fine:
        yield from _marked(Level.OK, f"{', '.join(fine)}: nothing wrong", style)
    for one in findings:
        if one.level is not Level.OK:
            yield ""
            yield from _marked(one.level, f"{one.area}: {one.text}", style)
            yield from _remedy(one, style)
    yield ""
    yield style.paint(summary(findings), "1")


def _marked(level: Level, text: str, style: Style) -> Iterator[str]:
    sign, code = _SIGNS[level]
    lines = _wrap(text, style.width - 4)
    yield f"{_INDENT}{style.paint(sign, code)} {lines[0]}"
    yield from (f"{_INDENT}  {line}" for line in lines[1:])


def _remedy(one: Finding, style: Style) -> Iterator[str]:
    words = str(one.remedy) + (":" if one.commands else "")
    for index, line in enumerate(_wrap(words, style.width - 8)):
        yield f"{_INDENT}    {'→ ' if index == 0 else '  '}{line}"
    for command in one.commands:
        # In one line, however long: it is to be copied.
        yield f"{_INDENT}      {style.paint(_clean(str(command)), '36')}"


def _rows(facts: Mapping[str, Value], depth: int, width: int) -> Iterator[str]:
    """Yield one line per fact; what has parts of its own is indented below its name."""
    for name, value in facts.items():
        label, nested = name.replace("_", " "), _nested(value)
        if nested is None:
            yield from _row(label, shown(value), depth, width)
        elif nested:
            yield f"{_INDENT * depth}{label}"
            for index, one in enumerate(nested):
                if index:
                    yield ""
                yield from _rows(one, depth + 1, width)


def _nested(value: Value) -> list[Mapping[str, Value]] | None:
    """Return the parts of a value that needs lines of its own, None for one that does not."""
    if isinstance(value, Mapping):
        return None if all(isinstance(one, int) for one in value.values()) else [value]
    if isinstance(value, Sequence) and not isinstance(value, str | Words):
        parts = [one for one in value if isinstance(one, Mapping)]
        return parts if parts else None
    return None


def _row(label: str, text: str, depth: int, width: int) -> Iterator[str]:
    start = f"{_INDENT * depth}{label}".ljust(_LABEL + 2)
    if len(start) > width / 2:
        yield from (f"{_INDENT * depth}{line}" for line in _wrap(label, width - depth * 2))
        yield from (f"{_INDENT * (depth + 1)}{line}" for line in _wrap(text, width - depth * 2 - 2))
        return
    lines = _wrap(text, width - len(start) - 1)
    yield f"{start} {lines[0]}".rstrip()
    yield from (f"{' ' * len(start)} {line}" for line in lines[1:])


def _table(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield a table with its cells broken into lines; the first column takes what the others leave.

    Where that is too little each row is a paragraph.
    """
    others = len(rows[0]) - 1
    narrow = max(len(word) for row in rows for cell in row[1:] for word in cell.split())
    first = width - len(_INDENT) - others * (narrow + 2)
    if first < _LEAST:
        for name, *cells in rows[1:]:
            parts = [f"{what}: {cell}" for what, cell in zip(rows[0][1:], cells, strict=True)]
            yield from _row(name, "; ".join(parts), 1, width)
        return
    sizes = [first, *[narrow] * others]
    for row in rows:
        broken = [_wrap(cell, size) for cell, size in zip(row, sizes, strict=True)]
        for index in range(max(map(len, broken))):
            words = [lines[index] if index < len(lines) else "" for lines in broken]
            line = "  ".join(word.ljust(size) for word, size in zip(words, sizes, strict=True))
            yield f"{_INDENT}{line}".rstrip()


def _wrap(text: str, width: int) -> list[str]:
    lines = textwrap.wrap(_clean(text), width, break_long_words=False, break_on_hyphens=False)
    return lines or [""]


def _clean(text: str) -> str:
    return printable(" ".join(text.split()))
