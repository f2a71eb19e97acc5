"""Which workers of a plan may start, and which orders make no sense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.errors import DirectiveError
from aiorch.plan.graph import Readiness, ready, validate
from aiorch.plan.schema import Plan, Request, WorkerSpec

REQUEST = Request("t", None, None, None, ())


def plan_of(**after: str) -> Plan:
    workers = tuple(WorkerSpec(name, "simple", "t", tuple(names.split())) for name, names in after.items())
    return Plan(REQUEST, workers)


CHAIN = plan_of(a="", b="a", c="b", d="")


def test_workers_without_dependencies_start_at_once() -> None:
    assert ready(CHAIN, (), ()) == Readiness(("a", "d"), ())


def test_started_and_settled_workers_are_not_ready_again() -> None:
    assert ready(CHAIN, ["a"], ["d"], started=["b"]) == Readiness((), ())


def test_worker_starts_when_all_before_it_are_done() -> None:
    plan = plan_of(a="", b="", c="a b")
    assert ready(plan, ["a"], (), started=["b"]).ready == ()
    assert ready(plan, ["a", "b"], ()).ready == ("c",)


def test_failure_blocks_everything_behind_it() -> None:
    assert ready(CHAIN, (), ["a"]) == Readiness(("d",), ("b", "c"))


def test_worker_that_is_done_does_not_pass_on_an_older_failure() -> None:
    assert ready(CHAIN, ["b"], ["a"]) == Readiness(("c", "d"), ())


def test_unknown_name_is_refused() -> None:
    with pytest.raises(DirectiveError, match="b names nope, which is not in this plan"):
        validate(plan_of(a="", b="nope").workers)


def test_circle_is_refused_and_shown() -> None:
    with pytest.raises(DirectiveError, match="circle: b → c → b"):
        validate(plan_of(a="", x="b", b="c a", c="b").workers)


def test_worker_after_itself_is_a_circle() -> None:
    with pytest.raises(DirectiveError, match="circle: a → a"):
        validate(plan_of(a="a").workers)


names = st.sampled_from("abcdef")


@given(st.dictionaries(names, st.sets(names, max_size=3), min_size=1))
def test_valid_orders_run_to_the_end_and_others_are_refused(edges: dict[str, set[str]]) -> None:
    plan = Plan(REQUEST, tuple(WorkerSpec(n, "simple", "t", tuple(sorted(a))) for n, a in edges.items()))
    try:
        validate(plan.workers)
    except DirectiveError:
        return
    done: list[str] = []
    while len(done) < len(plan.workers):
        now = ready(plan, done, ())
        assert now.ready
        assert not now.never
        done += now.ready
