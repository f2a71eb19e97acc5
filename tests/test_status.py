"""The status text as tmux draws it."""

from __future__ import annotations

import re

from aiorch.journal import WorkerState
from aiorch.ui.status import StatusStyle, status_text
from support.lab import Lab

COUNTS = {
    WorkerState.WORKING: 2,
    WorkerState.STARTING: 1,
    WorkerState.WAITING: 1,
    WorkerState.DONE: 2,
    WorkerState.LOST: 1,
}


def test_counts_by_group_in_unicode() -> None:
    assert status_text(COUNTS, 0, StatusStyle(color=False)) == " 3 ▶ 1 ! 2 ✔ 1 ✖ "


def test_plain_ascii_has_words_only() -> None:
    text = status_text(COUNTS, 2, StatusStyle(ascii=True, color=False))
    assert text == " 2 ask 3 run 1 wait 2 done 1 failed "
    assert text.isascii()


def test_says_that_it_listens_while_there_is_nothing_to_count() -> None:
    assert status_text({}, 0, StatusStyle(color=False)) == " ◆ aiorch "


def test_colours_are_styles_that_tmux_takes_and_leave_no_trace(lab: Lab) -> None:
    text = status_text(COUNTS, 1, StatusStyle())
    lab.tmux("set-environment", "-h", "-t", "m", "AIORCH_STATUS", text)
    drawn = lab.tmux("display-message", "-p", "-t", "m", "#{AIORCH_STATUS}")
    assert re.sub(r"#\[[^]]*\]", "", drawn) == " 1 ? 3 ▶ 1 ! 2 ✔ 1 ✖  "
    assert drawn.count("push-default") == drawn.count("pop-default") == 1
