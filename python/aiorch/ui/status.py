"""The status text: how the crew is doing, in a few cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiorch.journal import WorkerState

_GROUPS: tuple[tuple[str, str, str, frozenset[WorkerState]], ...] = (
    ("▶", "run", "green", frozenset({WorkerState.STARTING, WorkerState.WORKING})),
    ("⏸", "wait", "yellow", frozenset({WorkerState.WAITING})),
    ("…", "queued", "cyan", frozenset({WorkerState.QUEUED})),
    ("✔", "done", "blue", frozenset({WorkerState.DONE})),
    ("✖", "failed", "red", frozenset({WorkerState.FAILED, WorkerState.KILLED, WorkerState.LOST})),
)


@dataclass(frozen=True, slots=True)
class StatusStyle:
    """How the status is written: with symbols or in plain ASCII words, with colours or without."""

    ascii: bool = False
    color: bool = True


def status_text(counts: Mapping[WorkerState, int], asking: int, style: StatusStyle) -> str:
    """Return the status text, ` 3 ▶ 1 ✔ ` for instance; `asking` directives wait for the user's answer.

    The text is a tmux format value: `#[fg=…]` in it is a style, and nothing in it comes from outside.
    """
    parts = []
    if asking:
        parts.append(_part(asking, "?", "ask", "yellow", style))
    for symbol, name, colour, group in _GROUPS:
        number = sum(counts.get(state, 0) for state in group)
        if number:
            parts.append(_part(number, symbol, name, colour, style))
    if not parts:
        parts.append("aiorch" if style.ascii else "◆ aiorch")
    return f" {' '.join(parts)} "


def _part(number: int, symbol: str, name: str, colour: str, style: StatusStyle) -> str:
    text = f"{number} {name}" if style.ascii else f"{number} {symbol}"
    # push-default/pop-default keep whatever colours the user's own status line has around us.
    return f"#[push-default]#[fg={colour}]{text}#[pop-default]#[default]" if style.color else text
