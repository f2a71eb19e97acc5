"""The status text: how the crew is doing, in a few cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiorch.journal import WorkerState

# A background of our own: the colours have to be read on any status line, tmux's green one included.
_CHIP = "fg=colour252,bg=colour236"
_GROUPS: tuple[tuple[str, str, str, frozenset[WorkerState]], ...] = (
    ("▶", "run", "colour114", frozenset({WorkerState.STARTING, WorkerState.WORKING})),
    ("!", "wait", "colour221", frozenset({WorkerState.WAITING})),
    ("…", "queued", "colour80", frozenset({WorkerState.QUEUED})),
    ("✔", "done", "colour75", frozenset({WorkerState.DONE})),
    ("✖", "failed", "colour203", frozenset({WorkerState.FAILED, WorkerState.KILLED, WorkerState.LOST})),
    ("↷", "skip", "colour245", frozenset({WorkerState.SKIPPED})),
)


@dataclass(frozen=True, slots=True)
class StatusStyle:
    """How the status is written: with symbols or in plain ASCII words, with colours or without."""

    ascii: bool = False
    color: bool = True


def status_text(
    counts: Mapping[WorkerState, int], asking: int, style: StatusStyle, *, alarm: str = ""
) -> str:
    """Return the status text, ` 3 ▶ 1 ✔ ` for instance; `asking` directives wait for the user's answer.

    `alarm` is a word of ours for what keeps the engine from working: `log`, `disk`.
    The text is a tmux format value: `#[fg=…]` in it is a style, and nothing in it comes from outside.
    """
    parts = []
    if alarm:
        text = f"{alarm}!" if style.ascii else f"⚠ {alarm}"
        parts.append(f"#[fg=colour203]{text}" if style.color else text)
    if asking:
        parts.append(_part(asking, "?", "ask", "colour221", style))
    for symbol, name, colour, group in _GROUPS:
        number = sum(counts.get(state, 0) for state in group)
        if number:
            parts.append(_part(number, symbol, name, colour, style))
    if not parts:
        parts.append("aiorch" if style.ascii else "◆ aiorch")
    text = f" {' '.join(parts)} "
    # push-default and pop-default give whatever follows us the look it had before us.
    return f"#[push-default]#[{_CHIP}]{text}#[default]#[pop-default] " if style.color else text


def _part(number: int, symbol: str, name: str, colour: str, style: StatusStyle) -> str:
    text = f"{number} {name}" if style.ascii else f"{number} {symbol}"
    return f"#[fg={colour}]{text}" if style.color else text
