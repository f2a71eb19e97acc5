"""All that happened in a run as one stream: the event log, workers' steps, what became of directives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping

from aiorch.errors import JournalError
from aiorch.journal import Decision, Event, Happening, Transition, WorkerRow
from aiorch.journal.reading import Reading, reading
from aiorch.paths import RunPaths
from aiorch.ui.event_line import format_event
from aiorch.ui.news import News
from aiorch.ui.terminal import printable


def feed(paths: RunPaths, after: int, *, follow: bool, as_json: bool, color: bool) -> Iterator[str]:
    """Yield one line for each thing that happened since number `after`, in the order of time.

    With `follow` what happens from then on is yielded too, until the run is stopped. Raises JournalError when
    there is no journal that can be read.
    """
    if not follow:
        with reading(paths.journal) as journal:
            yield from _lines(journal, journal.history(after), as_json=as_json, color=color)
        return
    with News(paths.news) as news:
        while True:
            is_over = False
            try:
                # Opened each time: a damaged journal is replaced by another file.
                with reading(paths.journal) as journal:
                    is_over = bool(journal.meta("stopped"))
                    # One that was saved may be shorter than what it replaces.
                    after = min(after, journal.newest)
                    found = list(journal.history(after))
                    lines = list(_lines(journal, found, as_json=as_json, color=color))
                # In the order of time, which a clock that is set back is not.
                after = max((one.number for one in found), default=after)
                yield from lines
            except JournalError:
                # Its engine saves it.
                if not paths.news.is_dir():
                    raise
            if is_over:
                return
            news.wait()


def record(one: Happening, workers: Mapping[int, WorkerRow]) -> dict[str, object]:
    """Return what happened as a JSON object; `workers` are by number."""
    head: dict[str, object] = {"number": one.number, "time": one.time}
    match one:
        case Event():
            return head | {"kind": "log", "tag": str(one.tag), "text": one.text}
        case Transition():
            row = workers.get(one.worker)
            who = {"worker": row.name if row else "", "directive": row.directive if row else 0}
            step = {"attempt": one.attempt, "state": str(one.state), "evidence": one.evidence}
            return head | {"kind": "worker"} | who | step
        case Decision():
            fate = {"directive": one.directive, "state": str(one.state), "reason": one.reason}
            return head | {"kind": "directive"} | fate


def line(one: Happening, workers: Mapping[int, WorkerRow], *, color: bool = False) -> str:
    """Return what happened as a line for people."""
    clock = time.strftime("%H:%M:%S", time.localtime(one.time))
    match one:
        case Event():
            return format_event(one._replace(text=printable(one.text)), color=color)
        case Transition():
            row = workers.get(one.worker)
            again = f", attempt {one.attempt}" if one.attempt > 1 else ""
            text = f"{row.name if row else '?'}{again}: {one.state} ({one.evidence})"
        case Decision():
            text = f"#{one.directive}: {one.state}{f' ({one.reason})' if one.reason else ''}"
    return f"{clock} {printable(' '.join(text.split()))}"


def _lines(journal: Reading, found: Iterable[Happening], *, as_json: bool, color: bool) -> Iterator[str]:
    workers = {row.number: row for row in journal.workers()}
    for one in found:
        yield json.dumps(record(one, workers)) if as_json else line(one, workers, color=color)
