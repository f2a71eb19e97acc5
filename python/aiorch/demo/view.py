"""What the scripted lead shows: its conversation as plain values, and the frame drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from aiorch.demo.frame import Grid, Line, text_width, to_cells, wrap

ACCENT = "38;5;141"
DIM = "38;5;245"
FAINT = "38;5;240"
GREEN = "38;5;114"
AMBER = "38;5;179"
USER = "48;5;236;38;5;252"
MARKER = "[ORCHESTRATE]"
SPINNER = "·✢✳✶✻✽✻✶✳✢"
PROMPT = "❯ "
TITLE = "✻ Demo agent"
SUBTITLE = "a script: no model, no network"


class Kind(Enum):
    """Who or what a block of the conversation comes from."""

    USER = "user"
    SAID = "said"
    TOOL = "tool"


@dataclass(slots=True)
class Block:
    """One part of the conversation; `output` is what a tool printed."""

    kind: Kind
    text: str
    output: str = ""


@dataclass(slots=True)
class View:
    """Everything that decides what the lead's screen looks like."""

    blocks: list[Block] = field(default_factory=list)
    draft: str = ""
    busy: str = ""
    status: str = ""
    tick: int = 0
    seconds: int = 0


def _header(cols: int) -> list[Line]:
    inner = min(cols - 2, 46)
    if inner < 16:
        return [[(TITLE, ACCENT)], []]

    def row(text: str, style: str) -> Line:
        clipped = text[: inner - 2]
        return [("│ ", FAINT), (clipped.ljust(inner - 2), style), (" │", FAINT)]

    edge = "─" * inner
    return [
        [(f"╭{edge}╮", FAINT)],
        row(TITLE, f"1;{ACCENT}"),
        row("  " + SUBTITLE, DIM),
        [(f"╰{edge}╯", FAINT)],
        [],
    ]


def _text(row: str, style: str) -> Line:
    if row.startswith(MARKER):
        return [(MARKER, f"1;{AMBER}"), (row.removeprefix(MARKER), style)]
    return [(row, style)]


def _block(block: Block, cols: int) -> list[Line]:
    width = max(cols - 2, 1)
    rows = wrap(block.text, width)
    if block.kind is Kind.USER:
        return [[((PROMPT if i == 0 else "  ") + row, USER), ("", USER)] for i, row in enumerate(rows)] + [[]]
    gutter = GREEN if block.kind is Kind.TOOL else ACCENT
    style = "1" if block.kind is Kind.TOOL else ""
    lines: list[Line] = [
        [("● " if i == 0 else "  ", gutter if i == 0 else ""), *_text(row, style)]
        for i, row in enumerate(rows)
    ]
    if block.output:
        shown = wrap(block.output, max(cols - 5, 1))
        lines += [[("  ⎿  " if i == 0 else "     ", FAINT), (row, DIM)] for i, row in enumerate(shown)]
    return [*lines, []]


def _activity(view: View) -> Line:
    if view.busy:
        star = SPINNER[view.tick % len(SPINNER)]
        return [(f"{star} {view.busy}…", ACCENT), (f" ({view.seconds}s · esc to interrupt)", FAINT)]
    return [(f"◦ {view.status}", DIM)] if view.status else []


def _foot(view: View, cols: int, rows: int) -> tuple[list[Line], int, int]:
    """Return the bottom lines, the input row's place among them, and the cursor's column."""
    shown = view.draft
    while text_width(shown) > max(cols - 3, 0) and shown:
        shown = shown[1:]
    box: Line = [(PROMPT, ACCENT if view.draft else DIM), (shown, "")]
    cursor = min(text_width(PROMPT + shown), cols - 1)
    if rows < 10:
        return [_activity(view), box], 1, cursor
    rule: Line = [("─" * cols, FAINT)]
    hint: Line = [("  q quits · type a task and press enter" if cols > 40 else "  q quits", FAINT)]
    return [_activity(view), rule, box, rule, hint], 2, cursor


def compose(view: View, cols: int, rows: int) -> tuple[Grid, tuple[int, int]]:
    """Return the whole frame and the cursor's row and column; the conversation shows its end."""
    body = _header(cols)
    for block in view.blocks:
        body += _block(block, cols)
    foot, box, column = _foot(view, cols, rows)
    room = max(rows - len(foot), 0)
    body = body[-room:] if room else []
    body += [[]] * (room - len(body))
    lines = (body + foot)[-rows:]
    return [to_cells(line, cols) for line in lines], (max(rows - len(foot) + box, 0), column)
