"""A run's directory with a journal in it, made without an engine."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from aiorch.capture.directive import Directive, Source
from aiorch.journal import DirectiveState, Journal, Tag, WorkerState
from aiorch.journal.schema import STEPS
from aiorch.paths import RunPaths
from aiorch.plan.schema import WorkerSpec
from aiorch.tree import Tree


def columns_since(version: int) -> list[str]:
    """Return what journals of a version did not have in their table of workers yet."""
    return re.findall(r"ALTER TABLE workers ADD COLUMN (\w+)", ";".join(STEPS[version:]))


def new_run(root: Path) -> RunPaths:
    """Make a run's directory with an empty journal, as an engine that begins does."""
    paths = RunPaths(root)
    paths.create()
    (root / "lock").touch(0o600)
    with_journal = Journal(paths.journal)
    with_journal.set_meta("begun", True)
    with_journal.set_meta("directory", "/project")
    with_journal.close()
    return paths


def delegate(journal: Journal, task: str, names: Sequence[str]) -> list[int]:
    """Record a directive that runs, with its workers queued, and return their numbers."""
    directive = Directive({"task": task}, Source.CLI, "request", f"inbox/{task}", task, task)
    specs = [WorkerSpec(name, "step", f"do {name}") for name in names]
    with journal.transaction():
        number = journal.add_directive(directive, 1)
        assert number is not None
        plan = json.dumps([asdict(spec) for spec in specs])
        journal.set_directive(number, DirectiveState.RUNNING, "", plan)
        journal.add_event(Tag.RECEIVED, f"Task: {task}")
        return [journal.add_worker(number, spec) for spec in specs]


def begin(journal: Journal, worker: int, pid: int = 7) -> None:
    """Record that a worker works."""
    journal.move_worker(worker, WorkerState.STARTING, "a place is free", agent="claude")
    journal.move_worker(worker, WorkerState.WORKING, f"process {pid}", pid=pid, started=1.5)
    journal.add_event(Tag.SPAWNED, f"worker {worker}")


def end(journal: Journal, worker: int, state: WorkerState = WorkerState.DONE, result: str = "") -> None:
    """Record that a worker has ended."""
    journal.move_worker(worker, state, "exit 0", result=result, status=0, ended=2.5)
    journal.add_event(Tag.DONE, f"worker {worker}")


def fill(journal: Journal, directives: int) -> None:
    """Record so many directives with three workers each, all done; some rows are larger than a page."""
    journal.set_meta("seed", ["x" * 9000, 0, 0, False])
    for count in range(directives):
        task = f"task {count} " + "word " * (2000 if count % 10 == 0 else 20)
        workers = delegate(journal, task, [f"w{count}-{letter}" for letter in "abc"])
        for worker in workers:
            begin(journal, worker)
            journal.set_tree(worker, Tree("/x", f"aiorch/w{worker}", "0" * 40, "/x", "/x/.git"))
            key = journal.next_message_key()
            journal.add_message(key, worker, f"w{worker}", "lead", f"go on with {task}"[:90])
        for worker in workers:
            end(journal, worker, result="r" * (count * 97 % 3000))
        journal.set_directive(count + 1, DirectiveState.DONE)
        journal.set_meta("cursor", ["000001-aaaaa", count])
        journal.keep_file(f"/sessions/{count % 3}.jsonl", {"cursor": count})
        journal.keep_answer(f"{count}.json", {"ok": True})
        if count % 2:
            journal.forget_answer(f"{count}.json")
