"""`aiorch demo` for real: without a terminal, with one, interrupted; it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiorch.capture.directive import Directive, Source
from aiorch.demo.run import _changed, _missing
from aiorch.demo.stage import REQUEST
from aiorch.journal import Event, Journal, Tag
from demo_server import wait_until
from support.client import PREFIX, Client

PYTHON = Path(__file__).resolve().parents[1] / "python"
DEMO = [sys.executable, "-E", "-s", "-B", str(PYTHON), "demo"]
LIMIT = 60


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    temporary = tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


@pytest.fixture(autouse=True)
def no_trace(env: dict[str, str], tmp_path: Path) -> Iterator[None]:
    """After every test: no file in HOME or TMPDIR, and no process that was started for it."""
    yield
    assert list(Path(env["HOME"]).iterdir()) == []
    assert list(Path(env["TMPDIR"]).iterdir()) == []
    wait_until(lambda: not processes_of(str(tmp_path)), 10, "all processes ended")


def processes_of(mark: str) -> list[str]:
    """Return the command lines of living processes that have the mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_headless_demo_tells_the_whole_story(env: dict[str, str]) -> None:
    done = subprocess.run(
        [*DEMO, "--speed", "2"], env=env, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    story, _, table = done.stdout.partition("\n\n")
    tags = re.findall(r"\[([A-Z]+)\]", story)
    assert tags[:3] == ["LISTENING", "RECEIVED", "SPAWNING"]
    assert tags.count("SPAWNED") == 4
    assert tags.count("DONE") == 3
    assert "[FAILED] testing: exit 1" in story
    assert "Task: Build a REST API with authentication and tests" in story
    rows = [line.split() for line in table.splitlines()]
    assert [(row[0], row[2], row[3]) for row in rows[1:4]] == [
        ("api-routes", "done", "1"),
        ("auth-system", "done", "1"),
        ("testing", "done", "2"),
    ]
    assert "38 tests pass" in table
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_attached_demo_shows_all_columns_and_prints_the_table_at_the_end(env: dict[str, str]) -> None:
    with Client("", command=[*DEMO, "--speed", "3"], size=(140, 40), env=env) as client:
        client.wait_for("[ORCHESTRATE]", 30)
        client.wait_for(lambda screen: all(n in screen for n in ("api-routes", "auth-system", "testing")), 30)
        client.wait_for("[FAILED] testing: exit 1", 30)
        client.wait_for("all parts are back", 30)
        client.send(PREFIX + "O")
        client.wait_for("api-routes (done)", 10)
        client.send("\x1b")
        client.wait_for(lambda screen: "api-routes (done)" not in screen)
        client.send(PREFIX + "d")
        status = client.wait_exit(15)
        screen = client.screen()
    assert status == 0, screen
    assert re.search(r"testing +sparc +done +2", screen)


def test_attached_demo_left_early_says_so(env: dict[str, str]) -> None:
    with Client("", command=DEMO, size=(80, 24), env=env) as client:
        client.wait_for("Demo agent", 30)
        client.send(PREFIX + "d")
        assert client.wait_exit(15) == 0
        assert "you left before" in client.screen()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_cleans_up(number: signal.Signals, env: dict[str, str]) -> None:
    child = subprocess.Popen(DEMO, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert "LISTENING" in child.stdout.readline()
    child.send_signal(number)
    _, errors = child.communicate(timeout=15)
    assert child.returncode in (130, 128 + number)
    assert "Traceback" not in errors


@pytest.mark.parametrize("wrong", [["--size", "10x3"], ["--size", "big"], ["--speed", "0"]])
def test_wrong_options_are_refused_with_a_sentence(wrong: list[str], env: dict[str, str]) -> None:
    done = subprocess.run([*DEMO, *wrong], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("aiorch: --")


def test_no_tmux_is_told(env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        DEMO, env={**env, "PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "tmux is not installed" in done.stderr


def test_nothing_started_is_not_complete() -> None:
    assert "no worker at all" in _missing([], [Event(1, 0.0, Tag.FAILED, "x")])


def test_request_that_arrived_changed_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    payload = {"task": REQUEST.replace(" with", "  with")}
    journal.add_directive(Directive(payload, Source.SCREEN, "", "", "", "key"), 1)
    assert "was read as" in _changed(journal.directives())
    assert _changed([]) == ""
    journal.close()
