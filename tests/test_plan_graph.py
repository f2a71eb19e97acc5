"""Which workers of a plan may start, which are skipped, and which orders make no sense."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.errors import DirectiveError
from aiorch.plan.graph import Link, look, revived, validate
from aiorch.plan.schema import POLICIES, WorkerSpec


def links(policy: str = "skip", /, **after: str) -> list[Link]:
    return [Link(name, tuple(names.split()), policy) for name, names in after.items()]


def specs(**after: str) -> list[WorkerSpec]:
    return [WorkerSpec(name, "simple", "t", tuple(names.split())) for name, names in after.items()]


def states(**words: str) -> dict[str, str]:
    """Return the states of workers: `q` is queued, `d` done, `f` failed, `k` killed, `w` working, ..."""
    names = {"q": "queued", "d": "done", "f": "failed", "k": "killed", "w": "working", "l": "lost"}
    return {name: names.get(word, word) for name, word in words.items()}


CHAIN = links(a="", b="a", c="b", d="")


def test_workers_without_dependencies_start_at_once() -> None:
    assert look(CHAIN, states(a="q", b="q", c="q", d="q")).ready == ("a", "d")


def test_worker_starts_when_all_before_it_are_done() -> None:
    plan = links(a="", b="", c="a b")
    assert look(plan, states(a="d", b="w", c="q")).ready == ()
    assert look(plan, states(a="d", b="d", c="q")).ready == ("c",)


def test_failure_skips_everything_behind_it_and_says_why() -> None:
    found = look(CHAIN, states(a="f", b="q", c="q", d="q"))
    assert found.ready == ("d",)
    assert found.skipped == {"b": "a failed", "c": "b was skipped"}
    assert look(CHAIN, states(a="k", b="q", c="q", d="d")).skipped["b"] == "a was stopped"


def test_what_is_lost_may_still_be_done_and_is_waited_for() -> None:
    for policy in POLICIES:
        found = look(links(policy, a="", b="a"), states(a="l", b="q"))
        assert (found.ready, found.skipped) == ((), {})


def test_worker_that_is_to_run_anyway_waits_for_the_end_of_all_before_it() -> None:
    plan = links("run", a="", b="", c="a b")
    assert look(plan, states(a="f", b="w", c="q")).ready == ()
    assert look(plan, states(a="f", b="d", c="q")).ready == ("c",)
    assert look(plan, states(a="f", b="skipped", c="q")).ready == ("c",)


def test_stop_skips_what_has_not_begun_and_nothing_else() -> None:
    plan = links("stop", a="", b="a", c="", d="")
    found = look(plan, states(a="f", b="q", c="w", d="q"))
    assert found.ready == ()
    assert found.skipped == dict.fromkeys("bd", "a failed, and the plan stops then")


def test_one_worker_that_stops_the_plan_needs_a_failure_of_its_own_or_before_it() -> None:
    plan = [Link("a"), Link("b"), Link("c", ("b",), "stop"), Link("d")]
    assert look(plan, states(a="f", b="q", c="q", d="q")).skipped == {}
    assert set(look(plan, states(a="d", b="f", c="q", d="q")).skipped) == {"c", "d"}
    assert set(look(plan, states(a="d", b="d", c="f", d="q")).skipped) == {"d"}


def test_trying_again_brings_back_what_is_not_held_by_another_failure() -> None:
    plan = links(a="", b="a", c="b", x="", y="x a")
    now = states(a="f", b="skipped", c="skipped", x="f", y="skipped")
    assert revived(plan, now, "a") == ["b", "c"]
    assert revived(plan, now, "x") == []
    stopped = links("stop", a="", b="a", c="")
    assert revived(stopped, states(a="f", b="skipped", c="skipped"), "a") == ["b", "c"]


def test_unknown_name_is_refused_with_one_that_is_near() -> None:
    with pytest.raises(DirectiveError, match=r"b names nope, which is not in this plan or run$"):
        validate(specs(a="", b="nope"))
    with pytest.raises(
        DirectiveError, match=r"names frist, which is not in this plan or run; did you mean first[?]"
    ):
        validate(specs(first="", second="frist"))


def test_circle_is_refused_and_shown() -> None:
    with pytest.raises(DirectiveError, match=r"circle: b -> c -> b$"):
        validate(specs(a="", x="b", b="c a", c="b"))


def test_worker_after_itself_is_a_circle() -> None:
    with pytest.raises(DirectiveError, match=r"circle: a -> a$"):
        validate(specs(a="a"))


NAMES = st.sampled_from("abcdef")
EDGES = st.dictionaries(NAMES, st.sets(NAMES, max_size=3), min_size=1)


@given(EDGES)
def test_an_order_is_refused_exactly_when_it_has_a_circle_and_the_circle_is_true(
    edges: dict[str, set[str]],
) -> None:
    workers = [WorkerSpec(name, "simple", "t", tuple(sorted(after))) for name, after in edges.items()]
    try:
        validate(workers)
    except DirectiveError as error:
        circle = str(error).partition("circle: ")[2].split(" -> ")
        if circle == [""]:
            assert any(name not in edges for after in edges.values() for name in after)
            return
        assert circle[0] == circle[-1] and len(circle) == 1 + len(set(circle))
        assert all(then in edges[name] for name, then in itertools.pairwise(circle))
        return
    # Without a circle there is an order in which each comes after what it waits for.
    left = dict(edges)
    while left:
        free = [name for name, after in left.items() if not after & set(left)]
        assert free
        for name in free:
            del left[name]


@given(st.data())
def test_a_plan_always_ends_with_its_order_kept(data: st.DataObject) -> None:
    names = "abcdefg"[: data.draw(st.integers(1, 7))]
    plan = [
        Link(
            name,
            tuple(sorted(data.draw(st.sets(st.sampled_from(names[:at]), max_size=3)))) if at else (),
            data.draw(st.sampled_from(POLICIES)),
        )
        for at, name in enumerate(names)
    ]
    now = dict.fromkeys(names, "queued")
    began: list[str] = []
    while True:
        found = look(plan, now)
        now |= dict.fromkeys(found.skipped, "skipped")
        working = [name for name in names if now[name] == "working"]
        if not found.ready and not working:
            break
        if found.ready:
            name = data.draw(st.sampled_from(found.ready))
            link = plan[names.index(name)]
            assert all(now[one] in ("done", "failed", "skipped") for one in link.after)
            assert link.on_failure == "run" or all(now[one] == "done" for one in link.after)
            began.append(name)
            now[name] = "working"
        else:
            now[working[0]] = data.draw(st.sampled_from(["done", "failed"]))
    # Nothing waits for ever, and nothing is skipped without a failure.
    assert set(now.values()) <= {"done", "failed", "skipped"}
    assert len(began) == len(set(began))
    assert "skipped" not in now.values() or "failed" in now.values()
