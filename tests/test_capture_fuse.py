"""What a pane shows and what the session file says: one directive, whoever is first."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from aiorch.capture.directive import Directive, Rejected, Sighting, Source
from aiorch.capture.fuse import (
    FIND_SECONDS,
    LONGEST_LOOK_SECONDS,
    LONGEST_SECONDS,
    NOT_IN_FILE,
    QUIET_SECONDS,
    Fusion,
    Outcome,
    Repeat,
    Serving,
)
from aiorch.capture.heard import Heard


def shown(task: str, **more: object) -> Directive:
    return Directive({"task": task, **more}, Source.SCREEN, "a row", "1:2", task, f"screen:{task}")


def said(task: str, number: int = 0, **more: object) -> Directive:
    payload = {"task": task, **more}
    return Directive(payload, Source.TRANSCRIPT, "text", "f:1", task, f"transcript:{number}#0")


def near(task: str = "x", source: Source = Source.SCREEN) -> Rejected:
    return Rejected("in a sentence", source, "1:2", task, f"screen:{task}", is_error=False)


def tasks(outcomes: list[Outcome] | list[Sighting]) -> list[object]:
    return [one.payload["task"] for one in outcomes if isinstance(one, Directive)]


def test_a_screen_without_a_file_is_believed_at_once() -> None:
    fusion = Fusion(Serving.SCREEN)
    assert fusion.screen([shown("a"), near()], 0.0) == [shown("a"), near()]
    assert fusion.due is None


def test_the_file_decides_and_the_screen_is_a_hint() -> None:
    fusion = Fusion(Serving.FILE)
    assert fusion.screen([shown("build it"), near()], 0.0) == []
    assert fusion.exact([said("build *it*")], 0.1) == [said("build *it*")]
    assert fusion.due is None


def test_what_the_file_said_first_is_no_news_on_the_screen() -> None:
    fusion = Fusion(Serving.FILE)
    assert fusion.exact([said("build *it*")], 0.0) == [said("build *it*")]
    assert fusion.screen([shown("build it")], 0.1) == []
    assert fusion.due is None


def test_two_equal_ones_in_the_file_are_two() -> None:
    fusion = Fusion(Serving.FILE)
    fusion.screen([shown("a")], 0.0)
    assert tasks(fusion.exact([said("a", 1), said("a", 2)], 0.1)) == ["a", "a"]


def test_the_screen_waits_for_a_file_to_be_found() -> None:
    fusion = Fusion(Serving.LOOKING)
    assert fusion.screen([shown("a"), near()], 5.0) == []
    assert fusion.due == 5.0 + FIND_SECONDS
    assert fusion.expire(5.0 + FIND_SECONDS / 2) == []
    assert fusion.expire(5.0 + FIND_SECONDS) == [near(), shown("a")]
    assert fusion.due is None


def test_a_file_that_comes_too_late_does_not_run_it_again() -> None:
    fusion = Fusion(Serving.LOOKING)
    fusion.screen([shown("say hi")], 0.0)
    assert tasks(fusion.expire(FIND_SECONDS)) == ["say hi"]
    fusion.serving = Serving.FILE
    assert fusion.exact([said('say "hi"', 1), said('say "hi"', 2)], 9.0) == [
        Repeat(said('say "hi"', 1), "it was taken from the screen already", "screen:say hi"),
        said('say "hi"', 2),
    ]


def test_a_missing_file_may_still_come() -> None:
    fusion = Fusion(Serving.MISSING)
    assert fusion.screen([shown("a")], 0.0) == [shown("a")]
    fusion.serving = Serving.FILE
    assert isinstance(fusion.exact([said("a")], 1.0)[0], Repeat)


def test_what_never_comes_to_the_file_is_asked() -> None:
    fusion = Fusion(Serving.FILE)
    fusion.screen([shown("lost")], 0.0)
    fusion.touch(3.0)
    assert fusion.expire(QUIET_SECONDS) == []
    (left,) = fusion.expire(3.0 + QUIET_SECONDS)
    assert isinstance(left, Directive)
    assert left.altered
    assert left.payload == {"task": "lost"}


def test_a_pane_that_never_rests_does_not_put_it_off_for_ever() -> None:
    fusion = Fusion(Serving.FILE)
    fusion.screen([shown("lost")], 0.0)
    for second in range(300):
        fusion.touch(float(second))
        assert fusion.expire(float(second)) == []
    assert tasks(fusion.expire(LONGEST_SECONDS)) == ["lost"]


def test_too_many_that_wait_are_told_once() -> None:
    fusion = Fusion(Serving.FILE)
    seen = [shown(f"number {index}") for index in range(1000)]
    (told,) = [told for one in seen for told in fusion.screen([one], 0.0)]
    assert isinstance(told, Rejected)
    assert told.is_error
    assert len(fusion.expire(QUIET_SECONDS)) == 64


def test_what_the_file_goes_on_without_is_told_and_not_asked() -> None:
    fusion = Fusion(Serving.FILE)
    fusion.screen([shown("a tool said this")], 0.0)
    fusion.grew(1.0)
    (left,) = fusion.expire(1.0 + QUIET_SECONDS)
    assert isinstance(left, Rejected)
    assert (left.reason, left.is_error) == (NOT_IN_FILE, False)


def test_joiners_of_emoji_that_the_file_lacks_come_from_the_screen() -> None:
    fusion = Fusion(Serving.FILE)
    fusion.screen([shown("ship it \U0001f469\u200d\U0001f4bb now")], 0.0)
    (taken,) = fusion.exact([said("ship it \U0001f469\U0001f4bb now")], 0.1)
    assert isinstance(taken, Directive)
    assert taken.payload == {"task": "ship it \U0001f469\u200d\U0001f4bb now"}
    assert taken.source is Source.TRANSCRIPT


def test_tasks_that_differ_by_a_number_are_kept_apart() -> None:
    fusion = Fusion(Serving.LOOKING)
    fusion.screen([shown("Write chapter 2 of the manual")], 0.0)
    assert tasks(fusion.expire(FIND_SECONDS)) == ["Write chapter 2 of the manual"]
    fusion.serving = Serving.FILE
    late = [said(f"Write chapter {number} of the manual", number) for number in (1, 2, 3)]
    assert [type(one) for one in fusion.exact(late, 9.0)] == [Directive, Repeat, Directive]


def test_what_waits_when_the_agent_goes_is_asked() -> None:
    fusion = Fusion(Serving.FILE)
    fusion.screen([shown("unsaid")], 0.0)
    fusion.leave()
    fusion.serving = Serving.SCREEN
    (left,) = fusion.expire(FIND_SECONDS)
    assert isinstance(left, Directive)
    assert left.altered
    assert fusion.due is None


def test_what_one_agent_was_believed_is_not_held_against_the_next() -> None:
    fusion = Fusion(Serving.MISSING)
    fusion.screen([shown("run the tests")], 0.0)
    fusion.leave()
    fusion.serving = Serving.FILE
    assert tasks(fusion.exact([said("run the tests")], 1.0)) == ["run the tests"]


def test_a_pane_that_goes_on_puts_off_the_look_for_a_file_but_not_for_long() -> None:
    fusion = Fusion(Serving.LOOKING)
    fusion.screen([shown("a")], 0.0)
    for tenth in range(100):
        fusion.touch(tenth / 10)
        assert fusion.expire(tenth / 10) == []
    assert tasks(fusion.expire(LONGEST_LOOK_SECONDS)) == ["a"]


def test_what_is_old_in_the_file_is_no_news_on_the_screen() -> None:
    fusion = Fusion(Serving.FILE)
    fusion.screen([shown("from yesterday")], 0.0)
    fusion.remember([{"task": "from yesterday"}])
    assert fusion.due is None
    assert fusion.screen([shown("from yesterday")], 1.0) == []
    assert fusion.due is None


def test_without_a_file_what_an_earlier_one_said_is_news() -> None:
    fusion = Fusion(Serving.MISSING)
    fusion.remember([{"task": "run the tests"}])
    assert tasks(fusion.screen([shown("run the tests")], 0.0)) == ["run the tests"]


def test_a_near_miss_waits_as_long_as_a_directive() -> None:
    fusion = Fusion(Serving.LOOKING)
    fusion.screen([near()], 100.0)
    assert fusion.due == 100.0 + FIND_SECONDS
    fusion.serving = Serving.FILE
    assert fusion.expire(100.0 + QUIET_SECONDS) == []
    assert fusion.due is None


def test_the_state_survives_a_restart() -> None:
    fusion = Fusion(Serving.FILE)
    fusion.screen([shown("a")], 0.0)
    fusion.exact([said("b")], 0.0)
    again = Fusion(Serving.FILE)
    again.restore(json.loads(json.dumps(fusion.state)), [{"task": "b"}], 100.0)
    assert again.due == 100.0 + QUIET_SECONDS
    assert again.screen([shown("b")], 100.0) == []
    assert tasks(again.expire(100.0 + QUIET_SECONDS)) == ["a"]


def test_each_finds_its_own_among_similar_ones() -> None:
    others = [{"task": f"Write the tests for module {letter}"} for letter in "ABC"]
    assert [Heard(9, others).alike(one) for one in others] == [0, 1, 2]


def test_ids_keep_similar_ones_apart() -> None:
    heard = Heard(9, [{"id": 2, "task": "a long task, the same"}])
    assert heard.alike({"id": 1, "task": "a long task, the same"}) is None


def test_what_rendering_ate_is_forgiven() -> None:
    drawn = {"task": "use bold and strong and under and init and make test"}
    exact = {"task": "use *bold* and **strong** and _under_ and __init__ and `make test`"}
    assert Heard(9, [{"task": "something else altogether"}, drawn]).alike(exact) == 1


words = st.text("abc *_", min_size=1, max_size=8)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30))
def test_each_of_the_files_runs_once_in_whatever_order_they_are_seen(order: list[tuple[bool, int]]) -> None:
    names = ["alpha", "bravo sierra", "charlie x-ray", "delta quebec", "echo tango one", "foxtrot oscar"]
    fusion = Fusion(Serving.LOOKING)
    ran: list[object] = []
    in_file: list[int] = []
    for now, (by_file, index) in enumerate(order):
        if by_file and index not in in_file:
            fusion.serving = Serving.FILE
            in_file.append(index)
            ran += tasks(fusion.exact([said(names[index], index)], float(now)))
        elif not by_file and index not in [names.index(str(task)) for task in ran]:
            ran += tasks(fusion.screen([shown(names[index])], float(now)))
        ran += tasks(fusion.expire(float(now)))
    ran += tasks(fusion.expire(1e9))
    assert len(ran) == len(set(map(str, ran)))
    assert {names[index] for index in in_file} <= set(ran)
