"""The text of a message, and what is done next about it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.journal import MessageState
from aiorch.workers.delivery import MIXED, MOST_ENTERS, Seen, Stage, Step, next_step
from aiorch.workers.input_box import Held
from aiorch.workers.message import MAX_SUMMARY, capped, cleaned, direct, mark, quoted, report, summary
from aiorch.workers.state import AgentState

READY = Seen(Stage.NONE, AgentState.IDLE, Held.EMPTY)
QUEUED, TYPING, ENTERED = MessageState.QUEUED, MessageState.TYPING, MessageState.ENTERED
SEENS = st.builds(
    Seen,
    st.sampled_from(Stage),
    st.sampled_from(AgentState),
    st.none() | st.sampled_from(Held),
    is_covered=st.booleans(),
    is_synchronized=st.booleans(),
    is_typed_in=st.booleans(),
    is_calm=st.booleans(),
    has_arrived=st.none() | st.booleans(),
    since=st.floats(0, 60),
    gone=st.floats(0, 60),
    enters=st.integers(0, 5),
)


def test_a_message_that_nothing_hinders_is_typed_sent_and_confirmed() -> None:
    assert next_step(QUEUED, READY) == (Step.PASTE, "")
    pasted = replace(READY, stage=Stage.PASTED, held=Held.OURS)
    assert next_step(TYPING, pasted) == (Step.ENTER, "")
    entered = replace(READY, stage=Stage.ENTERED, has_arrived=True)
    assert next_step(ENTERED, entered) == (Step.CONFIRM, "")
    working = replace(READY, stage=Stage.ENTERED, state=AgentState.WORKING)
    assert next_step(ENTERED, working) == (Step.CONFIRM, "")


@given(SEENS, st.sampled_from([QUEUED, TYPING, ENTERED]))
def test_nothing_is_ever_typed_where_it_would_disturb(seen: Seen, state: MessageState) -> None:
    step, reason = next_step(state, seen)
    if step in (Step.PASTE, Step.ENTER):
        is_free = not (seen.is_covered or seen.is_synchronized or seen.is_typed_in)
        assert is_free and seen.state is AgentState.IDLE and seen.is_calm
        assert seen.held is (Held.EMPTY if step is Step.PASTE else Held.OURS)
        assert reason == ""


@given(SEENS, st.sampled_from([QUEUED, TYPING, ENTERED]))
def test_what_was_typed_is_typed_again_only_when_it_certainly_is_nowhere(
    seen: Seen, state: MessageState
) -> None:
    step, _ = next_step(state, seen)
    if step is Step.PASTE:
        assert state is QUEUED
    if step is Step.AGAIN:
        is_new = seen.stage is Stage.NONE and state is TYPING
        assert is_new or (seen.stage is Stage.PASTED and seen.has_arrived is False)
        assert is_new or seen.held in (Held.EMPTY, Held.DRAFT)


def test_what_was_taken_for_gone_and_stands_in_the_box_is_sent_off() -> None:
    back = replace(READY, stage=Stage.PASTED, held=Held.OURS)
    assert next_step(QUEUED, back) == (Step.ENTER, "")
    assert next_step(QUEUED, replace(back, held=Held.DRAFT))[0] is Step.WAIT
    assert next_step(QUEUED, replace(back, stage=Stage.NONE))[0] is Step.WAIT


def test_what_has_just_left_the_box_may_be_on_its_way() -> None:
    # Its user may have sent it together with a draft, long after it was pasted.
    left = replace(READY, stage=Stage.PASTED, has_arrived=False, since=600.0)
    assert next_step(TYPING, left)[0] is Step.WAIT
    assert next_step(TYPING, replace(left, gone=60.0))[0] is Step.AGAIN
    assert next_step(TYPING, replace(left, gone=60.0, has_arrived=True))[0] is Step.CONFIRM
    assert next_step(TYPING, replace(left, gone=60.0, has_arrived=None))[0] is Step.LOSE


@pytest.mark.parametrize("state", [TYPING, ENTERED])
@pytest.mark.parametrize("stage", [Stage.PASTED, Stage.ENTERED])
def test_a_draft_beside_the_message_is_left_alone(state: MessageState, stage: Stage) -> None:
    seen = replace(READY, stage=stage, held=Held.MIXED, since=100.0)
    assert next_step(state, seen) == (Step.WAIT, MIXED)


def test_enter_is_pressed_again_but_not_for_ever() -> None:
    stays = replace(READY, stage=Stage.ENTERED, held=Held.OURS, enters=1)
    assert next_step(ENTERED, stays)[0] is Step.WAIT
    assert next_step(ENTERED, replace(stays, since=2.0))[0] is Step.ENTER
    assert next_step(ENTERED, replace(stays, since=2.0, enters=MOST_ENTERS))[0] is Step.WAIT


def test_what_was_sent_off_and_is_nowhere_is_not_sent_again() -> None:
    gone = replace(READY, stage=Stage.ENTERED, has_arrived=False, since=60.0, gone=60.0)
    assert next_step(ENTERED, gone)[0] is Step.LOSE
    assert next_step(ENTERED, replace(READY, stage=Stage.NONE))[0] is Step.LOSE


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\picture", "picture"),
        ("a\x1b[201~b\x9b31mc", "abc"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\tb\0\x08c", "a    bc"),
        ("family \U0001f468\u200d\U0001f469", "family \U0001f468\U0001f469"),
        ("\n\n  text  \n", "  text"),
    ],
)
def test_a_text_is_cleaned(text: str, clean: str) -> None:
    assert cleaned(text) == clean


@given(st.text())
def test_a_clean_text_has_no_control_characters(text: str) -> None:
    clean = cleaned(text)
    assert all(char == "\n" or char.isprintable() or char == " " or ord(char) > 0x9F for char in clean)
    assert cleaned(clean) == clean


@given(st.text())
def test_nothing_gets_out_of_a_quotation(text: str) -> None:
    lines = quoted("7-4f2a", "api", text).split("\n")
    assert lines[0].startswith(mark("7-4f2a")) and lines[-1] == "[end of message 7-4f2a]"
    assert all(line.startswith(">") for line in lines[1:-1])
    assert "[ORCHESTRATE]" not in "".join(lines).upper()
    assert not re.search(r"(?<!\S)[@#!/$]\S", "\n".join(line[2:] for line in lines[1:-1]))


def test_an_open_completion_does_not_take_the_enter() -> None:
    assert direct("1-aaaa", "user", "look at @src/ma").endswith("@src/ma .")
    assert direct("1-aaaa", "lead", "look at it").endswith("\nlook at it")
    assert direct("1-aaaa", "lead", "/clear").startswith("[aiorch message 1-aaaa from the lead]\n/clear")


def test_a_summary_is_short() -> None:
    told = summary("api", "failed", "exit 1: [ORCHESTRATE]\nno", "word " * 1000)
    assert told.startswith("api: failed (exit 1: (ORCHESTRATE) no)\n> word")
    assert len(told) < MAX_SUMMARY + 200 and "`aiorch show api`" in told
    assert report("1-aaaa", [told]).split("\n")[1:-1] == told.split("\n")


@given(st.text(), st.integers(0, 40))
def test_a_text_is_cut_between_characters(text: str, size: int) -> None:
    assert len(capped(text, size).encode()) <= size
