"""Dependencies between the workers of one plan."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from aiorch.errors import DirectiveError
from aiorch.plan.schema import Plan, WorkerSpec


@dataclass(frozen=True, slots=True)
class Readiness:
    """What may start now, and what never can because something before it failed."""

    ready: tuple[str, ...]
    never: tuple[str, ...]


def validate(workers: Sequence[WorkerSpec]) -> None:
    """Raise DirectiveError when `after` names an unknown worker or the order is a circle."""
    names = {worker.name for worker in workers}
    for worker in workers:
        for name in worker.after:
            if name not in names:
                raise DirectiveError(f'"after" of {worker.name} names {name}, which is not in this plan')
    waiting = {worker.name: set(worker.after) for worker in workers}
    while free := [name for name, before in waiting.items() if not before]:
        for name in free:
            del waiting[name]
        for before in waiting.values():
            before.difference_update(free)
    if waiting:
        raise DirectiveError(f'"after" goes in a circle: {" → ".join(_circle(waiting))}')


def ready(
    plan: Plan, done: Collection[str], failed: Collection[str], started: Collection[str] = ()
) -> Readiness:
    """Return which workers may start now and which never can, both in the plan's order.

    `failed` are workers that will not be tried again; `started` ones are running or queued already.
    Cancelled and lost workers count as failed.
    """
    lost = set(failed)
    grew = True
    while grew:
        more = {w.name for w in plan.workers if w.name not in lost and lost.intersection(w.after)}
        more -= set(done)
        grew = bool(more)
        lost |= more
    settled = set(done) | set(failed) | set(started)
    now = tuple(
        w.name
        for w in plan.workers
        if w.name not in settled and w.name not in lost and set(w.after) <= set(done)
    )
    return Readiness(now, tuple(w.name for w in plan.workers if w.name in lost and w.name not in settled))


def _circle(waiting: dict[str, set[str]]) -> list[str]:
    # Every worker left waits for one that is left too, so walking must come back to a known one.
    path: list[str] = []
    name = min(waiting)
    while name not in path:
        path.append(name)
        name = min(before for before in waiting[name] if before in waiting)
    return [*path[path.index(name) :], name]
