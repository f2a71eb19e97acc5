"""Real Claude Code in a real pane, driven by keys: slow to install, so marked `registry`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo_server import PrivateServer, wait_until
from support.mock_claude import ClaudeUnavailableError, MockClaude, claude_env, install_claude, prepare_home

DIRECTIVE = '[ORCHESTRATE] {"task": "Build a REST API with authentication and tests"}'
REPLY = f"I will split this work.\n\n{DIRECTIVE}\n\nWaiting for the workers now."

pytestmark = pytest.mark.registry


@pytest.fixture(scope="module")
def claude() -> Path:
    cache = os.environ.get("AIORCH_TEST_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    try:
        return install_claude(Path(cache) / "aiorch-tests")
    except ClaudeUnavailableError as error:
        pytest.skip(f"REAL CLAUDE CODE NOT TESTED: {error}")


@contextmanager
def claude_pane(claude: Path, folder: Path) -> Iterator[tuple[PrivateServer, str, MockClaude]]:
    """Run Claude Code in the only pane of a private server, ready for a prompt."""
    project = folder / "project"
    project.mkdir()
    prepare_home(folder, project)
    with MockClaude(REPLY) as mock, PrivateServer(folder, (120, 40), claude_env(folder, mock.url)) as server:
        server.run("set", "-g", "default-command", "", ";", "set", "-g", "default-shell", "/bin/sh")
        pane = server.start("env", "-C", str(project), str(claude))
        wait_until(lambda: re.search(r"^❯", server.screen(), re.MULTILINE), 60, "the prompt")
        yield server, pane, mock


def say(server: PrivateServer, pane: str, text: str) -> None:
    """Type a prompt as a person does, and send it when the box shows it."""
    server.run("send-keys", "-t", pane, "-l", text)
    wait_until(lambda: text in server.screen(pane), 10, "the typed prompt")
    server.run("send-keys", "-t", pane, "Enter")


def test_real_claude_prints_the_directive_after_a_typed_prompt(claude: Path, tmp_path: Path) -> None:
    with claude_pane(claude, tmp_path) as (server, pane, mock):
        say(server, pane, "please build the API")
        wait_until(lambda: "Waiting for the workers now." in server.screen(pane), 30, "the answer")
        rows = server.screen(pane)
        assert f"\n  {DIRECTIVE}" in rows
        assert any("please build the API" in prompt for prompt in mock.prompts)
