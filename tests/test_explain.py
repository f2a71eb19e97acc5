"""`aiorch explain` on stored screens."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from aiorch.cli import main
from aiorch.explain import MAX_BYTES, stored_glance

MENU = "● Bash(ls)\n\n Bash command\n\n   ls\n\n Do you want to proceed?\n ❯ 1. Yes\n   2. No\n"


def explained(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, str]:
    assert main(["explain", *argv, "--json"]) == 0
    found: dict[str, str] = json.loads(capsys.readouterr().out)
    return found


def stored(tmp_path: Path, text: str) -> str:
    path = tmp_path / "screen.txt"
    path.write_bytes(text.encode())
    return str(path)


def test_a_stored_screen_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, "--agent", "claude", "--screen", stored(tmp_path, MENU)) == {
        "state": "waiting",
        "reason": "permission: ls",
        "rule": "claude.screen.permission",
        "source": "screen",
    }


def test_standard_input_and_a_title(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n")))
    found = explained(
        capsys, "--agent", "codex", "--screen", "-", "--title", "⠴ x", "--cols", "80", "--rows", "24"
    )
    assert (found["state"], found["rule"]) == ("working", "codex.title.spins")


def test_a_person_reads_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--agent", "claude", "--screen", stored(tmp_path, MENU)]) == 0
    out = capsys.readouterr().out
    assert out == "waiting: permission: ls\nby its screen, rule claude.screen.permission\n"


def test_an_unknown_agent_is_judged_by_the_rules_for_any_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = explained(capsys, "--agent", "nobody", "--screen", stored(tmp_path, "Go on? [y/n]"))
    assert (found["state"], found["rule"]) == ("waiting", "common.screen.yes-no")


def test_colours_change_nothing_and_cursor_moves_are_drawn() -> None:
    assert stored_glance("\x1b[1;31m❯\x1b[0m 1. Yes\n").rows == ("❯ 1. Yes",)
    assert stored_glance("old\r\n\x1b[2J\x1b[Hab\x1b[5Gc", cols=10, rows=2).rows == ("ab  c", "")


def test_only_the_pane_counts_when_the_history_stands_before_it() -> None:
    assert stored_glance("a\nb\nc\n", rows=2).rows == ("b", "c")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--screen", "/nowhere"], "/nowhere cannot be read"),
        (["--screen", "-", "--cols", "0"], "--cols must be"),
        ([], "name the file of a screen"),
    ],
)
def test_mistakes_are_told(capsys: pytest.CaptureFixture[str], argv: list[str], message: str) -> None:
    assert main(["explain", *argv]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_screen_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert main(["explain", "--screen", str(path)]) == 2
    assert "larger than any screen" in capsys.readouterr().err
