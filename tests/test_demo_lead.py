"""The scripted lead on a terminal of its own, read through an emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.demo.frame import BLANK, Grid, char_width, paint, text_width, to_cells, wrap
from aiorch.demo.stage import FINISHED, REQUEST, WAITING
from aiorch.demo.view import Block, Kind, View, compose
from demo_server import PrivateServer, wait_until
from support.client import Client

ROOT = Path(__file__).resolve().parents[1]
LEAD = [sys.executable, "-E", "-s", "-B", str(ROOT / "python/aiorch/demo/lead.py")]
GOLDEN = Path(__file__).parent / "golden"
FAST = {"AIORCH_DEMO_SPEED": "25"}
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=60)


@contextmanager
def lead(*options: str, size: tuple[int, int] = (100, 30)) -> Iterator[Client]:
    with Client("", command=[*LEAD, *options], size=size, env=FAST) as client:
        yield client


def directive_text(screen: str) -> str:
    """Join the directive's rows as a reader would."""
    rows = [row.strip() for row in screen.split("\n")]
    start = next(i for i, row in enumerate(rows) if row.startswith("[ORCHESTRATE]"))
    end = rows.index("", start)
    return " ".join(rows[start:end])


def test_screen_after_the_directive_is_as_recorded() -> None:
    with lead() as client:
        screen = client.wait_for(WAITING)
    golden = GOLDEN / "lead-100x30.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(screen + "\n", encoding="utf-8")
    assert screen + "\n" == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("size", [(26, 22), (46, 38), (140, 40)])
def test_directive_is_whole_on_one_screen(size: tuple[int, int]) -> None:
    with lead(size=size) as client:
        screen = client.wait_for(WAITING)
    assert directive_text(screen) == '[ORCHESTRATE] {"task": "' + REQUEST + '"}'
    assert all(len(row) <= size[0] for row in screen.split("\n"))


@pytest.mark.parametrize("size", [(2, 1), (1, 5), (4, 3), (10, 6), (300, 4)])
def test_tiny_and_odd_sizes_do_not_crash(size: tuple[int, int], tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.write_text("api: done\n")
    with lead("--go", str(tmp_path / "never"), "--results", str(results), size=(80, 24)) as client:
        client.wait_for("type a task")
        # The emulator cannot be one column wide.
        client.resize(max(size[0], 2), size[1])
        client.send("what is this? 何ですか\r")
        client.resize(80, 24)
        client.wait_for(FINISHED)
        client.send("q")
        assert client.wait_exit() == 0


def test_stream_holds_no_readable_sentence() -> None:
    old: Grid = [to_cells([("● I will look", "")], 40)]
    new: Grid = [to_cells([("● I will look at the project first.", "")], 40)]
    assert "at the project" not in paint(old, new)
    assert "project" in paint(old, new)


def test_frame_is_repainted_when_the_window_changes() -> None:
    with lead(size=(100, 30)) as client:
        client.wait_for(WAITING)
        client.resize(60, 24)
        screen = client.wait_for(lambda screen: "─" * 60 in screen and "─" * 61 not in screen)
        assert '[ORCHESTRATE] {"task": "Build a REST API with' in screen


def test_waits_for_the_go_file_and_shows_results(tmp_path: Path) -> None:
    go, results = tmp_path / "go", tmp_path / "results"
    with lead("--go", str(go), "--results", str(results)) as client:
        client.wait_for("type a task")
        client.pump(0.4)
        assert REQUEST not in client.screen()
        go.touch()
        client.wait_for(WAITING)
        results.write_text("testing: 38 tests pass\n")
        screen = client.wait_for(FINISHED)
        assert "38 tests pass" in screen


def test_a_typed_request_starts_the_story_and_later_ones_get_small_talk(tmp_path: Path) -> None:
    with lead("--go", str(tmp_path / "never")) as client:
        client.wait_for("type a task")
        client.send("please bild\x7f\x7f\x7fuild it\r")
        screen = client.wait_for(WAITING)
        assert "❯ please build it" in screen
        client.send("and now?\r")
        client.wait_for("know one answer")


@pytest.mark.parametrize("keys", ["q", "\x03", "\x04", "/quit\r"])
def test_quit_keys_give_the_terminal_back(keys: str) -> None:
    with lead("--go", "/nonexistent/go") as client:
        client.wait_for("type a task")
        client.send(keys)
        assert client.wait_exit() == 0
        assert client.screen().strip() == ""


def test_escape_interrupts_a_busy_lead() -> None:
    with Client("", command=LEAD, size=(80, 24), env={"AIORCH_DEMO_SPEED": "1"}) as client:
        client.wait_for("Thinking")
        client.send("\x1b")
        client.wait_for("Interrupted")


def test_terminal_modes_are_restored_in_a_pane(tmp_path: Path) -> None:
    script = 'before=$(stty -g); "$@"; test "$(stty -g)" = "$before" && echo restored; sleep 60'
    with PrivateServer(tmp_path, (80, 24), FAST) as server:
        server.start("sh", "-c", script, "sh", *LEAD)
        wait_until(lambda: WAITING in server.screen(), 10, "the directive")
        assert server.run("display", "-p", "-t", "test", "#{alternate_on}").strip() == "1"
        server.run("send-keys", "-t", "test", "q")
        wait_until(lambda: "restored" in server.screen(), 5, "the shell's screen")


def test_refuses_to_run_without_a_terminal() -> None:
    done = subprocess.run(LEAD, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "terminal" in done.stderr


@given(TEXT, st.integers(1, 40))
def test_wrap_keeps_every_character_but_blanks(text: str, width: int) -> None:
    rows = wrap(text, width)
    assert "".join(rows).replace(" ", "") == text.replace(" ", "")
    # A wide character alone may be wider than one column.
    assert all(text_width(row) <= max(width, 2) for row in rows)


@given(st.lists(st.tuples(TEXT, st.sampled_from(["", "1", "38;5;141"])), max_size=4), st.integers(1, 30))
def test_cells_fill_the_width_exactly(line: list[tuple[str, str]], cols: int) -> None:
    cells = to_cells(line, cols)
    assert len(cells) == cols
    assert all(char == "" or char_width(char) for char, _ in cells)


@given(TEXT, TEXT, st.integers(1, 60), st.integers(1, 20))
def test_every_view_gives_a_full_frame(said: str, draft: str, cols: int, rows: int) -> None:
    view = View(
        [Block(Kind.USER, said), Block(Kind.TOOL, "Read(x)", said), Block(Kind.SAID, said)], draft, "Busy"
    )
    grid, (y, x) = compose(view, cols, rows)
    assert [len(row) for row in grid] == [cols] * rows
    assert 0 <= y < rows and 0 <= x < cols


def test_equal_frames_paint_nothing() -> None:
    grid: Grid = [[BLANK] * 5, to_cells([("abc", "1")], 5)]
    assert paint(grid, grid) == ""
    assert "abc" in paint(grid, grid, whole=True)
