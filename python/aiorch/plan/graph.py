"""Dependencies between the workers of one plan."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiorch.errors import DirectiveError
from aiorch.plan.schema import DEFAULT_POLICY, WorkerSpec

WAITING, DONE, SKIPPED = "queued", "done", "skipped"
_BROKEN: Mapping[str, str] = {"failed": "failed", "killed": "was stopped", SKIPPED: "was skipped"}


@dataclass(frozen=True, slots=True)
class Link:
    """A worker's place in its plan: what it waits for, and what follows when one of those fails."""

    name: str
    after: tuple[str, ...] = ()
    on_failure: str = DEFAULT_POLICY


@dataclass(frozen=True, slots=True)
class Readiness:
    """What may start now, and what is not to be started as things are, with the reason."""

    ready: tuple[str, ...]
    skipped: Mapping[str, str]


def validate(workers: Sequence[WorkerSpec], others: Collection[str] = ()) -> None:
    """Raise DirectiveError when `after` names an unknown worker or the order is a circle.

    `others` are workers of earlier plans, which may be waited for, too; one of this plan comes first.
    """
    names = {worker.name for worker in workers}
    known = names | set(others)
    for worker in workers:
        for name in worker.after:
            if name not in known:
                near = difflib.get_close_matches(name, known - {worker.name}, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise DirectiveError(
                    f'"after" of {worker.name} names {name}, which is not in this plan or run{hint}'
                )
    waiting = {worker.name: names.intersection(worker.after) for worker in workers}
    while free := [name for name, before in waiting.items() if not before]:
        for name in free:
            del waiting[name]
        for before in waiting.values():
            before.difference_update(free)
    if waiting:
        raise DirectiveError(f'"after" goes in a circle: {" -> ".join(_circle(waiting))}')


def look(links: Sequence[Link], states: Mapping[str, str]) -> Readiness:
    """Return which workers of a plan may start and which are to be skipped, both in the plan's order.

    `states` are the words of the life cycle; only those that are queued are decided about. One that is lost
    may still be done: whoever waits for it goes on waiting.
    """
    states, skipped = dict(states), dict[str, str]()
    while True:
        why = _stop_reason(links, states)
        new = {
            link.name: reason
            for link in links
            if states[link.name] == WAITING and (reason := why or _skip_reason(link, states))
        }
        if not new:
            break
        skipped |= new
        states |= dict.fromkeys(new, SKIPPED)
    ready = tuple(link.name for link in links if states[link.name] == WAITING and _is_free(link, states))
    return Readiness(ready, {link.name: skipped[link.name] for link in links if link.name in skipped})


def revived(links: Sequence[Link], states: Mapping[str, str], name: str) -> list[str]:
    """Return the skipped workers that wait again once `name` is tried again."""
    was_skipped = [link.name for link in links if states[link.name] == SKIPPED]
    hoped = {**states, **dict.fromkeys([name, *was_skipped], WAITING)}
    still = look(links, hoped).skipped
    return [one for one in was_skipped if one != name and one not in still]


def _stop_reason(links: Sequence[Link], states: Mapping[str, str]) -> str:
    """Return why nothing of the plan is begun any more, '' when that is not so."""
    for link in links:
        if link.on_failure == "stop":
            own = [link.name] if states[link.name] != SKIPPED else []
            for name in _broken([*own, *link.after], states):
                return f"{name} {_BROKEN[states[name]]}, and the plan stops then"
    return ""


def _skip_reason(link: Link, states: Mapping[str, str]) -> str:
    broken = [] if link.on_failure == "run" else _broken(link.after, states)
    return f"{broken[0]} {_BROKEN[states[broken[0]]]}" if broken else ""


def _is_free(link: Link, states: Mapping[str, str]) -> bool:
    return all(states[name] == DONE or states[name] in _BROKEN for name in link.after)


def _broken(names: Iterable[str], states: Mapping[str, str]) -> list[str]:
    return [name for name in names if states[name] in _BROKEN]


def _circle(waiting: dict[str, set[str]]) -> list[str]:
    # Every worker left waits for one that is left too, so walking must come back to a known one.
    path: list[str] = []
    name = min(waiting)
    while name not in path:
        path.append(name)
        name = min(before for before in waiting[name] if before in waiting)
    return [*path[path.index(name) :], name]
