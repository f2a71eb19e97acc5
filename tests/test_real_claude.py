"""Real Claude Code in a real pane, driven by keys: slow to install, so marked `registry`."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from aiorch import paths
from aiorch.workers.profile import command
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.session import is_kept
from demo_server import PrivateServer, wait_until
from support.mock_claude import MockClaude, claude_env, prepare_home
from support.mock_model import Answer

DIRECTIVE = '[ORCHESTRATE] {"task": "Build a REST API with authentication and tests"}'
REPLY = f"I will split this work.\n\n{DIRECTIVE}\n\nWaiting for the workers now."

WORKERS = ["api-routes", "auth-system", "testing"]
# Scripted workers: a model server for four Claudes would prove nothing more.
CONFIG = 'default_type = "demo"\nretries = 1\nretry_delay = 0.1\n'

pytestmark = pytest.mark.registry


@contextmanager
def claude_pane(claude: Path, folder: Path) -> Iterator[tuple[PrivateServer, str, MockClaude]]:
    """Run Claude Code in the only pane of a private server, ready for a prompt."""
    project = folder / "project"
    project.mkdir()
    prepare_home(folder, project)
    with MockClaude(Answer(REPLY)) as mock:
        env = {**claude_env(folder, mock.url), "AIORCH_DEMO_SPEED": "5"}
        with PrivateServer(folder, (150, 40), env) as server:
            pane = server.start("env", "-C", str(project), str(claude))
            wait_until(lambda: re.search(r"^❯", server.screen(pane), re.MULTILINE), 60, "the prompt")
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


def aiorch(server: PrivateServer, *words: str) -> str:
    argv = [sys.executable, "-E", "-s", "-B", str(paths.plugin_dir() / "python")]
    argv += ["--socket", server.socket, "--session", "test", *words]
    done = subprocess.run(argv, env=server.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def worker_panes(server: PrivateServer) -> list[str]:
    names = server.run("list-panes", "-s", "-F", "#{?#{==:#{@aiorch_role},worker},#{@aiorch_name},}")
    return sorted(names.split())


def test_real_claude_delegates_to_workers_in_panes(claude: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    with claude_pane(claude, tmp_path) as (server, pane, _):
        aiorch(server, "start", "--pane", pane, "--config", str(config))
        assert "Claude Code" in aiorch(server, "log")
        say(server, pane, "please build the API")
        wait_until(lambda: worker_panes(server) == WORKERS, 60, "three worker panes")
        wait_until(lambda: aiorch(server, "log").count("[DONE]") == len(WORKERS), 60, "all workers done")
        log = aiorch(server, "log")
        assert "[RECEIVED] Task: Build a REST API with authentication and tests" in log
        assert "named by the agent's own register of sessions" in log
        assert "from transcript at" in aiorch(server, "show", "1")
        assert server.run("display", "-p", "#{pane_id}").strip() == pane
        aiorch(server, "stop")
        wait_until(lambda: server.run("list-panes", "-F", "x").split() == ["x"], 10, "Claude alone")
        assert server.run("display", "-p", "-t", pane, "#{pane_dead}").strip() == "0"


def test_real_claude_that_was_cut_off_goes_on_in_its_session(claude: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    prepare_home(tmp_path, project)
    profile = replace(load_profiles(None)["claude"], program=str(claude))
    session = str(uuid.uuid4())
    options = partial(command, profile, mode="oneshot", permission="edit", role=None, session=session)
    first, _ = options(task="Build the first half")
    second, _ = options(task="Go on with the second half", resumes=True)
    may_answer = threading.Event()
    with MockClaude(Answer("Done.", held=may_answer), last="Done.") as mock:
        env = claude_env(tmp_path, mock.url)
        with subprocess.Popen(first, cwd=project, env=env, stdin=subprocess.DEVNULL) as cut_off:
            wait_until(lambda: any("first half" in prompt for prompt in mock.prompts), 60, "it works")
            wait_until(lambda: is_kept(profile.sessions, session, env), 60, "its session is written")
            cut_off.kill()
        may_answer.set()
        mock.prompts.clear()
        done = subprocess.run(
            second, cwd=project, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        said = "\n".join(mock.prompts)
        assert "first half" in said and "second half" in said
