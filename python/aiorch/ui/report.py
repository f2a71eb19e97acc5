"""The table of workers, for people and for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from aiorch import machine
from aiorch.journal import WorkerRow
from aiorch.tree import Tree
from aiorch.ui.terminal import one_line, printable

_BRANCH = "BRANCH"
_HEAD: tuple[str, ...] = ("NAME", "TYPE", "STATE", "TRY", "TIME", "MEM", "RESULT")


def worker_record(
    row: WorkerRow,
    memory: Mapping[int, int] | None = None,
    trees: Mapping[int, Tree] | None = None,
    notes: Mapping[int, str] | None = None,
) -> dict[str, object]:
    """Return one worker as a JSON object; times are seconds since the epoch.

    By the numbers of workers, `memory` is bytes, `trees` are their worktrees and `notes` what is to be told.
    """
    tree = (trees or {}).get(row.number)
    return {
        "name": row.name,
        "type": row.type,
        "agent": row.agent,
        "state": str(row.state),
        "paused": bool(row.paused),
        "memory": (memory or {}).get(row.number),
        "reason": row.reason or row.waits or ("checking" if row.checking else ""),
        "waits": row.waits,
        "note": (notes or {}).get(row.number, ""),
        "branch": tree.branch if tree else None,
        "worktree": tree.path if tree else None,
        "base": tree.base if tree else None,
        "attempt": row.attempt,
        "pane": row.pane,
        "status": row.status,
        "result": row.result,
        "result_from": row.source,
        "task": row.task,
        "created": row.created,
        "started": row.started,
        "ended": row.ended,
    }


def worker_table(
    rows: Sequence[WorkerRow],
    width: int | None = None,
    memory: Mapping[int, int] | None = None,
    trees: Mapping[int, Tree] | None = None,
    notes: Mapping[int, str] | None = None,
) -> str:
    """Return the workers as a table, cut at `width` columns (None: the terminal's, if it is one).

    By the numbers of workers, `memory` is what they hold in bytes, `trees` are their worktrees and `notes`
    what is to be told of them.
    """
    lines = [_HEAD]
    for row in rows:
        *cells, words = _cells(row, (memory or {}).get(row.number))
        note = printable((notes or {}).get(row.number, ""))
        lines.append((*cells, " ".join(filter(None, (note, words)))))
    if trees:
        branches = [_BRANCH, *(trees[row.number].branch if row.number in trees else "-" for row in rows)]
        lines = [
            (*line[:-1], printable(branch), line[-1]) for line, branch in zip(lines, branches, strict=True)
        ]
    sizes = [max(len(line[index]) for line in lines) for index in range(len(lines[0]) - 1)]
    if width is None and sys.stdout.isatty():
        import shutil

        width = shutil.get_terminal_size().columns
    text = []
    for line in lines:
        start = "  ".join(cell.ljust(size) for cell, size in zip(line, sizes, strict=False))
        text.append(f"{start}  {line[-1]}"[:width].rstrip())
    return "\n".join(text)


def overlap_notes(
    rows: Sequence[WorkerRow], overlaps: Mapping[tuple[int, int], Sequence[str]]
) -> dict[int, str]:
    """Return by worker which files it changes that another one changes, too."""
    names = {row.number: row.name for row in rows}
    notes: dict[int, list[str]] = {}
    for pair, files in overlaps.items():
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        for one, other in (pair, pair[::-1]):
            notes.setdefault(one, []).append(f"{files[0]}{more} changed by {names.get(other, '?')} too")
    return {number: f"({'; '.join(words)})" for number, words in notes.items()}


def _cells(row: WorkerRow, memory: int | None) -> tuple[str, ...]:
    state = "paused" if row.paused else "checking" if row.checking else str(row.state)
    held = "-" if memory is None else machine.size(memory)
    cells = (row.name, row.type, state, str(row.attempt), duration(row), held, headline(row))
    return tuple(one_line(cell) for cell in cells)


def headline(row: WorkerRow) -> str:
    """Return what there is to say of a worker on one line: why it is not done, else its result."""
    if row.reason or row.waits or row.source != "screen":
        return row.reason or row.waits or row.result
    lines = [line for line in row.result.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def counted(number: int, what: str = "worker") -> str:
    """Return a number of things in words."""
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def duration(row: WorkerRow) -> str:
    """Return how long a worker has worked, in minutes and seconds; `-` before it began."""
    found = duration_of(row)
    seconds = int(found or 0)
    return "-" if found is None else f"{seconds // 60}:{seconds % 60:02d}"


def duration_of(row: WorkerRow) -> float | None:
    """Return how long a worker has worked, in seconds; None before it began."""
    return None if row.started is None else (row.ended or time.time()) - row.started
