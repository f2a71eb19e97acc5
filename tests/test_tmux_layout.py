"""Layouts as values, against layouts that tmux itself made."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.errors import TmuxError
from aiorch.tmux import layout
from support.lab import Lab

THREE = "36e9,140x40,0,0{46x40,0,0,2,61x40,47,0,0,31x40,109,0,1}"


def test_parse_and_dump_give_the_same_string() -> None:
    assert layout.dump(layout.parse(THREE)) == THREE


def test_real_layouts_round_trip_and_are_taken_back(lab: Lab) -> None:
    for direction in ("-h", "-v", "-v", "-h"):
        lab.tmux("split-window", "-d", direction, "--", "cat", "-u")
        text = lab.tmux("display-message", "-p", "-t", "m", "#{window_layout}")
        assert layout.dump(layout.parse(text)) == text


def test_even_heights_is_what_tmux_accepts(lab: Lab) -> None:
    right = lab.tmux("split-window", "-d", "-h", "-P", "-F", "#{pane_id}", "--", "cat", "-u")
    split = ("split-window", "-d", "-v", "-t", right, "-P", "-F", "#{pane_id}")
    panes = [right, *(lab.tmux(*split, "-l", rows, "--", "cat", "-u") for rows in ("9", "3", "2"))]
    root = layout.parse(lab.tmux("display-message", "-p", "-t", "m", "#{window_layout}"))
    even = layout.dump(layout.equal_heights(root, panes))
    lab.tmux("select-layout", "-t", "m", even)
    assert lab.tmux("display-message", "-p", "-t", "m", "#{window_layout}") == even
    rows = lab.tmux("list-panes", "-t", "m", "-F", "#{pane_id} #{pane_height}").split("\n")
    sizes = [int(row.split()[1]) for row in rows if row.split()[0] in panes]
    assert max(sizes) - min(sizes) <= 1


class Fit(NamedTuple):
    test_id: str
    height: int
    rows: int
    panes: int


@pytest.mark.parametrize(
    "fit",
    [Fit("exact", 17, 5, 3), Fit("one short", 16, 5, 2), Fit("tiny", 1, 5, 1), Fit("many", 99, 4, 20)],
    ids=lambda fit: fit.test_id,
)
def test_capacity(fit: Fit) -> None:
    assert layout.capacity(fit.height, fit.rows) == fit.panes


@given(st.integers(1, 40), st.integers(0, 400))
def test_shares_fill_the_space_and_differ_by_one_at_most(parts: int, extra: int) -> None:
    sizes = layout.shares(parts * 2 - 1 + extra, parts)
    assert sum(sizes) + parts - 1 == parts * 2 - 1 + extra
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["", "nonsense", "abcd,80x24", "abcd,80x24,0,0{", "abcd,80x24,0,0,1}"])
def test_what_is_no_layout_raises(text: str) -> None:
    with pytest.raises(TmuxError):
        layout.parse(text)
