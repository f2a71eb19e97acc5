"""A plan in the user's editor: nothing in it is read as settings, and what was written is what is read."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.draft import as_text, editor, read
from aiorch.errors import DirectiveError, UsageError
from aiorch.plan.schema import WorkerSpec, parse_request
from aiorch.plan.stored import to_payload

# As vim, and as Emacs, look for their settings.
MODELINE = re.compile(r"(^|\s)(vim?([<=>]?\d+)?|ex):", re.IGNORECASE | re.MULTILINE)
LOCAL = re.compile(r"-\*-|Local Variables\s*:", re.IGNORECASE)
SETTINGS = [
    "vim: set x",
    "a vi:foo",
    "\tex: b",
    "Vim700: c",
    "vim<7 :",
    "Local Variables:",
    "-*- mode: x -*-",
]


@given(st.lists(st.sampled_from([*SETTINGS, "regex: x", "\n", " ", "\u202e", "é", "\\", '"'])).map("".join))
def test_no_task_holds_settings_for_an_editor(task: str) -> None:
    text = as_text([WorkerSpec("a", "sparc", task)])
    assert not MODELINE.search(text) and not LOCAL.search(text)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert json.loads(text)[0]["task"] == task


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=99))
def test_a_plan_that_was_not_changed_is_the_same(task: str) -> None:
    plan = (
        WorkerSpec("a", "sparc", f"x{task}", idempotent=True),
        WorkerSpec("b", "claude", "y", after=("a",), on_failure="run"),
    )
    given_back = read(as_text(plan))
    assert given_back == to_payload(plan)
    assert parse_request({"task": "t", "workers": given_back}).workers == plan


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "line 1, column 1"), ('[\n {"a": }]', "line 2, column 8"), ("{}", "list of workers"),
     ("[" * 100_000, "nested too deep"), ("[" + "9" * 9999 + "]", "digits")],
)  # fmt: skip
def test_what_is_no_plan_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(DirectiveError, match=words):
        read(text)


def test_the_editor_is_the_users() -> None:
    assert editor({"EDITOR": "ed -s", "VISUAL": "'my editor' --wait"}) == ["my editor", "--wait"]
    assert editor({"EDITOR": "ed -s"}) == ["ed", "-s"]
    with pytest.raises(UsageError, match="VISUAL cannot be read"):
        editor({"VISUAL": "'"})
    with pytest.raises(UsageError, match="set EDITOR"):
        editor({"PATH": "/nowhere"})
