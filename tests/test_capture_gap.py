"""What a pane printed while nobody read it, found by what was read before."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from aiorch.capture.gap import Missed, Shown, find_missed

WORDS = [f"line number {number} of the build" for number in range(60)]
LINES = st.lists(st.sampled_from(["$", "", "make: done", "ok 1", *WORDS[:9]]), max_size=40)


def said(task: str) -> str:
    return f'[ORCHESTRATE] {{"task": "{task}"}}'


def missed(known: list[str], shown: list[str], *, rows: int = 24, drawing: bool = False) -> Missed:
    return find_missed(known, Shown(shown, 80, rows), None, "gap-1:0", drawing=drawing)


def tasks(found: Missed) -> list[object]:
    return [one.payload["task"] for one in found.directives]


@given(before=LINES, between=LINES, after=LINES, cleared=st.integers(0, 5))
def test_what_follows_what_was_read_is_found_and_nothing_of_what_was_read(
    before: list[str], between: list[str], after: list[str], cleared: int
) -> None:
    old = [*WORDS[10:14], said("old"), *before, *WORDS[20:29]]
    shown = [*old, *between, said("new"), *after]
    found = missed(old, shown[cleared:])
    assert (tasks(found), found.is_whole, found.is_exact) == (["new"], True, True)
    assert not any(one.altered for one in found.directives)


def test_the_same_output_again_is_new() -> None:
    listing = [said("once"), *WORDS[:20]]
    found = missed([*WORDS[30:40], *listing], [*WORDS[30:40], *listing, *listing])
    assert tasks(found) == ["once"]


def test_a_redrawn_end_leaves_the_rest_to_whoever_knows_what_was_taken() -> None:
    known = [*WORDS[:9], said("old"), "> a box that is drawn anew"]
    found = missed(known, [*WORDS[:9], said("old"), said("new"), "> a box, drawn anew"])
    assert (tasks(found), found.is_exact) == (["new"], False)
    gone = missed(known, [*WORDS[:9], "> erased", said("old")])
    assert (tasks(gone), gone.is_exact) == (["old"], False)


def test_without_anything_known_only_the_screen_counts_and_is_uncertain() -> None:
    shown = [said("long ago"), *WORDS[:30], said("new"), "$"]
    found = missed(WORDS[40:50], shown)
    assert (tasks(found), found.is_whole, found.is_exact) == (["new"], False, False)
    assert all(one.altered for one in found.directives)


def test_what_scrolled_off_before_anything_was_read_never_counts() -> None:
    assert tasks(missed([""], [said("before"), *WORDS[:30]])) == []
    assert tasks(missed([""], ["$ cat", said("new"), "$"])) == ["new"]


def test_a_few_lines_may_be_chance() -> None:
    shown = [said("old"), *WORDS[:24], "$ make", "all is up to date now", "$"]
    found = missed(["all that was above is gone", "$ make", "all is up to date now", "$ "], shown)
    assert (tasks(found), found.is_exact) == ([], False)
    prompts = ["me@host:~/a/project$", *WORDS[:9], said("old"), "me@host:~/a/project$", said("new")]
    assert missed(["what was above", "me@host:~/a/project$"], prompts, rows=4).is_whole is False


def test_a_drawn_screen_is_read_by_its_rows() -> None:
    first = '[ORCHESTRATE] {"task": "one",'.ljust(80)
    rows = [*WORDS[:5], first, '"workers": ["a"]}', "", ""]
    found = missed(WORDS[:5], rows, drawing=True)
    assert [one.payload for one in found.directives] == [{"task": "one", "workers": ["a"]}]


@given(st.text(max_size=30))
def test_any_task_comes_back_as_it_was_printed(task: str) -> None:
    line = f"[ORCHESTRATE] {json.dumps({'task': task})}"
    assert tasks(missed(WORDS[:5], [*WORDS[:5], line])) == [task]
