"""What an agent's input box holds: nothing, a draft of its user's, or a text that was pasted (pure)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiorch.toml_file import Reader
from aiorch.workers.cells import Styled, styled, width

MOST_ROWS = 60
_TAIL = 40
"""Characters of a text's end by which it is known in a box that shows no more of it."""

_INVISIBLE = frozenset({"Cf", "Cc", "Mn", "Me", "Zs", "Zl", "Zp"})


class Held(StrEnum):
    """What an input box holds, as far as one text is concerned."""

    EMPTY = "empty"
    OURS = "ours"
    MIXED = "mixed"
    DRAFT = "draft"


@dataclass(frozen=True, slots=True)
class InputShape:
    """How an agent's input box is drawn; a profile without one is never typed into.

    `first` is what stands before the text in its first row, `following` before that in later ones. The row
    above the first matches `above`, the row that ends the box `below`. With `framed`, all rows around the
    cursor that match `first` are the box's, and the last of them that says something is the agent's own.
    `ghost` is what an empty box says where that is not drawn faintly. `pasted` is what stands for a long
    text; its groups `lines` (line ends) and `chars` count it.
    """

    first: re.Pattern[str]
    following: re.Pattern[str]
    above: re.Pattern[str] | None = None
    below: re.Pattern[str] | None = None
    framed: bool = False
    ghost: re.Pattern[str] | None = None
    pasted: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class FoundBox:
    """An input box on a screen: its text, what stands before that, and its rows, the last one excluded."""

    text: str
    lead: str
    start: int
    end: int

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was typed into it."""
        return not squeezed(self.text)

    def emptied(self, rows: Sequence[str]) -> list[str]:
        """Return the rows of a screen as they would be if nothing stood in the box.

        Whoever tells an agent's state looks for a box of a few rows.
        """
        return [*rows[: self.start], self.lead.rstrip(), *rows[self.end :]]


def find_box(
    shape: InputShape, rows: Sequence[str], cursor: tuple[int, int], columns: int
) -> FoundBox | None:
    """Return the box around the cursor (column, row), None when the cursor is in none.

    `rows` are the visible ones as `capture-pane -e` writes them.
    """
    shown = [_padded(row, columns) for row in styled(rows)]
    column, at = cursor
    if not 0 <= at < len(shown):
        return None
    start, end = _start(shape, shown, at), _end(shape, shown, at)
    if start is None or end is None:
        return None
    texts = [_typed(shown[row], _lead(shape, shown[row], is_first=row == start)) for row in range(start, end)]
    home = start
    if shape.framed:
        home = start + 1
        texts = _without_footer(texts)
        if at - start >= len(texts):
            return None
    text = "\n".join(part.rstrip() for part in texts).strip("\n")
    is_home = at == home and column == width(shown[home].text[: _lead(shape, shown[home], is_first=True)])
    if is_home and shape.ghost and shape.ghost.fullmatch(text.strip()):
        text = ""
    lead = shown[start].text[: _lead(shape, shown[start], is_first=True)]
    return FoundBox(text, lead, start, end)


def holding(box: FoundBox, text: str, shape: InputShape) -> Held:
    """Return what a box holds of a text that was, or was not, pasted into it."""
    shown, ours = squeezed(box.text), squeezed(text)
    if not shown:
        return Held.EMPTY
    if shown == ours or _stands_for(box.text, text, shape):
        return Held.OURS
    if len(ours) >= _TAIL and (ours[:_TAIL] in shown or ours[-_TAIL:] in shown):
        return Held.MIXED
    if ours in shown or (shape.pasted and shape.pasted.search(box.text)):
        return Held.MIXED
    return Held.DRAFT


def squeezed(text: str) -> str:
    """Return what is seen of a text however its rows are broken: no blanks, nothing invisible."""
    if text.isascii() and text.isprintable():
        return text.replace(" ", "")
    return "".join(char for char in text if unicodedata.category(char) not in _INVISIBLE)


def read_input(reader: Reader) -> InputShape | None:
    """Return the shape of an `[input]` table, None without one; mistakes are noted at its file."""
    if not reader.table:
        return None
    first, following = _pattern(reader, "first"), _pattern(reader, "following")
    shape = None
    above, below, ghost, pasted = (_pattern(reader, key) for key in ("above", "below", "ghost", "pasted"))
    framed = reader.flag("framed")
    if first is None or below is None:
        reader.problem("first" if first is None else "below", "is needed")
    else:
        shape = InputShape(first, following or re.compile(" *"), above, below, framed, ghost, pasted)
    reader.finish()
    return shape


def _pattern(reader: Reader, key: str) -> re.Pattern[str] | None:
    text = reader.text(key)
    try:
        return re.compile(text) if text else None
    except (re.error, RecursionError, OverflowError) as error:
        reader.problem(key, f"is no regular expression: {error}")
        return None


def _padded(row: Styled, columns: int) -> Styled:
    """Return a row with the blanks that `capture-pane` leaves out, and plain ones only."""
    missing = max(0, columns - width(row.text))
    nothing = (False,) * missing
    text = row.text.replace("\u00a0", " ") + " " * missing
    return Styled(text, row.faint + nothing, row.inverse + nothing)


def _start(shape: InputShape, shown: Sequence[Styled], at: int) -> int | None:
    """Return the first row of the box that the row `at` is in."""
    if shape.framed:
        start = at
        while start >= 0 and shape.first.match(shown[start].text):
            start -= 1
        return start + 1 if start < at else None
    for row in range(at, max(-1, at - MOST_ROWS), -1):
        if shape.first.match(shown[row].text) and _is_below_edge(shape, shown, row):
            return row
        if shape.above and shape.above.match(shown[row].text):
            return None
    return None


def _is_below_edge(shape: InputShape, shown: Sequence[Styled], row: int) -> bool:
    return shape.above is None or (row > 0 and shape.above.match(shown[row - 1].text) is not None)


def _end(shape: InputShape, shown: Sequence[Styled], at: int) -> int | None:
    """Return the row below the box; a box that nothing ends is none."""
    for row in range(at + 1, min(len(shown), at + MOST_ROWS)):
        if shape.below and shape.below.match(shown[row].text):
            return row
        if shape.framed and not shape.first.match(shown[row].text):
            return None
    return None


def _lead(shape: InputShape, row: Styled, *, is_first: bool) -> int:
    """Return where in a row the text begins."""
    found = (shape.first if is_first or shape.framed else shape.following).match(row.text)
    return found.end() if found else 0


def _typed(row: Styled, start: int) -> str:
    """Return what was typed in a row: what an empty box says is drawn faintly.

    An inverse character is the cursor; where all that follows is faint, it stands on the first one of that.
    """
    chars = list(row.text)
    for index in range(start, len(chars)):
        if row.faint[index]:
            chars[index] = " "
    for index in range(start, len(chars)):
        if row.inverse[index]:
            rest = range(index + 1, len(chars))
            is_ghost = any(row.faint[one] for one in rest) and not "".join(chars[index + 1 :]).strip()
            chars[index] = " " if is_ghost else chars[index]
            break
    return "".join(chars[start:])


def _without_footer(texts: list[str]) -> list[str]:
    """Leave out the last row that says something, which is the agent's own, and what is below it."""
    said = [index for index, text in enumerate(texts) if text.strip()]
    return texts[: said[-1]] if said else texts


def _stands_for(shown: str, text: str, shape: InputShape) -> bool:
    """Say whether a box shows just the words that stand for this text."""
    found = shape.pasted.fullmatch(shown.strip()) if shape.pasted else None
    if found is None:
        return False
    counted = {"lines": text.count("\n"), "chars": len(text)}
    told = {name: value for name, value in found.groupdict().items() if value is not None}
    return all(int(value) == counted.get(name) for name, value in told.items())
