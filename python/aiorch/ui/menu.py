"""The menu behind the key: what can be done now, as arguments of `display-menu`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiorch.journal import ENDED, DirectiveRow, WorkerRow, WorkerState
from aiorch.tmux import quote

SHOWN = 40
_MARKS = {
    WorkerState.QUEUED: "…",
    WorkerState.STARTING: "▶",
    WorkerState.WORKING: "▶",
    WorkerState.WAITING: "⏸",
    WorkerState.DONE: "✔",
    WorkerState.FAILED: "✖",
    WorkerState.KILLED: "✖",
    WorkerState.LOST: "✖",
}
_JUMP_KEYS = "123456789"


@dataclass(frozen=True, slots=True)
class RunCommands:
    """How menu entries reach the engine: the request script with its inbox, and our own program's argv."""

    request: str
    inbox: str
    program: Sequence[str]


def menu_arguments(
    workers: Sequence[WorkerRow], asking: Sequence[DirectiveRow], run: RunCommands, alive: Iterable[str]
) -> list[str]:
    """Return the items of the menu as (name, key, command) in one row; `alive` are the panes there are."""
    items = _questions(asking, run)
    panes = set(alive)
    shown = [row for row in workers if row.pane in panes]
    for key, row in zip(_JUMP_KEYS, shown, strict=False):
        items += [f"{_MARKS[row.state]} {row.name} ({row.state})", key, f"switch-client -t {row.pane}"]
    items += [""] if shown else []
    items += ["New worker…", "w", f"display-popup -E -w 70% -h 10 {_program(run.program, 'new')}"]
    failed = [row.name for row in workers if row.state in ENDED - {WorkerState.DONE}]
    if failed:
        items += [f"Retry {failed[-1]}", "r", _request(run, "retry", "name", failed[-1])]
    if any(row.state in ENDED for row in shown):
        items += ["Close finished", "c", _request(run, "tidy")]
    items += ["Event log", "l", _request(run, "log")]
    items += ["Even columns", "e", _request(run, "layout")]
    items += ["Report", "p", f"display-popup -w 80% -h 60% {_program(run.program, 'status')}"]
    stop = quote.word(_request(run, "stop"))
    items += ["", "Stop…", "q", f"confirm-before -p 'Stop all workers of this run? (y/n)' {stop}"]
    return items


def _questions(asking: Sequence[DirectiveRow], run: RunCommands) -> list[str]:
    items: list[str] = []
    for key, row in zip("yok", asking, strict=False):
        task = row.payload.get("task") or row.payload.get("file") or ""
        text = quote.literal(_short(str(task)))
        items += [f"Start ##{row.number}: {text}", key, _request(run, "approve", "number", str(row.number))]
        items += [f"Decline ##{row.number}", key.upper(), _request(run, "decline", "number", str(row.number))]
    return [*items, ""] if items else []


def _request(run: RunCommands, *arguments: str) -> str:
    # The menu expands its commands as formats, then run-shell does it again.
    text = quote.shell(["/bin/sh", run.request, run.inbox, *arguments])
    return f"run-shell -b {quote.word(quote.literal(quote.literal(text)))}"


def _program(program: Sequence[str], verb: str) -> str:
    return quote.literal(quote.line([*program, verb]))


def _short(text: str) -> str:
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"
