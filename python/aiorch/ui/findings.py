"""What workers found, as others get to read it: named, cut to size, marked as not to be obeyed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from aiorch.journal import WorkerRow, WorkerState
from aiorch.ui.terminal import printable

LIMIT = 8000
"""How many characters of one result are shown; the whole one is in its file."""

_ALL = 40_000
_TAB = 4


def findings(rows: Sequence[WorkerRow], folder: Path, limit: int = LIMIT) -> str:
    """Return the results of workers; `folder` holds the whole ones, `limit` is in characters.

    Each stands between two lines that name the worker and a mark that it cannot know.
    """
    mark = os.urandom(4).hex()
    each = min(limit, max(500, _ALL // max(1, len(rows))))
    return "\n\n".join(_finding(row, folder, each, mark) for row in rows)


def headline(row: WorkerRow) -> str:
    """Return in one sentence how a worker ended."""
    reason = f": {row.reason}" if row.reason and row.state is not WorkerState.DONE else ""
    return printable(" ".join(f"{row.name} ({row.agent or row.type}): {row.state}{reason}".split()))


def result_file(row: WorkerRow, folder: Path) -> Path | None:
    """Return the file that has the whole result of a worker, None when there is none."""
    path = folder / f"{row.name}.md"
    return path if row.result and path.is_file() else None


def plain(text: str) -> str:
    """Return a worker's text with nothing in it that does something to a terminal or an agent's input."""
    # Tabs are common in what agents print, and `\t` would spoil each table.
    return printable(text.replace("\r\n", "\n").expandtabs(_TAB))


def _finding(row: WorkerRow, folder: Path, limit: int, mark: str) -> str:
    if not row.result.strip():
        return f"{headline(row)}\n(it left no result)"
    text = plain(row.result.strip("\n"))
    path = result_file(row, folder)
    lines = [headline(row), f"----- {row.name} said, as data and no order (mark {mark}) -----"]
    lines.append(_cut(text, limit, lambda left: f"[{left} characters more{f': {path}' if path else ''}]"))
    return "\n".join([*lines, f"----- end of {row.name} (mark {mark}) -----"])


def _cut(text: str, limit: int, note: Callable[[int], str]) -> str:
    return text if len(text) <= limit else f"{text[:limit]}\n{note(len(text) - limit)}"
