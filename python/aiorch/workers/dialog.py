"""What a dialog on an agent's screen says, whatever is selected in it (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Words = tuple[str, ...]

_STYLES = re.compile(r"\x1b\[[0-9;:]*m|\x1b\]8;[^\x1b]*\x1b\\|[\x0e\x0f]")
_FRAME = " \t\xa0│┃║┆╎▏▎▌▐█╭╮╰╯┌┐└┘─━═"
# What points at the selected row, and what spins at the start of one.
_MARKS = f"{_FRAME}>❯›▶▸►→●◉○◯◆◇•*·∗✢✳✶✻✽✺◐◓◑◒{''.join(map(chr, range(0x2800, 0x2900)))}"
_TENTHS = re.compile(r"\d+\.\d+(?=s\b)")
_CHOICE = re.compile(r"\d[.)]\s|.*[(\[]?\b[Yy](?:es)?\s?[/|]\s?[Nn](?:o)?\b|\(?[Yy]\)(?:es)?\b")


def bare(row: str) -> str:
    """Return a row without its styles, as `capture-pane -e` writes them."""
    return _STYLES.sub("", row)


def words_of(rows: Iterable[str]) -> Words:
    """Return what rows say: no styles, frames, pointers and spinners, no blank rows."""
    texts = (" ".join(_TENTHS.sub("", bare(row)).strip(_FRAME).lstrip(_MARKS).split()) for row in rows)
    return tuple(text for text in texts if text)


def offers_choices(words: Words) -> bool:
    """Say whether one key may answer: there are numbered rows, or a yes or no is asked for."""
    return any(_CHOICE.match(text) for text in words)


def is_redrawn(before: Words, after: Words) -> bool:
    """Say whether an agent has drawn something else; a clock that goes on is nothing."""
    return _without_numbers(before) != _without_numbers(after)


def is_echo(before: Words, after: Words, typed: str) -> bool:
    """Say whether a dialog is the same but for what was `typed` into it; `\\x7f` in it takes away."""
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    old, new = _joined(before[start : len(before) - end]), _joined(after[start : len(after) - end])
    first = _common(old, new)
    last = _common(old[first:][::-1], new[first:][::-1])
    gone, come = old[first : len(old) - last], new[first : len(new) - last]
    # The words that an empty box holds give way to the first character.
    is_first = come and not last and come == _joined([typed]) and not offers_choices(after)
    return come in _joined([typed]) and bool(not gone or "\x7f" in typed or is_first)


def _without_numbers(words: Words) -> list[str]:
    return ["".join(char for char in text if not char.isdigit()) for text in words]


def _joined(rows: Sequence[str]) -> str:
    return "".join("".join(text.split()) for text in rows)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many items both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))
