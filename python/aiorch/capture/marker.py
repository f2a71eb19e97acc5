"""Finding directives in the rows of a screen, and whose words they are (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiorch.capture.grammar import LEAD, MARKER, Balance, Complete, Partial, Verdict, judge, object_start
from aiorch.capture.gutter import Gutter
from aiorch.capture.screen import Row, width_of
from aiorch.capture.style import is_rendered
from aiorch.capture.unwrap import Wrap, join

MAX_ROWS = 1000
"""Rows over which one directive may be wrapped."""

# A near miss is only worth a line when it is complete close by.
_NEAR_ROWS = 12
_WALK = 400
_NUMBER = re.compile(r" {0,4}\d{1,4} ")
_SHOWN = 240


USERS = "it stands in the user's own words"
TOOLS = "it stands in a tool's output"
FOREIGN = frozenset({USERS, TOOLS})
"""Refusals that say that somebody else said it."""

Owners = dict[tuple[bool, int], tuple[str | None, int]]


@dataclass(frozen=True, slots=True)
class Found:
    """One marker on the screen with a JSON object behind it.

    `refusal` says why it does not count where it stands, or is empty. `explained` is false when a row broke
    inside a string where the agent's wrap rule has no reason for it. `owned` when a mark near by says that
    the assistant said it, and not only the place on the row. `last` is the payload's last row; the
    marker ends at `column` of the first one, the others begin at `base`; their text ends before `edge`.
    """

    verdict: Verdict
    refusal: str
    row: int
    last: int
    text: str
    explained: bool = True
    closed: bool = False
    owned: bool = True
    column: int = 0
    base: int = 0
    edge: int = 0
    rows: tuple[Row, ...] = ()

    @property
    def is_rendered(self) -> bool:
        """Say whether the style of the text shows that a renderer took something away."""
        return is_rendered(self.rows, self.column, self.base, self.edge)


@dataclass(frozen=True, slots=True)
class _Block:
    text: str
    last: int
    verdict: Verdict
    explained: bool


def find_markers(
    rows: Sequence[Row],
    cols: int,
    gutter: Gutter | None,
    first: int = 0,
    finished: int = -1,
    seam: int = 0,
) -> Iterator[Found]:
    """Yield every marker with an object behind it, in order; never raises.

    `rows` may begin with rows that scrolled off; markers above `first` are not looked for, but the rows
    are read to find out whose words follow. `finished` is the last row of a directive just above `first`.
    Rows above `seam` need not be those that came before the ones below it.
    Without a gutter only the place on the line counts.
    """
    owners: Owners = {}
    for index in range(first, len(rows)):
        text = rows[index].text
        # Only the first marker of a row can be the first thing on its line.
        column = text.find(MARKER)
        found = _examine(rows, index, column, cols, gutter, finished, owners, seam) if column >= 0 else None
        if found is not None:
            yield found
            if isinstance(found.verdict, Complete) and not found.refusal:
                finished = found.last


def _examine(
    rows: Sequence[Row],
    index: int,
    column: int,
    cols: int,
    gutter: Gutter | None,
    finished: int,
    owners: Owners,
    seam: int,
) -> Found | None:
    style = _style(rows[index].text, column, gutter)
    base = _base(rows[index].text, column, style)
    reach = MAX_ROWS if _lead(rows[index].text, column, style) is not None else _NEAR_ROWS
    block = _read(rows[index : index + reach], column, base, cols, style)
    if block is None:
        return None
    owner = _owner(rows, index, style, owners, seam)
    refusal = _place(rows[index], column, style, owner)
    if not refusal and not _may_stand_alone(rows, index, base, cols, style, finished):
        refusal = "it may be the middle of a sentence"
    if not refusal and isinstance(block.verdict, Complete):
        rest = block.text[block.verdict.end :]
        if rest.strip(" `\n"):
            refusal = "text follows it on its line"
    partial = isinstance(block.verdict, Partial)
    whole = isinstance(block.verdict, Complete)
    last = index + block.last
    closed = not whole and _is_closed(rows, last, base, style, partial)
    shown = block.text[:_SHOWN]
    behind = width_of(rows[index].text[:column]) + len(MARKER)
    edge = (rows[index].edge(column) if style.panel else cols) - style.right
    own = tuple(rows[index : last + 1])
    return Found(
        block.verdict, refusal, index, last, shown, explained=block.explained, closed=closed,
        owned=owner == "" or not style.answer, column=behind, base=base, edge=edge, rows=own,
    )  # fmt: skip


def _style(text: str, column: int, gutter: Gutter | None) -> Gutter:
    if gutter is None:
        return Gutter()
    if gutter.flat is not None and column < gutter.indent:
        return gutter.flat
    flat = gutter.flat
    if flat is not None and any(text.startswith(mark) for mark in (*flat.answer, *flat.user)):
        return flat
    return gutter


def _base(text: str, column: int, style: Gutter) -> int:
    """Return the column where the continuation rows of a marker's line begin."""
    if style.numbered and _NUMBER.fullmatch(text[style.indent : column]):
        return column
    return min(style.indent, column)


def _clean(row: Row, cols: int, edge: int, style: Gutter) -> str:
    """Return a row's text without a side panel and the scroll bar at its right edge."""
    text = row.text
    if edge < cols:
        text = row.until(edge)
    if style.scrollbar and text and text[-1] in style.scrollbar and width_of(text) >= cols - 2:
        return text[:-1].rstrip()
    return text


def _read(rows: Sequence[Row], column: int, base: int, cols: int, style: Gutter) -> _Block | None:
    """Join the marker's row, the first, with those below until the object is complete or the block ends."""
    edge = rows[0].edge(column) if style.panel else cols
    head = _clean(rows[0], cols, edge, style)
    parts = [head[column:]]
    bare = parts[0].strip("` ") == MARKER
    if object_start(parts[0], len(MARKER)) < 0 and not bare:
        return None
    wrap = Wrap(max(1, edge - base - style.right), style.break_after, style.doubtful)
    balance = Balance()
    balance.feed(parts[0][len(MARKER) :])
    piece, last, explained = head[base:], 0, True
    for row in rows[1:]:
        above, below = piece, _continuation(_clean(row, cols, edge, style), base, style)
        if balance.ended or below is None or (bare and not below.lstrip().startswith("{")):
            break
        if below.lstrip(" ").startswith(MARKER) and not (balance.inside and _is_full(above, wrap)):
            break
        glue, sure = join(above, below, balance.inside, wrap)
        parts += (glue, below)
        balance.feed(glue + below)
        piece, last, explained, bare = below, last + 1, explained and sure, False
    text = "".join(parts)
    return None if bare else _Block(text, last, judge(text, object_start(text, len(MARKER))), explained)


def _continuation(text: str, base: int, style: Gutter) -> str | None:
    """Return a row's text if it can continue the line above, else None."""
    if not text or text.isspace():
        return None
    margin = text[:base]
    if margin.strip() and not (style.numbered and margin.strip().isdigit()):
        return None
    if _starts(text, (*style.answer, *style.user, *style.tool, *style.other)):
        return None
    return text[base:]


def _is_full(text: str, wrap: Wrap) -> bool:
    """Say whether a marker that follows had no room in the row, so that it may be a word of a string."""
    return width_of(text) + 1 + len(MARKER) > wrap.width


def _place(row: Row, column: int, style: Gutter, owner: str | None) -> str:
    """Say why a marker does not count where it stands; empty when it does."""
    lead = _lead(row.text, column, style)
    if lead is None:
        return "it is not the first thing on its line"
    if style.filled and row.filled(column):
        return USERS
    if owner is not None:
        return owner
    # The block's mark is above what is known: only text exactly at the answer's column is trusted.
    known = not lead and not style.anchored
    return "" if known or not style.answer else "it does not stand in the assistant's text"


def _lead(text: str, column: int, style: Gutter) -> str | None:
    """Return the blanks or back-tick between gutter and marker, or None when other text stands there."""
    for mark in style.answer:
        if text.startswith(mark) and column >= len(mark):
            lead = text[len(mark) : column]
            return lead if LEAD.fullmatch(lead) else None
    if text[: style.indent].strip():
        return None
    lead = text[style.indent : column]
    if style.numbered and (number := _NUMBER.match(lead)):
        lead = lead[number.end() :]
    return lead if column >= style.indent and LEAD.fullmatch(lead) else None


def _owner(rows: Sequence[Row], index: int, style: Gutter, owners: Owners, seam: int) -> str | None:
    """Look upwards for the mark that opened a row's block.

    Return why its words don't count, empty when they do, None when no mark is known. `owners` remembers
    earlier answers of one search, so that rows are walked once.
    """
    flat = style.indent == 0
    found: str | None = None
    at = index
    for above in range(index, max(-1, index - _WALK), -1):
        if (flat, above) in owners:
            found, at = owners[flat, above]
            break
        reason = _opens(rows[above].text, above, style)
        if reason is not None and (style.runs_on or not reason or above == index):
            found, at = reason, above
            break
        if not style.runs_on and not style.answer and not style.other:
            return None
    owners[flat, index] = found, at
    # An answer that begins above the seam need not be the one that goes on below it.
    return None if found == "" and at < seam <= index else found


def _opens(text: str, above: int, style: Gutter) -> str | None:
    """Say what kind of block a row opens: empty for an answer, else a reason, None for no mark."""
    if _starts(text, style.tool):
        return TOOLS
    if _starts(text, style.answer):
        return ""
    if style.sticky and above == 0:
        return None
    if _starts(text, style.user):
        return USERS
    if _starts(text, style.other) or (style.answer and _is_marked(text, style)):
        return "it does not stand in the assistant's text"
    return None


def _may_stand_alone(
    rows: Sequence[Row], index: int, base: int, cols: int, style: Gutter, finished: int
) -> bool:
    """Say whether the row above ended by itself, so that the marker begins a line of the text."""
    if index == 0 or finished == index - 1 or _starts(rows[index].text, style.answer):
        return True
    above = _clean(rows[index - 1], cols, cols, style)
    if not above.strip() or (style.reprints and above == rows[index].text):
        return True
    return width_of(above) + 1 + len(MARKER) <= cols - style.right


def _is_closed(rows: Sequence[Row], last: int, base: int, style: Gutter, partial: bool) -> bool:
    """Say whether the conversation goes on below a broken object, so that it will not be completed.

    One row at the answer's indent proves nothing: agents write hints of their own there.
    """
    if style.reprints and partial:
        return False
    gap, paragraphs = False, 0
    for row in rows[last + 1 : last + 12]:
        text = row.text
        if not text:
            gap = True
        elif _starts(text, style.answer) or text[base:].startswith(MARKER) or _is_user(row, style):
            return True
        elif text[:base].strip() or text[base:].startswith(" ") or _starts(text, (*style.user, *style.other)):
            return False
        elif gap:
            gap, paragraphs = False, paragraphs + 1
            if paragraphs == 2:
                return True
    return False


def _is_marked(text: str, style: Gutter) -> bool:
    """Say whether a row opens with some mark and a blank in the gutter, as blocks of all kinds do.

    Letters are no mark: rows cut anew at another width leave parts of words at the left edge.
    """
    mark = text[: style.indent].strip()
    if style.strict:
        return bool(mark)
    return bool(mark) and not mark[-1].isalnum() and text[style.indent - 1 : style.indent] == " "


def _is_user(row: Row, style: Gutter) -> bool:
    return style.filled and row.filled(0) and _starts(row.text, style.user)


def _starts(text: str, marks: tuple[str, ...]) -> bool:
    return bool(marks) and text.startswith(marks)
