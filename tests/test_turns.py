"""Whose turn it is: fair among directives, within the limits."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch import machine
from aiorch.config import Config
from aiorch.engine.turns import in_turn, room
from aiorch.journal import Journal, WorkerRow, WorkerState
from aiorch.plan.schema import WorkerSpec


def worker(number: int, directive: int) -> WorkerRow:
    return WorkerRow(
        number, directive, f"w{number}", "step", "", "", (), WorkerState.QUEUED, "", 1, 0.0, "", 0, None, "",
        0.0, None, None,
    )  # fmt: skip


@given(
    ready=st.lists(st.integers(1, 5), max_size=40),
    active=st.lists(st.integers(1, 5), max_size=10),
    places=st.integers(0, 12),
)
def test_no_directive_has_two_places_more_than_one_that_waits(
    ready: list[int], active: list[int], places: int
) -> None:
    rows = [worker(number, directive) for number, directive in enumerate(ready)]
    order = in_turn(rows, [worker(100 + n, directive) for n, directive in enumerate(active)])
    assert sorted(row.number for row in order) == [row.number for row in rows]
    had = Counter(active)
    for row in order[:places]:
        waiting = [other.directive for other in order[places:]]
        had[row.directive] += 1
        assert all(had[row.directive] <= max(had[other] + 1, Counter(active)[row.directive] + 1)
                   for other in waiting)  # fmt: skip
    for directive in set(ready):
        own = [row.number for row in order if row.directive == directive]
        assert own == sorted(own)


def test_a_small_plan_does_not_wait_for_a_large_one() -> None:
    rows = [*(worker(n, 1) for n in range(100)), worker(200, 2)]
    assert [row.number for row in in_turn(rows, [])[:4]] == [0, 200, 1, 2]
    assert in_turn(rows, [worker(300, 1)])[0].number == 200


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def test_room_is_what_the_cap_leaves(journal: Journal) -> None:
    assert room(journal, Config(max_workers=4), 1).count == 3
    assert room(journal, Config(max_workers=4), 9).count == 0
    assert room(journal, Config(max_workers=4), 4).reason == "at most 4 work at once"


def test_no_more_start_within_a_minute_than_allowed(journal: Journal) -> None:
    config = Config(max_workers=9, max_per_minute=2)
    for name in "ab":
        number = journal.add_worker(1, WorkerSpec(name, "step", "x"))
        journal.move_worker(number, WorkerState.STARTING, "a place is free")
    found = room(journal, config, 0)
    assert (found.count, found.reason) == (0, "at most 2 start in a minute")
    assert found.again is not None
    assert 50 < found.again - time.time() <= 60
    assert room(journal, replace(config, max_per_minute=0), 0).count == 9


def test_too_little_memory_holds_the_queue(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(min_free_memory=500)
    monkeypatch.setattr(machine, "free_memory", lambda: 400 * machine.MIB)
    found = room(journal, config, 0)
    assert (found.count, found.reason) == (0, "419 MB of memory are free, less than min_free_memory")
    assert found.again is not None
    for free in (600 * machine.MIB, None):
        monkeypatch.setattr(machine, "free_memory", lambda free=free: free)
        assert room(journal, config, 0).count == 4


def test_sizes_are_short() -> None:
    assert [machine.size(number) for number in (0, 999, 87_000_000, 3_100_000_000)] == [
        "0 B", "999 B", "87 MB", "3.1 GB",
    ]  # fmt: skip
