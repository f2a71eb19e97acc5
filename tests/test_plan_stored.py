"""A plan as text, and a plan without some of its workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.errors import DirectiveError
from aiorch.plan import graph
from aiorch.plan.schema import MAX_WORKERS, WorkerSpec
from aiorch.plan.stored import from_text, to_text, without

CHAIN = [
    WorkerSpec("build", "sparc", "x"),
    WorkerSpec("check", "sparc", "y", after=("build",)),
    WorkerSpec("lint", "sparc", "y"),
    WorkerSpec(
        "ship", "sparc", "z\n#(touch bad)", after=("check", "lint"), on_failure="stop", idempotent=True
    ),
]


@st.composite
def plans(draw: st.DrawFn) -> list[WorkerSpec]:
    count = draw(st.integers(1, 8))
    befores = [draw(st.sets(st.integers(0, max(0, index - 1)))) if index else set() for index in range(count)]
    return [
        WorkerSpec(f"w{index}", "sparc", "x", tuple(f"w{one}" for one in sorted(before)))
        for index, before in enumerate(befores)
    ]


def _before(workers: list[WorkerSpec], name: str) -> set[str]:
    """Return all that a worker waits for, also by way of others."""
    own = next(worker for worker in workers if worker.name == name).after
    return set(own).union(*(_before(workers, one) for one in own))


def test_a_stored_plan_is_read_as_it_was() -> None:
    assert from_text(to_text(CHAIN)) == CHAIN
    assert from_text("") == []


def test_who_waited_for_a_dropped_worker_waits_for_what_that_waited_for() -> None:
    left = without(CHAIN, ["check"])
    assert [worker.name for worker in left] == ["build", "lint", "ship"]
    assert left[-1].after == ("build", "lint")
    assert without(CHAIN, ["check", "build", "lint"])[0].after == ()


def test_nothing_is_dropped_that_is_not_there_and_never_all() -> None:
    with pytest.raises(DirectiveError, match=r"no worker 'chekc'; it has build, check, lint, ship"):
        without(CHAIN, ["build", "chekc"])
    with pytest.raises(DirectiveError, match="decline it instead"):
        without(CHAIN, [worker.name for worker in CHAIN])


@given(plans(), st.data())
def test_what_is_left_keeps_its_order(plan: list[WorkerSpec], data: st.DataObject) -> None:
    names = [worker.name for worker in plan]
    dropped = data.draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
    left = without(plan, dropped)
    graph.validate(left)
    for worker in left:
        assert _before(left, worker.name) == _before(plan, worker.name) - dropped


def test_a_plan_as_entangled_as_can_be_is_cut_at_once() -> None:
    names = [f"w{index}" for index in range(MAX_WORKERS)]
    plan = [WorkerSpec(name, "sparc", "x", tuple(names[:index])) for index, name in enumerate(names)]
    assert without(plan, names[:-1])[0].after == ()
