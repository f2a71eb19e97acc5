"""Salvaged rows made into a journal to go on with: nothing in it may run twice (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiorch.capture.directive import Source
from aiorch.journal.history import SERIES
from aiorch.journal.rows import ACTIVE, ENDED, OPEN, DirectiveState, MessageState, Tag, WorkerState
from aiorch.journal.salvage import GAPS, Row, Rows, Salvage, blank, missing
from aiorch.plan.schema import DEFAULT_POLICY, POLICIES, unique_name

UNSURE = "unsure"
"""The meta value that says that what was seen before may not be known any more."""

UNKNOWN_TYPE = "unknown"
_STEP = 1000
_LOST = "the journal was damaged: `aiorch retry {name}` runs it"
_GONE = "it was lost when the journal was damaged"
_ORIGIN = re.compile(r"directive #([0-9]{1,9})")
_ASKED = "the journal was damaged, and it may have been answered already: ask for it again"
_UNSURE_MESSAGE = "the journal was damaged: it may have been delivered, or not"
_ACTIVE = {str(state) for state in ACTIVE}
_UNFINISHED = {*_ACTIVE, str(WorkerState.QUEUED)}
_WORKING = str(WorkerState.WORKING)
_BY_RECORD = " by its record"
_ENDED = {str(state) for state in ENDED}
# What an attempt has before anything is known of it.
_NEW = {
    **{"pid": 0, "ticks": 0, "pane": "", "reason": "", "status": None, "resumes": 0, "checking": 0.0},
    **{"result": "", "source": "", "changes": "{}", "record": "{}"},
}


@dataclass(frozen=True, slots=True)
class Trace:
    """The last attempt of a worker that is known outside of the journal; `started` when it ran.

    `status` and `result` are what it left when it ended.
    """

    attempt: int
    started: bool
    status: int | None = None
    result: str = ""


def rebuild(found: Salvage, traces: Mapping[int, Trace], text: str, now: float) -> None:
    """Complete the rows of a salvage by what is known from elsewhere, and tell `text` in the event log.

    Workers whose row is lost come back by their directive's plan and their transitions, else by their trace
    alone. One that ran is about to start, so that the engine finds out what became of it; one that was queued
    and is not sure to be so any more is lost.
    """
    _Rebuilder(found, now).rebuild(traces, text)


class _Rebuilder:
    def __init__(self, found: Salvage, now: float) -> None:
        self._found, self._rows, self._now = found, found.rows, now
        self._workers, self._directives = self._rows["workers"], self._rows["directives"]
        # Where the last ones are lost, their numbers must not be given again: programs know them.
        last = max(max(self._rows[table], default=0) for table in SERIES)
        self._number = 1 + last + (0 if found.is_whole else _STEP)
        self._sure = set() if found.is_behind else set(self._workers)

    def rebuild(self, traces: Mapping[int, Trace], text: str) -> None:
        """Bring all into a state that an engine can go on with."""
        origins = self._origins()
        self._keep_numbers(origins)
        for number, directive in self._directives.items():
            self._plan_again(number, directive)
        for number in sorted((traces.keys() | origins.keys()) - self._workers.keys()):
            spec: Row = {"name": f"w{number}", "type": UNKNOWN_TYPE, "task": ""}
            self._add(number, origins.get(number, 0), spec)
        self._tell_ends(traces)
        for number, row in sorted(self._workers.items()):
            self._settle(number, row, traces.get(number))
        for number, directive in self._directives.items():
            self._settle_directive(number, directive)
        self._settle_messages()
        self._append("events", {"tag": str(Tag.ERROR), "text": text})
        self._note()

    def _tell_ends(self, traces: Mapping[int, Trace]) -> None:
        """Fill in what is known of the ends of workers whose rows are lost."""
        for number in self._workers.keys() - self._sure:
            row, step, trace = self._workers[number], self._last_step(number), traces.get(number)
            if row["ended"] is not None or step is None or row["state"] not in _ENDED:
                continue
            row["ended"] = step["time"]
            if row["state"] != WorkerState.DONE:
                row["reason"] = row["reason"] or str(step["evidence"]).removesuffix(_BY_RECORD)
            if trace is not None and trace.attempt == row["attempt"]:
                row |= {"status": trace.status, "result": trace.result}

    def _origins(self) -> dict[int, int]:
        """Return by worker which directive it is of, as far as transitions tell."""
        found = {}
        for step in self._rows["transitions"].values():
            match = _ORIGIN.fullmatch(str(step["evidence"]))
            if match is not None:
                found[int(str(step["worker"]))] = int(match[1])
        return found

    def _keep_numbers(self, origins: Mapping[int, int]) -> None:
        """Put something in the place of directives that are lost: nobody else is to get their numbers."""
        known = {*origins.values(), *(int(str(row["directive"])) for row in self._workers.values())}
        known |= {int(str(row["directive"])) for row in self._rows["decisions"].values()}
        for number in sorted(known - self._directives.keys() - {0}):
            self._directives[number] = blank("directives") | {
                "number": number, "key": f"lost:{number}", "conversation": 0, "source": str(Source.CLI),
                "provenance": "", "position": "", "received_as": "", "payload": "{}",
                "state": str(DirectiveState.IGNORED), "reason": _GONE, "created": self._now,
            }  # fmt: skip

    def _plan_again(self, number: int, directive: Row) -> None:
        """Add the workers of a directive whose rows are lost."""
        is_running = directive["state"] == DirectiveState.RUNNING
        if not is_running and directive["state"] != DirectiveState.DONE:
            return
        plan = json.loads(str(directive["plan"] or "[]"))
        specs = [spec for spec in plan if isinstance(spec, dict) and {"name", "type", "task"} <= spec.keys()]
        first = self._first_of(number, specs)
        if first is None and is_running and not self._of(number):
            first = 1 + max(self._workers, default=0)
        if first is None:
            return
        names = {str(spec["name"]): self._name_at(first + index, spec) for index, spec in enumerate(specs)}
        for index, spec in enumerate(specs):
            if first + index not in self._workers:
                after = [names.get(name, name) for name in _texts(spec.get("after"))]
                self._add(first + index, number, {**spec, "after": after})

    def _first_of(self, directive: int, specs: list[Row]) -> int | None:
        """Return the number of a directive's first worker: they are numbered in the order of its plan."""
        for number in self._of(directive):
            for index, spec in enumerate(specs):
                if re.fullmatch(
                    rf"{re.escape(str(spec['name']))}(-\d+)?", str(self._workers[number]["name"])
                ):
                    return number - index
        numbers = {number for number, origin in self._origins().items() if origin == directive}
        return min(numbers) if numbers and len(numbers) == len(specs) else None

    def _of(self, directive: int) -> list[int]:
        return sorted(number for number, row in self._workers.items() if row["directive"] == directive)

    def _name_at(self, number: int, spec: Row) -> str:
        row = self._workers.get(number)
        return str(row["name"]) if row else self._free_name(str(spec["name"]))

    def _free_name(self, wanted: str) -> str:
        return unique_name(wanted, {str(row["name"]) for row in self._workers.values()})

    def _add(self, number: int, directive: int, spec: Row) -> None:
        """Add a worker whose row is lost, in the state that its last transition tells."""
        step = self._last_step(number) or {"attempt": 1, "state": str(WorkerState.LOST)}
        name = self._free_name(str(spec["name"]))
        self._workers[number] = blank("workers") | {
            "number": number, "directive": directive, "name": name, "type": str(spec["type"]),
            "task": str(spec["task"]), "after": json.dumps(_texts(spec.get("after"))),
            "idempotent": int(bool(spec.get("idempotent"))), "state": step["state"],
            "on_failure": spec.get("on_failure") if spec.get("on_failure") in POLICIES else DEFAULT_POLICY,
            "reason": _LOST.format(name=name) if step["state"] == WorkerState.LOST else "",
            "attempt": step["attempt"], "created": self._now, "started": self._began(number),
        }  # fmt: skip

    def _began(self, worker: int) -> object:
        """Return when the last attempt began to work, None when that is not known."""
        steps = self._rows["transitions"].items()
        times = {
            n: step["time"] for n, step in steps if (step["worker"], step["state"]) == (worker, _WORKING)
        }
        return times[max(times)] if times else None

    def _last_step(self, worker: int) -> Row | None:
        steps = self._rows["transitions"]
        last = max((number for number, step in steps.items() if step["worker"] == worker), default=None)
        return None if last is None else steps[last]

    def _settle(self, number: int, row: Row, trace: Trace | None) -> None:
        """Bring a worker into the state that its trace tells."""
        is_sure = number in self._sure
        if trace is not None and self._is_news(row, trace, is_sure=is_sure):
            row |= _NEW | {"attempt": trace.attempt, "state": str(WorkerState.STARTING)}
        ran = trace is not None and trace.started and trace.attempt == row["attempt"]
        if row["state"] in _UNFINISHED and not ran and not is_sure:
            row |= {"state": str(WorkerState.LOST), "reason": _LOST.format(name=row["name"])}
        now = {"worker": number, "attempt": row["attempt"], "state": row["state"]}
        last = self._last_step(number) or {}
        if {name: last.get(name) for name in now} != now:
            self._append("transitions", {**now, "evidence": "its trace, after the journal was damaged"})

    def _is_news(self, row: Row, trace: Trace, *, is_sure: bool) -> bool:
        """Say whether a trace tells of an attempt that the row does not know, or not for sure."""
        known = int(str(row["attempt"]))
        doubted = {WorkerState.QUEUED} if is_sure else {*_UNFINISHED, WorkerState.LOST}
        return trace.attempt > known or (trace.started and trace.attempt == known and row["state"] in doubted)

    def _settle_directive(self, number: int, directive: Row) -> None:
        states = [self._workers[worker]["state"] for worker in self._of(number)]
        if directive["state"] == DirectiveState.RUNNING and states and all(one in _ENDED for one in states):
            self._decide(number, directive, DirectiveState.DONE, "")
        elif directive["state"] == DirectiveState.ASKING and self._found.is_behind:
            self._decide(number, directive, DirectiveState.IGNORED, _ASKED)

    def _settle_messages(self) -> None:
        """Let none be typed that may have been typed already."""
        for row in self._rows["messages"].values() if not self._found.is_whole else ():
            if row["state"] in OPEN:
                row |= {"state": str(MessageState.UNSURE), "reason": _UNSURE_MESSAGE}

    def _decide(self, number: int, directive: Row, state: DirectiveState, reason: str) -> None:
        directive |= {"state": str(state), "reason": reason}
        self._append("decisions", {"directive": number, "state": str(state), "reason": reason})

    def _append(self, table: str, row: Row) -> None:
        self._rows[table][self._number] = {"number": self._number, "time": self._now, **row}
        self._number += 1

    def _note(self) -> None:
        """Note in the journal what an engine has to know of this."""
        names = {str(row["name"]) for row in self._rows["meta"].values()}
        if "begun" not in names and (self._directives or self._workers):
            _set_meta(self._rows, "begun", True)
        conversations = [int(str(row["conversation"])) for row in self._directives.values()]
        if "conversation" not in names and conversations:
            _set_meta(self._rows, "conversation", max(conversations))
        if not self._found.is_whole:
            _set_meta(self._rows, UNSURE, True)
            # How far somebody read may be older than what was taken then.
            _set_meta(self._rows, "fusion", None)
            self._rows["session_files"].clear()
        _set_meta(self._rows, GAPS, missing(self._rows))


def _set_meta(rows: Rows, name: str, value: object) -> None:
    table = rows["meta"]
    for rowid in [rowid for rowid, row in table.items() if row["name"] == name]:
        del table[rowid]
    table[max(table, default=0) + 1] = {"name": name, "value": json.dumps(value)}


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
