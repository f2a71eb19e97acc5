"""An agent's state by its screen: what is easily taken for something else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiorch.workers.profile_file import load_profiles
from aiorch.workers.state import MAX_REASON, AgentState, Glance, Verdict, judge, title_verdict

PROFILES = load_profiles(None)
AGENTS = ("claude", "codex", "gemini", "opencode", "copilot", "qwen", "aider", "shell", "claude-flow")
CODEX_BOX = "\n› Ask Codex to do anything\n\n  gpt-5.5 high · ~/proj"
GEMINI_BOX = "▄▄▄▄▄▄▄▄\n >   Type your message or @path/to/file\n▀▀▀▀▀▀▀▀\n ~/proj    no sandbox   auto"


class Case(NamedTuple):
    test_id: str
    agent: str
    state: str
    reason: str
    screen: str


def read_cases() -> list[Case]:
    cases = []
    for part in (Path(__file__).parent / "data" / "screens.txt").read_text().split("=== ")[1:]:
        head, screen = part.split("\n", 1)
        test_id, agent, state, *reason = head.split(" | ")
        cases.append(Case(test_id, agent, state, "".join(reason), screen.rstrip("\n")))
    return cases


CASES = read_cases()
SCREENS = {case.test_id: case.screen for case in CASES}
CODEX_MENU = SCREENS["codex-command"]


def told(agent: str, screen: str, title: str = "") -> Verdict:
    return judge(PROFILES[agent].states, Glance(tuple(row.rstrip() for row in screen.split("\n")), title))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.test_id)
def test_what_a_screen_says(case: Case) -> None:
    verdict = told(case.agent, case.screen)
    assert (verdict.state, verdict.source) == (case.state, "screen"), verdict
    if case.reason:
        assert verdict.reason == case.reason


def test_every_waiting_state_has_a_reason() -> None:
    assert all(told(case.agent, case.screen).reason for case in CASES if case.state == "waiting")


def test_rows_below_the_screen_change_nothing() -> None:
    for case in CASES:
        assert told(case.agent, case.screen + "\n" * 20).state == case.state


@pytest.mark.parametrize(
    ("agent", "title", "state"),
    [
        ("codex", "⠴ fix | proj", "working"),
        ("codex", "[ ! ] Action Required | proj", "waiting"),
        ("gemini", "✦  Working… (proj)", "working"),
        ("gemini", "✋  Action Required (proj)", "waiting"),
        ("gemini", "◇  Ready (proj)", "idle"),
        ("qwen", "◐︎ Qwen - proj", "working"),
        ("qwen", "✳︎ Qwen - proj", "waiting"),
    ],
)
def test_a_title_tells_the_state(agent: str, title: str, state: str) -> None:
    verdict = told(agent, "", title)
    assert (verdict.state, verdict.source) == (state, "title")


@pytest.mark.parametrize(
    ("agent", "title"),
    [("claude", "✳ Claude Code"), ("codex", "proj"), ("qwen", "Qwen - proj"), ("opencode", "OC | x")],
)
def test_a_title_that_says_nothing_leaves_it_to_the_screen(agent: str, title: str) -> None:
    assert title_verdict(PROFILES[agent].states, title) is None


def test_a_dialog_counts_more_than_a_title() -> None:
    assert told("codex", CODEX_MENU, "⠴ proj").reason == "permission: make"
    assert told("gemini", SCREENS["gemini-shell"], "◇  Ready (proj)").state is AgentState.WAITING


def test_a_title_counts_more_than_an_input_box_and_than_a_guess() -> None:
    assert told("codex", f"• Text that streams{CODEX_BOX}", "⠴ proj").state is AgentState.WORKING
    assert told("codex", "do you want to continue? [y/n]", "⠴ proj").state is AgentState.WORKING


def test_an_error_is_seen_behind_a_title_that_says_ready() -> None:
    assert told("gemini", f"✕ [API Error: quota]\n{GEMINI_BOX}", "◇  Ready (proj)").state is AgentState.ERROR


def test_a_hidden_cursor_marks_a_dialog_that_no_rule_knows() -> None:
    rows = ("  Something new?", "    first", "    second", "", "  esc to go back")
    states = PROFILES["codex"].states
    hidden = Glance(rows, cursor=False, alternate=True)
    assert judge(states, hidden).reason == "question: Something new?"
    assert judge(states, Glance(rows, cursor=True, alternate=True)).state is AgentState.UNKNOWN


def test_reasons_are_one_short_line_without_control_characters() -> None:
    verdict = told(
        "codex",
        f"  Would you like to run the following command?\n  $ a\x1b[31m\x07{{what}} {'x' * 500}\n› 1. Yes",
    )
    assert verdict.reason.startswith("permission: a[31m{what} x")
    assert len(verdict.reason) == MAX_REASON
    assert verdict.reason.isprintable()


PIECES = [case.screen for case in CASES]


@given(
    agent=st.sampled_from(AGENTS),
    text=st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=3).map("\n".join)),
    title=st.text(max_size=40),
    width=st.integers(1, 140),
)
@example(agent="gemini", text="a" + " " * 140 + "b\n" + ("x " * 70 + "\n") * 44, title="", width=140)
def test_any_text_has_a_verdict(agent: str, text: str, title: str, width: int) -> None:
    rows = tuple(row[:width] for row in text.split("\n"))
    verdict = judge(PROFILES[agent].states, Glance(rows, title, width, cursor=False, alternate=True))
    assert verdict.state in AgentState
    assert "\n" not in verdict.reason
    assert len(verdict.reason) <= MAX_REASON


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize(
    "fill", ["x ", "  ", "─", "❯ 1. ", "(esc ", "Do you want to ", "a\u00a0", "• ", "limit "]
)
def test_no_screen_takes_long(agent: str, fill: str) -> None:
    glance = Glance(tuple((fill * 300)[:300] for _ in range(100)))
    started = time.process_time()
    judge(PROFILES[agent].states, glance)
    assert time.process_time() - started < 0.5


@given(st.text(alphabet=st.characters(exclude_categories=())))
@example("bad \ud83d\x1b[2J\u202e end\n" + "x" * 500)
def test_a_reason_is_one_short_printable_line_wherever_it_comes_from(text: str) -> None:
    reason = Verdict(AgentState.WAITING, text, "a.rule", "record").reason
    assert reason.isprintable() and len(reason) <= MAX_REASON
    assert Verdict(AgentState.WAITING, reason, "a.rule", "record").reason == reason
