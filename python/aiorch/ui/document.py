"""A run as one document: an object for programs, a report for people."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aiorch.journal import Decision, DirectiveRow, Event, Transition, WorkerRow
from aiorch.journal.reading import Reading
from aiorch.tree import Tree
from aiorch.ui.event_line import format_event
from aiorch.ui.report import duration, worker_record
from aiorch.ui.terminal import printable

FORMAT = 1
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#])")
_TICKS = re.compile("`+")


@dataclass(frozen=True, slots=True)
class Document:
    """All that a journal tells of its run, as it was at one moment; steps are by worker and directive."""

    run: str
    directory: str
    stopped: float | None
    directives: Sequence[DirectiveRow]
    workers: Sequence[WorkerRow]
    events: Sequence[Event]
    transitions: Mapping[int, Sequence[Transition]]
    decisions: Mapping[int, Sequence[Decision]]
    trees: Mapping[int, Tree]

    @property
    def begun(self) -> float | None:
        """Return when the first thing happened."""
        return self.events[0].time if self.events else None


def read_document(run: str, journal: Reading) -> Document:
    """Return all that a run's journal tells."""
    transitions: dict[int, list[Transition]] = {}
    decisions: dict[int, list[Decision]] = {}
    with journal.snapshot():
        for step in journal.transitions():
            transitions.setdefault(step.worker, []).append(step)
        for decision in journal.decisions():
            decisions.setdefault(decision.directive, []).append(decision)
        directory, stopped = journal.meta("directory"), journal.meta("stopped")
        return Document(
            run,
            directory if isinstance(directory, str) else "",
            stopped if isinstance(stopped, float) else None,
            journal.directives(),
            journal.workers(),
            journal.events(),
            transitions,
            decisions,
            journal.trees(),
        )


def as_json(document: Document) -> str:
    """Return the document as one JSON object; times are seconds since the epoch."""
    whole = {
        "format": FORMAT,
        "run": document.run,
        "directory": document.directory,
        "begun": document.begun,
        "stopped": document.stopped,
        "directives": [
            directive_record(row, document.decisions.get(row.number, ())) for row in document.directives
        ],
        "workers": [_worker_record(row, document) for row in document.workers],
        "events": [
            {"number": one.number, "time": one.time, "tag": str(one.tag), "text": one.text}
            for one in document.events
        ],
    }
    return json.dumps(whole, indent=1) + "\n"


def as_markdown(document: Document) -> str:
    """Return the document as a report in Markdown; what comes from outside cannot change its form."""
    return "\n".join([*_head(document), *_directives(document), *_log(document)]) + "\n"


def directive_record(row: DirectiveRow, decisions: Sequence[Decision]) -> dict[str, object]:
    """Return one directive as a JSON object, with what became of it step by step."""
    return {
        "number": row.number,
        "source": row.source,
        "position": row.position,
        "received_as": row.received_as,
        "payload": row.payload,
        "id": row.user_id,
        "state": str(row.state),
        "reason": row.reason,
        "plan": _plan(row.plan),
        "created": row.created,
        "steps": [
            {"number": one.number, "time": one.time, "state": str(one.state), "reason": one.reason}
            for one in decisions
        ],
    }


def _worker_record(row: WorkerRow, document: Document) -> dict[str, object]:
    steps = [
        {
            **{"number": one.number, "time": one.time, "attempt": one.attempt},
            **{"state": str(one.state), "evidence": one.evidence},
        }
        for one in document.transitions.get(row.number, ())
    ]
    more = {"number": row.number, "directive": row.directive, "after": list(row.after)}
    return more | worker_record(row, trees=document.trees) | {"steps": steps}


def _plan(text: str) -> object:
    try:
        return json.loads(text) if text else []
    except ValueError:
        return []


def _head(document: Document) -> Iterator[str]:
    states = Counter(str(row.state) for row in document.workers)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    yield f"# Run {_text(document.run)}"
    yield ""
    yield from _table(
        ("", ""),
        [
            ("directory", _code(document.directory)),
            ("began", _when(document.begun)),
            ("ended", _when(document.stopped) if document.stopped else "not yet"),
            ("directives", str(len(document.directives))),
            ("workers", f"{len(document.workers)}{f': {counts}' if counts else ''}"),
        ],
    )


def _directives(document: Document) -> Iterator[str]:
    known = {row.number for row in document.directives}
    for row in document.directives:
        yield f"## Directive #{row.number}: {row.state}"
        yield ""
        reason = f": {_text(row.reason)}" if row.reason else ""
        yield f"From {row.source}, {_when(row.created)}{reason}"
        yield ""
        task = row.payload.get("task")
        yield from _fenced(task if isinstance(task, str) else row.received_as)
        yield from _workers([one for one in document.workers if one.directive == row.number], document)
    left = [one for one in document.workers if one.directive not in known]
    if left:
        yield "## Workers of no known directive"
        yield ""
        yield from _workers(left, document)


def _workers(rows: Sequence[WorkerRow], document: Document) -> Iterator[str]:
    if not rows:
        return
    body = [
        (_code(row.name), _code(row.type), str(row.state), str(row.attempt), duration(row), _text(row.reason))
        for row in rows
    ]
    yield from _table(("worker", "type", "state", "tries", "time", "why"), body)
    for row in rows:
        yield f"### {_code(row.name)}"
        yield ""
        yield from _fenced(row.task)
        if row.result:
            yield "Result:"
            yield ""
            yield from _fenced(row.result)
        for one in document.transitions.get(row.number, ()):
            again = f", attempt {one.attempt}" if one.attempt > 1 else ""
            yield f"- {_clock(one.time)} {one.state}{again}: {_text(one.evidence)}"
        yield ""


def _log(document: Document) -> Iterator[str]:
    yield "## Event log"
    yield ""
    yield from _fenced("\n".join(format_event(one, color=False) for one in document.events))


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> Iterator[str]:
    for line in (head, ["---"] * len(head), *body):
        yield f"| {' | '.join(line)} |"
    yield ""


def _fenced(text: str) -> Iterator[str]:
    """Yield a text as it is, in a fence that nothing in it can close."""
    safe = printable(text)
    fence = "`" * (1 + max([2, *(len(ticks) for ticks in _TICKS.findall(safe))]))
    yield from (fence, safe.rstrip("\n"), fence, "")


def _text(text: str) -> str:
    """Return a text for a line of Markdown, where it means nothing but itself."""
    return _MARKDOWN.sub(r"\\\1", printable(" ".join(text.split())))


def _code(text: str) -> str:
    flat = printable(" ".join(text.split())).replace("|", "\\|")
    return f"`{flat}`" if flat and "`" not in flat else _text(text)


def _when(at: float | None) -> str:
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
