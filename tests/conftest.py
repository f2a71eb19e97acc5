"""Fixtures that all tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.actor import AGENT
from support.lab import Lab
from support.mock_claude import ClaudeUnavailableError, install_claude
from support.mock_codex import CodexUnavailableError, install_codex

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job in the background of a script has it ignored, and would hand that on to all it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LabMaker = Callable[..., Lab]


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[LabMaker]:
    """Return a function that makes a lab of its own for the test; the arguments are those of Lab."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Lab(tmp_path / "lab", **options))


@pytest.fixture
def lab(make_lab: LabMaker) -> Lab:
    """Return a lab with a shell as the primary in a window of 160 x 44."""
    return make_lab()


@pytest.fixture
def agent_lab(tmp_path: Path) -> Iterator[Lab]:
    """Return a lab whose primary is an agent that prints what the test tells it."""
    lab = Lab(tmp_path / "lab")
    lab.be_primary("claude", AGENT)
    with lab:
        yield lab


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return an empty home for a process that a test starts."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return an empty project whose name has all that is hard to write down."""
    path = tmp_path / "prö j_ect.𝒳"
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def claude() -> Path:
    """Return the program of real Claude Code; tests that want it are marked `registry`."""
    try:
        return install_claude()
    except ClaudeUnavailableError as error:
        pytest.skip(f"REAL CLAUDE CODE NOT TESTED: {error}")


@pytest.fixture(scope="session")
def codex() -> Path:
    """Return the program of real Codex; tests that want it are marked `registry`."""
    try:
        return install_codex()
    except CodexUnavailableError as error:
        pytest.skip(f"REAL CODEX NOT TESTED: {error}")
