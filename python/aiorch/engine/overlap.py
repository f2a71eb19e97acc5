"""Tells when two workers in worktrees change the same file, while it can still be helped."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from itertools import combinations

from aiorch.errors import AiorchError
from aiorch.journal import Journal, Tag, WorkerRow
from aiorch.tree import Tree
from aiorch.workers.work import touched

LOOK_SECONDS = 30.0
# Of one core, at most so much goes to looking: in a large repository git takes its time.
_SHARE = 0.01
_SHOWN = 3
_MOST = 200

log = logging.getLogger(__name__)


class Overlaps:
    """Compares what the workers of one run changed; every method is called on the engine's thread only.

    It looks when one ends, and while two or more work every LOOK_SECONDS, or more rarely where that costs
    too much. `wake` is called on another thread when `collect` has work.
    """

    def __init__(self, journal: Journal, wake: Callable[[], None]) -> None:
        self._journal, self._wake = journal, wake
        self._found: queue.SimpleQueue[tuple[dict[int, set[str]], float]] = queue.SimpleQueue()
        self._is_looking = False
        self._ended: set[int] = set()
        # What an earlier engine left is looked at first.
        self._at: float | None = 0.0

    @property
    def due(self) -> float | None:
        """Return when `pass_time` has something to do (seconds since the epoch)."""
        return None if self._is_looking else self._at

    def started(self) -> None:
        """Take note that a worker with a worktree works."""
        if self._at is None:
            self._at = time.time() + LOOK_SECONDS

    def ended(self, row: WorkerRow) -> None:
        """Take note that a worker with a worktree has ended."""
        self._ended.add(row.number)
        self._at = time.time()

    def pass_time(self) -> None:
        """Begin to look when it is time and there is something to compare."""
        if self.due is None or self.due > time.time():
            return
        self._at = None
        working = {row.number for row in self._journal.active()}
        wanted = working | self._ended
        self._ended = set()
        trees = {number: tree for number, tree in self._journal.trees().items() if number in wanted}
        if working & trees.keys() and len(trees) > 1:
            self._is_looking = True
            threading.Thread(target=self._look, args=(trees,), name="overlap", daemon=True).start()

    def collect(self) -> None:
        """Tell what the last look has found and was not told before."""
        while not self._found.empty():
            files, seconds = self._found.get()
            self._is_looking = False
            working = {row.number for row in self._journal.active()} & self._journal.trees().keys()
            if self._at is None and len(working) > 1:
                self._at = time.time() + max(LOOK_SECONDS, seconds / _SHARE)
            for one, other in combinations(sorted(files), 2):
                if both := files[one] & files[other]:
                    self._tell(one, other, both)

    def _look(self, trees: Mapping[int, Tree]) -> None:
        """Run on a thread of its own: nothing here touches the journal."""
        files, begun = {}, time.monotonic()
        for number, tree in trees.items():
            try:
                files[number] = {f"{tree.common}\0{name}" for name in touched(tree)}
            except (AiorchError, OSError):
                log.info("the files of worker %s cannot be compared", number, exc_info=True)
        self._found.put((files, time.monotonic() - begun))
        self._wake()

    def _tell(self, one: int, other: int, both: set[str]) -> None:
        known = self._journal.overlaps().get((one, other), [])
        new = sorted({name.partition("\0")[2] for name in both} - set(known))[: max(0, _MOST - len(known))]
        if not new:
            return
        names = [self._journal.worker(number).name for number in (one, other)]
        more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
        with self._journal.transaction():
            self._journal.add_overlap(one, other, [*known, *new])
            text = f"{names[0]} and {names[1]} both change {', '.join(new[:_SHOWN])}{more}"
            self._journal.add_event(Tag.OVERLAP, text)
