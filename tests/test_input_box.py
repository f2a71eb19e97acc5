"""What an input box holds, on screens of real agents; `␛` stands for the escape character in the data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.workers.cells import styled, width
from aiorch.workers.input_box import Held, InputShape, find_box, holding, squeezed
from aiorch.workers.profile_file import load_profiles

PROFILES = load_profiles(None)
LINES = "".join(f"\n> line {number}" for number in range(12))
TEXTS = {
    "claude-paste": "\n> line one of it, which is longer than the box is wide and so is broken\n> two",
    "claude-paste-draft": "\n> line one of it, which is longer than the box is wide and so is broken\n> two",
    "claude-small-paste": "\n> " + "word " * 100,
}
RULE = "─" * 40
_FOUND = PROFILES["claude"].input
assert _FOUND is not None
CLAUDE: InputShape = _FOUND


class Case(NamedTuple):
    test_id: str
    agent: str
    held: str
    cursor: tuple[int, int]
    columns: int
    rows: list[str]

    @property
    def shape(self) -> InputShape:
        shape = PROFILES[self.agent].input
        assert shape is not None
        return shape

    @property
    def text(self) -> str:
        return "[aiorch message 7-4f2a from worker api]" + TEXTS.get(self.test_id, LINES)


def read_cases() -> list[Case]:
    cases = []
    for part in (Path(__file__).parent / "data" / "boxes.txt").read_text().split("=== ")[1:]:
        head, screen = part.split("\n", 1)
        test_id, agent, held, place = head.split(" | ")
        x, y, columns = (int(number) for number in place.split())
        rows = screen.rstrip("\n").replace("␛", "\x1b").split("\n")
        cases.append(Case(test_id, agent, held, (x, y), columns, rows))
    return cases


CASES = read_cases()


def told(case: Case, text: str = "") -> str:
    box = find_box(case.shape, case.rows, case.cursor, case.columns)
    return "none" if box is None else str(holding(box, text or case.text, case.shape))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.test_id)
def test_what_a_box_holds(case: Case) -> None:
    assert told(case) == case.held


def test_every_agent_with_a_box_has_screens_of_an_empty_one_and_of_a_draft() -> None:
    shapes = {name for name, profile in PROFILES.items() if profile.input}
    assert shapes == {"claude", "codex", "gemini", "opencode", "qwen", "copilot"}
    for held in ("empty", "draft", "none"):
        assert {case.agent for case in CASES if case.held == held} == shapes


@pytest.mark.parametrize("case", [case for case in CASES if case.held == "ours"], ids=lambda c: c.test_id)
def test_another_text_is_a_draft(case: Case) -> None:
    assert told(case, "[aiorch message 8-1111 from worker api] something else that is not there") != "ours"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.test_id)
def test_a_cursor_elsewhere_is_in_no_box(case: Case) -> None:
    assert find_box(case.shape, case.rows, (0, 0), case.columns) is None
    assert find_box(case.shape, case.rows, (0, len(case.rows) + 5), case.columns) is None


def claude_box(*texts: str, cursor: tuple[int, int] = (2, 2)) -> str:
    first, *rest = texts or ("",)
    rows = ["● An answer.", RULE, f"❯\u00a0{first}", *(f"  {text}" for text in rest), RULE, "  hints"]
    box = find_box(CLAUDE, rows, cursor, 40)
    return "none" if box is None else box.text


def test_faint_words_are_none_of_the_user() -> None:
    assert claude_box('\x1b[7mT\x1b[0;2mry "edit a file"\x1b[0m') == ""
    assert claude_box("\x1b[2mrun the tests\x1b[0m") == ""
    assert claude_box('Try "edit a file"') == ""
    # Whoever types it has the cursor behind it.
    assert claude_box('Try "edit a file"', cursor=(19, 2)) == 'Try "edit a file"'
    assert claude_box("\x1b[7mm\x1b[27my draft") == "my draft"
    # A colour is no style, whatever its numbers are.
    assert claude_box("\x1b[38;5;2mmine\x1b[39m") == "mine"
    assert claude_box("\x1b[38;2;2;2;2mmine\x1b[39m") == "mine"
    assert claude_box("\x1b[38:2::2:2:2mmine\x1b[39m") == "mine"


def test_a_box_needs_both_its_edges() -> None:
    assert find_box(CLAUDE, ["text", "❯ ", RULE], (2, 1), 40) is None
    assert find_box(CLAUDE, [RULE, "❯ ", "text"], (2, 1), 40) is None
    assert find_box(CLAUDE, [RULE, "❯ 1. Yes", RULE], (2, 1), 40) is None


def test_text_with_a_draft_around_it_is_mixed() -> None:
    shape, text = CLAUDE, "[aiorch message 7-4f2a from the lead]\nplease go on with the tests"
    for before, after, held in (("", "", Held.OURS), ("my ", "", Held.MIXED), ("", " and", Held.MIXED)):
        rows = f"{before}{text}{after}".split("\n")
        drawn = [RULE, f"❯ {rows[0]}", f"  {rows[1]}", RULE]
        box = find_box(shape, drawn, (9, 2), 60)
        assert box is not None and holding(box, text, shape) is held


@given(st.text(max_size=60))
def test_blanks_and_what_is_invisible_make_no_difference(text: str) -> None:
    spread = " \u200b\n".join(text)
    assert squeezed(spread) == squeezed(text)


@given(st.text(alphabet="ab ─❯│[]0123456789m;\x1b\u00a0漢", max_size=80), st.integers(0, 90))
def test_no_row_is_too_strange(row: str, column: int) -> None:
    for profile in PROFILES.values():
        if profile.input:
            find_box(profile.input, [RULE, row, RULE], (column, 1), 80)
    (one,) = styled([row])
    assert len(one.text) == len(one.faint) == len(one.inverse)


@given(
    st.lists(st.text(alphabet=st.characters(categories=("L", "N", "P")), min_size=1, max_size=30), min_size=1)
)
def test_whatever_stands_in_a_box_is_found(words: list[str]) -> None:
    text = " ".join(words)
    parts = re.findall(r".{1,20}", text)
    drawn = [RULE, f"❯ {parts[0]}", *(f"  {part}" for part in parts[1:]), RULE]
    if len(parts) < 50 and not re.match(r"\s*\d+\.\s", text) and all(width(part) <= 40 for part in parts):
        box = find_box(CLAUDE, drawn, (2, len(parts)), 44)
        assert box is not None and squeezed(box.text) == squeezed(text)
        assert holding(box, text, CLAUDE) is Held.OURS
