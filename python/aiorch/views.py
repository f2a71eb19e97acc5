"""Commands that only read a run and print what is there."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from contextlib import AbstractContextManager

from aiorch.errors import RequestError, UsageError
from aiorch.journal import ACTIVE, OPEN, DirectiveState
from aiorch.journal.reading import Reading, reading
from aiorch.paths import RunPaths
from aiorch.places import root_of
from aiorch.ui.terminal import printable, say, use_color


def status(options: argparse.Namespace) -> int:
    """Print the workers, and what waits for the user; return 0."""
    from aiorch import machine, process
    from aiorch.ui.messages import message_line, message_record
    from aiorch.ui.report import overlap_notes, worker_record, worker_table

    with _reading(options) as journal:
        rows = journal.workers()
        asking = journal.directives(DirectiveState.ASKING)
        trees, notes = journal.trees(), overlap_notes(rows, journal.overlaps())
        messages = [row for row in journal.messages() if row.state in OPEN]
    active = [row for row in rows if row.state in ACTIVE and process.is_same(row.pid, row.ticks)]
    memory = {row.number: machine.resident(one.pid for one in process.tree(row.pid)) for row in active}
    if options.json:
        waiting = [{"number": row.number, "payload": row.payload, "reason": row.reason} for row in asking]
        records = [worker_record(row, memory, trees, notes) for row in rows]
        facts = {"load": os.getloadavg()[0], "cores": os.cpu_count(), "free_memory": machine.free_memory()}
        letters = [message_record(row) for row in messages]
        told = {"workers": records, "asking": waiting, "messages": letters, "machine": facts}
        say(json.dumps(told, indent=1))
        return 0
    say(worker_table(rows, memory=memory, trees=trees, notes=notes) if rows else "no workers yet")
    if memory:
        say(f"{machine.size(sum(memory.values()))} in {len(memory)} at work; {machine.described()}")
    for row in asking:
        say(printable(f"#{row.number} waits for your answer ({row.reason}): aiorch approve {row.number}"))
    for message in messages:
        say(printable(message_line(message)))
    return 0


def show(options: argparse.Namespace) -> int:
    """Print one worker, or a directive as it was received; return 0. Raises RequestError for neither."""
    root, what = RunPaths(root_of(options)), str(options.what).removeprefix("#")
    with reading(root.journal) as journal:
        number = int(what) if re.fullmatch("[0-9]{1,9}", what) else None
        row = None if number is None else journal.directive(number)
        worker = journal.named([what]).get(what) if row is None else None
        steps = [one for one in journal.transitions() if worker and one.worker == worker.number]
        decisions = [one for one in journal.decisions() if row and one.directive == row.number]
    if worker is not None:
        from aiorch.ui import worker_view

        record = worker_view.view_record(worker, root.workers, steps) if options.json else {}
        say(json.dumps(record, indent=1) if options.json else worker_view.view_text(worker, root.workers))
        return 0
    if row is None:
        kind = "worker" if number is None else "directive or worker"
        raise RequestError(f"this run has no {kind} {printable(what)}: `aiorch ps` lists the workers")
    if options.json:
        from aiorch.ui.document import directive_record

        say(json.dumps(directive_record(row, decisions), indent=1))
        return 0
    say(printable(f"#{row.number} {row.state} {row.reason}".rstrip()))
    say(printable(f"from {row.source} at {row.position}, received as:"))
    say(printable(row.received_as))
    return 0


def log(options: argparse.Namespace) -> int:
    """Print the event log; return 0."""
    from aiorch.ui.event_line import format_event

    with _reading(options) as journal:
        events = journal.events()
    for event in events:
        if options.json:
            say(json.dumps({"time": event.time, "tag": event.tag, "text": event.text}))
        else:
            say(format_event(event._replace(text=printable(event.text)), color=use_color()))
    return 0


def events(options: argparse.Namespace) -> int:
    """Print all that happened, for programs; return 0."""
    from aiorch.ui.feed import feed

    run, follow, as_json = RunPaths(root_of(options)), options.follow, options.json
    for line in feed(run, options.after, follow=follow, as_json=as_json, color=use_color()):
        say(line)
    return 0


def explain(options: argparse.Namespace) -> int:
    """Tell what shows the state of a worker, or what a stored screen shows; return the exit code."""
    from aiorch.explain import explain
    from aiorch.ui.explain import explained, explanation

    if options.name is None:
        return explain(options)
    if options.screen is not None:
        raise UsageError("name a worker or a stored screen, not both")
    with _reading(options) as journal:
        row = journal.named([options.name]).get(options.name)
        if row is None:
            raise RequestError(f"there is no worker {printable(options.name)} in this run")
        steps = [step for step in journal.transitions() if step.worker == row.number]
    now = time.time()
    say(json.dumps(explained(row, steps, now), indent=1) if options.json else explanation(row, steps, now))
    return 0


def _reading(options: argparse.Namespace) -> AbstractContextManager[Reading]:
    """Open the journal of the run that the options mean, for reading."""
    return reading(RunPaths(root_of(options)).journal)
