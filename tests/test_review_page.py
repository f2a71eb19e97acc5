"""The page of a question: what it shows, on which screens, and that it does nothing else to a terminal."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import avt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.plan.schema import WorkerSpec
from aiorch.ui.cells import cut, filled, width, wrapped
from aiorch.ui.review_page import LEAST_TASK, Page, Pen, body_height, body_rows, drawing

GOLDEN = Path(__file__).parent / "golden"
PLAN = (
    WorkerSpec("api-routes", "sparc", "Design and implement REST API routes for: Build a REST API"),
    WorkerSpec("auth-system", "swarm", "Build complete authentication system for: Build a REST API"),
    WorkerSpec("testing", "claude", "Write tests.\nAll of them.", ("api-routes",), on_failure="run"),
)
PAGE = Page(
    number=3,
    place=(1, 2),
    source="plain",
    time="14:32",
    reason="a pane that runs some other program; Aider's history: roles with the default agent → ask",
    task="Build a REST API with authentication and tests. Keep what is there.\n\n" + "And on.\n" * 9,
    plan=PLAN,
    dropped={"auth-system"},
    allows=("a pane that runs some other program; Aider's history: roles with the default agent",),
)
HOSTILE = "\x1b[2J\x1b]0;mine\x07 #(touch bad) #[fg=red] \x9b31m\u202e\r\tend\x7f"
TEXT = st.text(st.characters(codec="utf-8"), max_size=80)
STYLE = re.compile(r"\x1b\[[0-9;]*m")
# Beside styles only: to the corner, clear to the end of the row, clear the rest.
MOVES = re.compile(r"\x1b\[[HKJ]|\r\n")


def screen(page: Page, columns: int, rows: int) -> str:
    vt = avt.Vt(columns, rows)
    vt.feed_str("\x1b[?7l" + drawing(page, columns, rows, color=True))
    return "\n".join(line.text.rstrip() for line in vt.view())


@pytest.mark.parametrize("size", [(70, 19), (124, 34)], ids=str)
def test_the_page_is_as_recorded(size: tuple[int, int]) -> None:
    shown = screen(PAGE, *size)
    golden = GOLDEN / f"review-{size[0]}x{size[1]}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(shown + "\n", encoding="utf-8")
    assert shown + "\n" == golden.read_text(encoding="utf-8")


def test_without_colours_nothing_is_coloured_and_all_of_it_is_said() -> None:
    plain = drawing(replace(PAGE, always=True), 124, 34, color=False)
    assert {code for style in STYLE.findall(plain) for code in style[2:-1].split(";")} <= set("0127")
    text = STYLE.sub("", plain)
    assert "left out" in text and "[x] always" in text
    assert STYLE.sub("", drawing(replace(PAGE, always=True), 124, 34, color=True)) == text


@given(TEXT, TEXT, st.integers(1, 90), st.integers(1, 30), st.booleans())
def test_no_text_does_anything_to_a_terminal(
    task: str, other: str, columns: int, rows: int, is_whole: bool
) -> None:
    worker = WorkerSpec(other, other, task, (other,), host=other)
    page = replace(
        PAGE, task=task, reason=other, plan=(worker, *PLAN), allows=(other,), note=other, is_whole=is_whole
    )
    for each in (page, replace(page, told=other, dropped={other})):
        text = drawing(each, columns, rows, color=True)
        assert MOVES.sub("", STYLE.sub("", text)).isprintable()
        assert len(text.split("\r\n")) <= rows


def test_hostile_text_stands_there_as_it_is() -> None:
    page = replace(PAGE, task=HOSTILE, plan=(WorkerSpec("a", "sparc", HOSTILE),), dropped=())
    shown = screen(page, 124, 34)
    assert shown.count(r"\x1b[2J\x1b]0;mine\x07 #(touch bad) #[fg=red] \x9b31m\u202e\r") == 2
    assert shown.startswith(" #3 waits") and "y start 1 worker" in shown


@pytest.mark.parametrize("size", [(70, 19), (124, 34), (30, 12), (200, 60)], ids=str)
def test_all_of_a_long_plan_can_be_seen(size: tuple[int, int]) -> None:
    task = "\n".join(f"line {index}." for index in range(99))
    plan = [WorkerSpec(f"w{index}", "sparc", f"task {index}.\nmore {index}.") for index in range(32)]
    page = replace(PAGE, task=task, plan=plan, dropped=(), is_whole=True)
    length, height = body_height(page, *size)
    seen = ""
    for top in range(0, length, max(1, height)):
        seen += screen(replace(page, top=top), *size)
    wanted = [f"line {n}." for n in range(99)] + [
        f"{word} {n}." for word in ("task", "more") for n in range(32)
    ]
    assert [one for one in wanted if one not in seen] == []


def test_a_long_task_leaves_room_for_the_plan() -> None:
    page = replace(PAGE, task="word " * 9000)
    shown = screen(page, 70, 19)
    assert "more lines: t shows all" in shown and "testing" in shown
    rows = body_rows(page, Pen(70), 3)
    assert sum("word" in row for row in rows) == LEAST_TASK - 1


def test_what_was_answered_elsewhere_can_only_be_left() -> None:
    shown = screen(replace(PAGE, told="it was answered elsewhere: declined"), 124, 34)
    assert "#3 waits no more" in shown and "answered elsewhere: declined" in shown
    assert "refuse" not in shown and "start 2" not in shown and "Tab the next" in shown


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), st.integers(2, 40))
def test_wrapping_loses_nothing_and_keeps_the_width(text: str, cells: int) -> None:
    lines = wrapped(text, cells)
    assert all(width(line) <= cells for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.text(), st.integers(0, 40))
def test_what_is_cut_or_filled_has_the_width(text: str, cells: int) -> None:
    assert width(cut(text, cells)) <= cells
    assert width(filled(text, cells)) == cells


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two", "three"]),
        ("  indented on", ["  indent", "ed on"]),
        ("12345678 9", ["12345678", "9"]),
        ("123456789", ["12345678", "9"]),
        ("日本語日本語", ["日本語日", "本語"]),
        ("a\n\nb", ["a", "", "b"]),
        ("", [""]),
    ],
)
def test_lines_are_broken_between_words(text: str, lines: list[str]) -> None:
    assert wrapped(text, 8) == lines
