"""Real Claude Code and Codex as workers, each stage seen right: slow to install, so marked `registry`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.lab import until
from support.mock_model import Answer
from support.real import RealWorker, real_worker

pytestmark = pytest.mark.registry

YES, UP, DOWN, ESCAPE = "\r", "\x1b[A", "\x1b[B", "\x1b"
LEAVE = {"claude": "/exit", "codex": "/quit"}
AGENTS = pytest.mark.parametrize("agent", ["claude", "codex"])


@pytest.fixture
def program(agent: str, request: pytest.FixtureRequest) -> Path:
    found = request.getfixturevalue(agent)
    assert isinstance(found, Path)
    return found


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Return what holds an answer back; nobody is left waiting for it."""
    event = threading.Event()
    yield event
    event.set()


def shows(worker: RealWorker, sign: str) -> None:
    until(lambda: sign in worker.segment, f"{sign} in the segment")


@AGENTS
def test_an_agent_asks_is_answered_ends_its_turn_and_is_left(
    agent: str, program: Path, tmp_path: Path, held: threading.Event
) -> None:
    script = Answer("I begin.", run="touch x", held=held), Answer("The file is there.")
    with real_worker(agent, program, tmp_path / "lab", *script) as worker:
        worker.begin()
        until(lambda: "I begin." in worker.screen, "it answers", 30)
        until(lambda: worker.row.worked, "it is seen at work")
        assert worker.listed()["state"] == "working"
        held.set()
        worker.wait("waiting", "permission: touch x")
        shows(worker, "1 !")
        assert worker.listed()["waits"] == "permission: touch x"
        told = worker.explained()
        assert told["agent"]["state"] == "waiting" and told["agent"]["reason"] == "permission: touch x"
        assert not (worker.lab.project / "x").exists()
        worker.answer(YES)
        worker.wait("done")
        shows(worker, "1 ✔")
        assert (worker.lab.project / "x").exists()
        assert worker.explained()["agent"]["state"] == "idle"
        # Between the answer and the end of the turn there may be no time to be seen at work.
        steps = [step for step in worker.steps() if step != "working"]
        assert steps == ["queued", "starting", "waiting", "done"]
        worker.say(LEAVE[agent])
        until(lambda: worker.row.status == 0, "its exit status")
        told = worker.explained()
        assert told["state"] == "done"
        assert told["agent"] == {
            "state": "exited", "reason": "exit 0", "rule": "wrapper.exit", "source": "exit",
        }  # fmt: skip


@AGENTS
def test_what_is_broken_off_or_refused_or_fails_is_not_done(
    agent: str, program: Path, tmp_path: Path, held: threading.Event
) -> None:
    script = Answer("I begin.", held=held), Answer("Now y.", run="touch y")
    with real_worker(agent, program, tmp_path / "lab", *script) as worker:
        worker.begin()
        until(lambda: "I begin." in worker.screen, "it answers", 30)
        until(lambda: worker.row.worked, "it is seen at work")
        worker.press("Escape")
        worker.wait("waiting", "interrupted")
        shows(worker, "1 !")
        worker.say("now y")
        worker.wait("waiting", "permission: touch y")
        worker.answer(ESCAPE)
        worker.wait("waiting", "interrupted")
        assert not (worker.lab.project / "y").exists()
        assert worker.explained()["agent"]["source"] == "session"
        worker.mock.last = Answer(status=400)
        worker.say("now z")
        until(lambda: worker.row.waits.startswith("error:"), "the error", 30)
        assert "scripted failure 400" in worker.row.waits
        assert "done" not in worker.steps()
        before = len(worker.steps())
        worker.mock.script = [Answer(status=529), Answer(status=529)]
        worker.mock.last = Answer("At last.")
        worker.say("once more")
        worker.wait("done")
        assert worker.steps()[before:] == ["working", "done"]


def test_claude_asks_whether_to_trust_a_folder(claude: Path, tmp_path: Path) -> None:
    with real_worker("claude", claude, tmp_path / "lab", Answer("I am done."), trusts=False) as worker:
        worker.begin()
        worker.wait("waiting", "trust dialog")
        shows(worker, "1 !")
        assert worker.explained()["agent"]["rule"] == "claude.screen.trust"
        until(lambda: "❯ No, exit" in worker.screen, "the choice")
        worker.answer(DOWN)
        until(lambda: "❯ Yes" in worker.screen, "the choice")
        worker.answer(YES)
        worker.wait("done")
