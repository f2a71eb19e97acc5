"""Finding the session file of an agent that has ended: only what nobody else can have written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aiorch.capture.transcript.find import Found, find_ended
from support.sessions import age, new_id, write
from support.standin import StandIn

FORMATS = ("aider", "claude", "codex", "copilot", "gemini", "opencode", "qwen")
SEVERAL = tuple(name for name in FORMATS if name != "aider")


def ended(agent: StandIn, started: float, taken: set[tuple[Path, str]] | None = None) -> Found | None:
    return find_ended(agent.format, str(agent.cwd), agent.environment, started, taken or set())


@pytest.mark.parametrize("format", FORMATS)
def test_the_one_session_of_its_time_is_found(format: str, home: Path, project: Path) -> None:
    started, session = time.time(), new_id()
    with StandIn(format, home, project) as agent:
        path = write(agent, session)
    found = ended(agent, started)
    assert found is not None and (found.path, found.certain) == (path, True)
    assert found.session == (session if format == "opencode" else "")
    # What another worker is known to have written is not this one's.
    assert ended(agent, started, {(found.path, found.session)}) is None
    assert ended(agent, time.time() + 10) is None


@pytest.mark.parametrize("format", SEVERAL)
def test_of_two_sessions_none_is_taken(format: str, home: Path, project: Path) -> None:
    started = time.time()
    with StandIn(format, home, project) as agent:
        write(agent, new_id())
        write(agent, new_id())
    assert ended(agent, started) is None


@pytest.mark.parametrize("format", FORMATS)
def test_another_agent_in_the_directory_makes_it_uncertain(format: str, home: Path, project: Path) -> None:
    started = time.time()
    with StandIn(format, home, project) as agent:
        write(agent, new_id())
    with StandIn(format, home, project):
        assert ended(agent, started) is None
    assert ended(agent, started) is not None


@pytest.mark.parametrize("format", ["codex", "gemini"])
def test_session_of_before_or_of_elsewhere_is_not_taken(
    format: str, home: Path, project: Path, tmp_path: Path
) -> None:
    with StandIn(format, home, project) as agent:
        age(write(agent, new_id()))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    started = time.time()
    with StandIn(format, home, elsewhere) as other:
        write(other, new_id())
    assert ended(agent, started) is None
