"""Whose turn it is to start: fair among directives, and not faster than the limits let them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiorch import machine
from aiorch.config import Config
from aiorch.journal import Journal, WorkerRow

MINUTE = 60.0
MEMORY_SECONDS = 5.0
"""How often free memory is looked at while it holds the queue."""


def in_turn(ready: Sequence[WorkerRow], active: Iterable[WorkerRow]) -> list[WorkerRow]:
    """Return workers that may start in the order of their turns.

    Each place goes to the directive that has the fewest, the oldest of equals: a plan of a hundred workers
    does not keep another one waiting.
    """
    places = Counter(row.directive for row in active)
    queues: dict[int, deque[WorkerRow]] = {}
    for row in ready:
        queues.setdefault(row.directive, deque()).append(row)
    order = []
    while queues:
        directive = min(queues, key=lambda number: (places[number], queues[number][0].number))
        order.append(queues[directive].popleft())
        places[directive] += 1
        if not queues[directive]:
            del queues[directive]
    return order


@dataclass(frozen=True, slots=True)
class Room:
    """How many may start now, what keeps the others, and when to look again (seconds since the epoch)."""

    count: int
    reason: str = ""
    again: float | None = None


def room(journal: Journal, config: Config, active: int) -> Room:
    """Return how many workers may start now, with `active` ones under way."""
    found = Room(max(0, config.max_workers - active), f"at most {config.max_workers} work at once")
    now, most = time.time(), config.max_per_minute
    begun = [at for at in journal.last_begun(most) if at > now - MINUTE]
    if most and most - len(begun) < found.count:
        again = min(begun, default=now) + MINUTE
        found = Room(most - len(begun), f"at most {most} start in a minute", again)
    free = machine.free_memory() if config.min_free_memory and found.count else None
    if free is not None and free < config.min_free_memory * machine.MIB:
        words = f"{machine.size(free)} of memory are free, less than min_free_memory"
        found = Room(0, words, now + MEMORY_SECONDS)
    return found
