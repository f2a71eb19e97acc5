"""A plan as text, and a plan without some of its workers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, replace
from functools import cache

from aiorch.errors import DirectiveError
from aiorch.plan.schema import WorkerSpec


def to_text(workers: Iterable[WorkerSpec]) -> str:
    """Return the workers of a plan as JSON, as a journal keeps them."""
    return json.dumps([asdict(worker) for worker in workers])


def from_text(text: str) -> list[WorkerSpec]:
    """Return the workers of a plan that `to_text` wrote, none for an empty text."""
    return [WorkerSpec(**{**item, "after": tuple(item["after"])}) for item in json.loads(text or "[]")]


def to_payload(workers: Iterable[WorkerSpec]) -> list[dict[str, object]]:
    """Return the workers of a plan in the form in which a directive names them."""
    given: list[dict[str, object]] = []
    for worker in workers:
        more: dict[str, object] = {
            "after": list(worker.after),
            "host": worker.host,
            "idempotent": worker.idempotent,
        }
        more["on_failure"] = worker.on_failure
        said: dict[str, object] = {name: value for name, value in more.items() if value}
        given.append({"name": worker.name, "type": worker.type, "task": worker.task, **said})
    return given


def without(workers: Sequence[WorkerSpec], names: Collection[str]) -> list[WorkerSpec]:
    """Return a plan without the workers of these names; who waited for one waits for what that waited for.

    Raises DirectiveError for a name that is not in the plan, and when nothing is left.
    """
    known = {worker.name: worker for worker in workers}
    for name in names:
        if name not in known:
            raise DirectiveError(f"the plan has no worker {name!r:.60}; it has {', '.join(known)}")
    left = [worker for worker in workers if worker.name not in names]
    if not left:
        raise DirectiveError("nothing of the plan is left: decline it instead")

    @cache
    def stands_for(name: str) -> tuple[str, ...]:
        # The order has no circle: a plan that had one was refused.
        return _joined(map(stands_for, known[name].after)) if name in names else (name,)

    return [replace(worker, after=_joined(map(stands_for, worker.after))) for worker in left]


def _joined(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in parts for name in part))
