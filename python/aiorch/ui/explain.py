"""`aiorch explain WORKER`: what shows the state of a worker, the strongest first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from aiorch.journal import ACTIVE, Transition, WorkerRow
from aiorch.ui.terminal import printable
from aiorch.workers.evidence import Evidence, decide, in_order, read_back

_STEPS = 6


def explained(row: WorkerRow, steps: Sequence[Transition], now: float) -> dict[str, object]:
    """Return what shows a worker's state as a JSON object; ages in seconds, the strongest evidence first."""
    chain = in_order(read_back(row.shows).values())
    verdict = decide(chain)
    return {
        "worker": row.name,
        "state": str(row.state),
        "waits": row.waits,
        "agent": {"state": str(verdict.state), "reason": verdict.reason, "rule": verdict.rule,
                  "source": verdict.source},
        "evidence": [_as_json(one, now) for one in chain],
        "silent": silent_for(row, now),
        "steps": [
            {"state": str(step.state), "evidence": step.evidence, "attempt": step.attempt, "time": step.time}
            for step in steps
        ],
    }  # fmt: skip


def explanation(row: WorkerRow, steps: Sequence[Transition], now: float) -> str:
    """Return what shows a worker's state as text for people."""
    return printable("\n".join(_lines(row, steps, now)))


def silent_for(row: WorkerRow, now: float) -> float | None:
    """Return for how many seconds a worker has printed nothing, None when it is not under way.

    The kernel notes it to 8 seconds.
    """
    if row.state not in ACTIVE:
        return None
    try:
        return max(0.0, now - Path(f"/proc/{row.pid}/fd/0").stat().st_mtime)
    except OSError:
        return None


def _lines(row: WorkerRow, steps: Sequence[Transition], now: float) -> Iterator[str]:
    chain = in_order(read_back(row.shows).values())
    yield f"{row.name} is {row.state}" + (f": {row.waits or row.reason}" if row.waits or row.reason else "")
    if chain:
        verdict = decide(chain)
        yield f"its agent is {verdict.state}, by {verdict.rule}"
        yield ""
        yield "EVIDENCE  STATE    FOR     RULE"
    for one in chain:
        verdict = one.verdict
        reason = f"  {verdict.reason}" if verdict.reason else ""
        age = _age(now - one.since)
        yield f"{verdict.source:<8}  {verdict.state:<7}  {age:<6}  {verdict.rule}{reason}"
    silent = silent_for(row, now)
    if silent is not None:
        yield f"silence            {_age(silent)}"
    yield ""
    for step in steps[-_STEPS:]:
        clock = time.strftime("%H:%M:%S", time.localtime(step.time))
        yield f"{clock}  {step.state:<8}  {step.evidence}"


def _as_json(one: Evidence, now: float) -> dict[str, object]:
    verdict = one.verdict
    return {
        "source": verdict.source, "state": str(verdict.state), "reason": verdict.reason,
        "rule": verdict.rule, "age": round(now - one.since, 3),
    }  # fmt: skip


def _age(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
