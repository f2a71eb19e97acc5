"""Which workers may start by the order of their plans, and which are skipped since one before them failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from aiorch.journal import DirectiveState, Journal, Tag, WorkerRow, WorkerState
from aiorch.launch.local import LocalLauncher
from aiorch.plan import graph
from aiorch.plan.graph import Link
from aiorch.ui.report import duration_of

_QUEUED = WorkerState.QUEUED


class Plans:
    """The order of one run's plans; every method is called on the engine's thread only.

    `end` writes down how a worker ended: the worker, its state, the exit status, the reason.
    """

    def __init__(
        self,
        journal: Journal,
        launcher: LocalLauncher,
        end: Callable[[WorkerRow, WorkerState, int | None, str], None],
    ) -> None:
        self._journal, self._launcher, self._end = journal, launcher, end

    def ready(self, rows: Sequence[WorkerRow]) -> list[WorkerRow]:
        """Return those of these workers that are next by their order; skip what is not to start any more."""
        queued = [row for row in rows if row.state is _QUEUED]
        tied = {row.directive for row in queued if row.after or row.on_failure == "stop"}
        names = {row.name for row in queued if row.directive not in tied}
        for directive in sorted(tied):
            plan = self._journal.workers_of(directive)
            found = graph.look(_links(plan), self._states(plan))
            names |= set(found.ready)
            by_name = {row.name: row for row in plan}
            for name, reason in found.skipped.items():
                self._end(by_name[name], WorkerState.SKIPPED, None, reason)
        return [row for row in queued if row.name in names]

    def revive(self, row: WorkerRow) -> None:
        """Let workers wait again that were skipped because of a worker that is tried again."""
        self._journal.set_directive(row.directive, DirectiveState.RUNNING)
        tried, back = [row], list[str]()
        while tried:
            one = tried.pop()
            # Workers of other plans may wait for it, too.
            for directive in {one.directive, *self._journal.waiting_for(one.name)}:
                found = self._revive_plan(directive, one.name, row.name)
                tried += found
                back += [other.name for other in found]
        if back:
            self._journal.add_event(Tag.QUEUED, f"{', '.join(sorted(back))}: {row.name} is tried again")

    def _revive_plan(self, directive: int, name: str, cause: str) -> list[WorkerRow]:
        """Let those of one plan wait again that wait for a worker which is tried again; return them."""
        plan = self._journal.workers_of(directive)
        names = set(graph.revived(_links(plan), self._states(plan), name))
        back = [row for row in plan if row.name in names]
        for row in back:
            evidence = f"{cause} is tried again"
            self._journal.move_worker(row.number, _QUEUED, evidence, reason="", ended=None)
        if back:
            self._journal.set_directive(directive, DirectiveState.RUNNING)
        return back

    def _states(self, plan: Sequence[WorkerRow]) -> dict[str, str]:
        """Return the states of a plan's workers, and of those of other plans that they wait for."""
        own = {row.name: str(row.state) for row in plan}
        others = {name for row in plan for name in row.after} - own.keys()
        known = self._journal.named(others) if others else {}
        # What a damaged journal has lost may still be brought back.
        states = {name: str(known[name].state) if name in known else str(WorkerState.LOST) for name in others}
        return states | own

    def inputs(self, row: WorkerRow) -> dict[str, str] | None:
        """Return the results of the workers before one, as files by name; None when it waits for nobody."""
        if not row.after:
            return None
        files = {}
        before = self._journal.named(row.after)
        for name in row.after:
            if name in before:
                one = before[name]
                files[f"{name}.md"] = one.result
                files[f"{name}.json"] = json.dumps(self._record(one), indent=1) + "\n"
        return files

    def _record(self, row: WorkerRow) -> dict[str, object]:
        return {
            "name": row.name,
            "type": row.type,
            "state": str(row.state),
            "reason": row.reason,
            "status": row.status,
            "task": row.task,
            "duration": duration_of(row),
            "result_from": row.source,
            "result_file": str(self._launcher.result_file(row.action)) if row.source == "file" else None,
            "directory": row.directory,
            "changes": json.loads(row.changes) or None,
        }


def _links(plan: Sequence[WorkerRow]) -> list[Link]:
    return [Link(row.name, row.after, row.on_failure) for row in plan]
