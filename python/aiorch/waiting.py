"""Waiting for workers to end, and handing their results over."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from aiorch.calls import by_name
from aiorch.client import request
from aiorch.errors import AiorchError, EngineError, RequestError
from aiorch.journal import ENDED, DirectiveState, WorkerRow, WorkerState
from aiorch.journal.reading import Reading, reading
from aiorch.paths import RunPaths
from aiorch.places import root_of
from aiorch.ui.findings import findings, headline, result_file
from aiorch.ui.terminal import one_line, printable, say

DONE, FAILED, TIMED_OUT = 0, 1, 124
_LOOK_SECONDS = 2.0
_DEAD_SECONDS = 6.0
_OPEN = frozenset({DirectiveState.ASKING, DirectiveState.RUNNING})


class Wanted(NamedTuple):
    """Workers by name and directives by number; nothing of either means all workers of the run."""

    workers: tuple[str, ...] = ()
    directives: tuple[int, ...] = ()

    @classmethod
    def named(cls, names: Sequence[str]) -> Wanted:
        """Return what these words name: `api` is a worker, `3` or `#3` a directive."""
        workers, numbers = by_name(names)
        return cls(tuple(workers), tuple(numbers))


class Standing(NamedTuple):
    """How far those are that somebody waits for.

    `open` are in words those that have not come to an end, `turned_away` the directives that never will run.
    """

    rows: list[WorkerRow]
    open: list[str]
    turned_away: list[str]

    @property
    def code(self) -> int:
        """Return the exit code for them, once none is open: 0 when all are done, else 1."""
        is_well = all(row.state is WorkerState.DONE for row in self.rows) and not self.turned_away
        return DONE if is_well else FAILED


def command(options: argparse.Namespace) -> int:
    """Wait for what the options name; return 0 (all done), 1 (some failed) or 124 (time-out)."""
    wanted = Wanted.named(() if options.all else options.names)
    return wait(root_of(options), wanted, options.timeout, as_json=options.json)


def collect(options: argparse.Namespace) -> int:
    """Print the results of workers that have ended; return 0."""
    run = RunPaths(root_of(options))
    with reading(run.journal) as journal:
        rows = chosen(journal, options.names)
        if not (options.all or options.names):
            rows = [row for row in rows if not row.collected]
        still = len(journal.unfinished())
    rows = [row for row in rows if row.state in ENDED]
    if options.json:
        say(json.dumps({"workers": [record(row, run) for row in rows], "unfinished": still}, indent=1))
    elif rows:
        say(findings(rows, run.results))
    else:
        say("no worker has ended yet" if options.all or options.names else "nothing new since the last time")
    hand_over(run.root, rows)
    return 0


def wait(root: Path, wanted: Wanted, timeout: float | None, *, as_json: bool) -> int:
    """Wait, print how they ended with their results, and return the exit code.

    Raises RequestError for what the run does not know, EngineError when its engine is gone for good.
    """
    run = RunPaths(root)
    standing = wait_for(run, wanted, timeout, show=sys.stderr.isatty())
    ended = [row for row in standing.rows if row.state in ENDED]
    if as_json:
        told = {"workers": [record(row, run) for row in standing.rows], "open": standing.open}
        say(json.dumps(told | {"timed_out": bool(standing.open)}, indent=1))
    else:
        if ended:
            say(findings(ended, run.results))
        for words in standing.turned_away:
            say(words)
    hand_over(root, ended)
    if standing.open:
        words = f"not ended in {timeout:g} s: {', '.join(standing.open)}"
        print(f"aiorch: {printable(words)}", file=sys.stderr, flush=True)  # noqa: T201 - an error
        return TIMED_OUT
    return standing.code


def wait_for(run: RunPaths, wanted: Wanted, timeout: float | None, *, show: bool = False) -> Standing:
    """Return how those ended that are wanted; after `timeout` seconds (None: never) as far as they are.

    With `show` what they wait for is told on stderr. Raises RequestError for what the run does not know,
    EngineError when its engine is gone for good, JournalError when there is no journal.
    """
    begin, told = time.monotonic(), ""
    standing = _look(run, wanted)
    if not standing.open or timeout == 0:
        return standing
    # What watches is loaded only by who has to wait.
    from aiorch.ui.news import News

    with News(run.news) as news:
        alive = time.monotonic()
        while True:
            standing = _look(run, wanted)
            left = None if timeout is None else begin + timeout - time.monotonic()
            if not standing.open or (left is not None and left <= 0):
                return standing
            told = _tell(standing, told) if show else ""
            if not news.wait(_LOOK_SECONDS if left is None else min(left, _LOOK_SECONDS)):
                alive = _still_alive(run, alive)


def record(row: WorkerRow, run: RunPaths) -> dict[str, object]:
    """Return a worker and its result as a JSON object."""
    from aiorch.ui.report import worker_record

    path = result_file(row, run.results)
    return worker_record(row) | {"directive": row.directive, "result_file": str(path) if path else None}


def hand_over(root: Path, rows: Sequence[WorkerRow], by: str = "cli") -> None:
    """Note that somebody has these results: they are not offered to the lead once more."""
    names = [row.name for row in rows if not row.collected]
    if not names:
        return
    try:
        request(root, {"verb": "collected", "names": names, "by": by}, timeout=1.0)
    except AiorchError as error:
        # They are there already; the worst is that they are offered again.
        print(f"aiorch: {printable(str(error))}", file=sys.stderr, flush=True)  # noqa: T201 - a warning


def _look(run: RunPaths, wanted: Wanted) -> Standing:
    with reading(run.journal) as journal, journal.snapshot():
        rows = _named(journal, wanted.workers)
        still, away = [], []
        for number in wanted.directives:
            directive = journal.directive(number)
            if directive is None:
                raise RequestError(f"this run has no directive #{number}: `aiorch log` lists them")
            rows += [row for row in journal.workers_of(number) if row not in rows]
            if directive.state is DirectiveState.ASKING:
                still.append(f"#{number} (waits for the user's answer)")
            elif directive.state not in (*_OPEN, DirectiveState.DONE):
                away.append(one_line(f"#{number}: {directive.state}: {directive.reason}"))
        if not (wanted.workers or wanted.directives):
            rows = journal.workers()
    still += [f"{row.name} ({_doing(row)})" for row in rows if row.state not in ENDED]
    return Standing(rows, still, away)


def chosen(journal: Reading, names: Sequence[str]) -> list[WorkerRow]:
    """Return the workers that words name, all without any. Raises RequestError for one there is not."""
    workers, numbers = by_name(names)
    rows = _named(journal, workers)
    for number in numbers:
        rows += journal.workers_of(number)
    return rows if names else journal.workers()


def _named(journal: Reading, names: Sequence[str]) -> list[WorkerRow]:
    found = journal.named(names) if names else {}
    missing = [name for name in names if name not in found]
    if missing:
        raise RequestError(f"this run has no worker {printable(missing[0])}: `aiorch ps` lists the workers")
    return [found[name] for name in names]


def _doing(row: WorkerRow) -> str:
    return f"waits for you: {row.waits}" if row.waits else "paused" if row.paused else str(row.state)


def _tell(standing: Standing, before: str) -> str:
    """Tell on stderr whom we wait for, when that has changed."""
    ended = [headline(row) for row in standing.rows if row.state in ENDED]
    words = one_line(f"waiting for {', '.join(standing.open)}" + (f"; {len(ended)} ended" if ended else ""))
    if words != before:
        print(words, file=sys.stderr, flush=True)  # noqa: T201 - progress
    return words


def _still_alive(run: RunPaths, alive: float) -> float:
    """Return when an engine was there last. Raises EngineError when there is none for long."""
    from aiorch.runs import has_engine

    now = time.monotonic()
    try:
        if has_engine(run.root):
            return now
    except OSError as error:
        raise EngineError(f"the run is gone: {error}") from error
    if now - alive > _DEAD_SECONDS:
        raise EngineError("the run has no engine: prefix + O or `aiorch resume` starts another")
    return alive
