"""One worker in full: its result and where that comes from, how it ended, what it changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aiorch.journal import Transition, WorkerRow, WorkerState
from aiorch.ui.report import duration, duration_of, worker_record
from aiorch.ui.terminal import printable

if TYPE_CHECKING:
    from aiorch.workers.changes import Changes

SHOWN_FILES = 20
CHECK_LINES = 10
_SOURCES = {
    "file": "the file that it wrote",
    "transcript": "its last message, by the agent's own record",
    "screen": "its last screen",
}


def view_record(row: WorkerRow, folder: Path, steps: list[Transition]) -> dict[str, object]:
    """Return a worker as a JSON object; `folder` holds the files of its attempts, times are in seconds."""
    attempt = folder / row.action
    record = json.loads(row.record)
    log = attempt / "check.log"
    return worker_record(row) | {
        "number": row.number,
        "directive": row.directive,
        "after": list(row.after),
        "on_failure": row.on_failure,
        "duration": duration_of(row),
        "directory": row.directory,
        "result_file": _existing(attempt / "result") or _existing(attempt / "out/result"),
        "transcript": record.get("path"),
        "changes": json.loads(row.changes) or None,
        "check": {"log": str(log), "last_lines": _last_lines(log)} if log.is_file() else None,
        "inputs": _existing(attempt / "inputs"),
        "steps": [
            {"time": one.time, "attempt": one.attempt, "state": str(one.state), "evidence": one.evidence}
            for one in steps
        ],
    }


def view_text(row: WorkerRow, folder: Path) -> str:
    """Return a worker for people, with nothing in it that does something to a terminal."""
    return printable("\n".join(_lines(row, folder / row.action)))


def _lines(row: WorkerRow, attempt: Path) -> Iterator[str]:
    kind = row.type if row.agent in ("", row.type) else f"{row.type}, {row.agent}"
    yield f"{row.name} ({kind}): {_state(row)}"
    for name, text in _facts(row, attempt):
        yield f"  {name:10}{text}"
    if row.changes != "{}":
        yield from _changes(row.changes)
    log = attempt / "check.log"
    lines = _last_lines(log)
    if log.is_file():
        yield f"  {'check':10}{log}"
        yield from (f"    {line}" for line in lines)
    if row.result:
        yield f"  {'result':10}{_SOURCES.get(row.source, row.source)}"
        yield ""
        yield row.result.rstrip("\n")


def _state(row: WorkerRow) -> str:
    state = "checking" if row.checking else str(row.state)
    return f"{state}, {row.reason}" if row.reason else state


def _facts(row: WorkerRow, attempt: Path) -> Iterator[tuple[str, str]]:
    tried = f", attempt {row.attempt}" if row.attempt > 1 else ""
    code = f", exit code {row.status}" if row.status is not None else ""
    if row.started is not None and row.state is not WorkerState.SKIPPED:
        yield "took", f"{duration(row)}{code}{tried}"
    if row.after:
        yield "after", f"{', '.join(row.after)} ({row.on_failure} when one of them fails)"
    if row.directory:
        yield "in", row.directory
    inputs = _existing(attempt / "inputs")
    if inputs:
        yield "inputs", inputs


def _last_lines(log: Path) -> list[str]:
    if not log.is_file():
        return []
    # Most workers have no check: `aiorch show` is to be quick for those.
    from aiorch.launch.check import last_lines

    return last_lines(log, CHECK_LINES)


def _changes(text: str) -> Iterator[str]:
    from aiorch.workers.changes import described, from_json, together

    changes = from_json(text)
    if changes is not None:
        yield f"  {'changes':10}{described(changes)}"
        yield from _files(changes)
        if changes.shared:
            yield f"    {together(changes.shared)}"


def _files(changes: Changes) -> Iterator[str]:
    shown = changes.files[:SHOWN_FILES]
    for one in shown:
        known = one.added is not None and one.removed is not None
        yield f"    {one.kind:9} {f'+{one.added} -{one.removed}' if known else '':>9} {one.path}"
    left = len(changes.files) - len(shown) + changes.more
    if left:
        yield f"    and {left} more"


def _existing(path: Path) -> str | None:
    return str(path) if path.exists() else None
