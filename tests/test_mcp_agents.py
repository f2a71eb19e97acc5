"""Real Claude Code and Codex call our MCP server, told of it by `aiorch init --mcp` and by nothing else."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import LabMaker
from support import mock_claude, mock_codex
from support.lab import ECHO, Lab, until
from support.mock_model import Answer

pytestmark = pytest.mark.registry

SECONDS = 60
ARGUMENTS = {"task": 'forty-two; $(touch CANARY) `x` "é"\n#(x)', "type": "echo", "name": "one"}


class _Patient:
    """Makes a mock service call the tool once the program offers it, and keep what the model is told."""

    call = ""

    def __init__(self) -> None:
        self.called = False
        self.heard = ""
        self.turns = 0

    def decide(self, request: dict[str, Any], text: str) -> Answer:
        tools = json.dumps(request.get("tools"))
        if "aiorch" not in tools:
            self.turns += 1
            return Answer("Not yet.")
        if not self.called:
            self.called = True
            return Answer("I delegate.", call=self.call, arguments=ARGUMENTS)
        self.heard += text
        return Answer("That is all.")


class PatientClaude(mock_claude.MockClaude):
    def __init__(self) -> None:
        super().__init__()
        self.patient = _Patient()
        self.patient.call = "mcp__aiorch__spawn_worker"

    def answer(self, request: dict[str, Any]) -> Answer:
        if not request.get("tools"):
            return Answer("ok")
        return self.patient.decide(request, json.dumps(request.get("messages")))


class PatientCodex(mock_codex.MockCodex):
    def __init__(self) -> None:
        super().__init__()
        self.patient = _Patient()
        self.patient.call = "mcp__aiorch/spawn_worker"

    def answer(self, request: dict[str, Any]) -> Answer:
        if not request.get("tools"):
            return Answer("ok")
        return self.patient.decide(request, json.dumps(request.get("input")))


def screen(lab: Lab) -> str:
    return lab.tmux("capture-pane", "-p", "-t", "%0")


def say(lab: Lab, text: str) -> None:
    lab.tmux("send-keys", "-t", "%0", "-l", text)
    until(lambda: text in screen(lab), "the typed prompt")
    lab.tmux("send-keys", "-t", "%0", "Enter")


def told(lab: Lab, agent: str, program: list[str]) -> None:
    """Register the server, start the agent in the first pane, and a run around it."""
    lab.load_plugin()
    assert lab.aiorch("init", "--mcp", "--agent", agent).returncode == 0
    lab.tmux("respawn-pane", "-k", "-t", "%0", "-c", str(lab.project), "--", *program)
    lab.start(ECHO)


def check(lab: Lab, patient: _Patient) -> None:
    until(lambda: "one" in lab.workers() and str(lab.workers()["one"].state) == "done", "the worker", 30)
    assert lab.workers()["one"].task == ARGUMENTS["task"]
    until(lambda: "That is all." in screen(lab), "the end of the turn", 30)
    assert "queued" in patient.heard
    journal = lab.journal()
    assert [row.source for row in journal.directives()] == ["mcp"]
    journal.close()
    assert not lab.finds("CANARY")


def lab_for(make_lab: LabMaker, env: dict[str, str]) -> Lab:
    return make_lab(env={name: env[name] for name in env if name not in ("HOME", "PATH")})


def test_real_claude_starts_a_worker_by_our_tool(claude: Path, make_lab: LabMaker) -> None:
    with PatientClaude() as mock:
        lab = lab_for(make_lab, mock_claude.claude_env(Path("/"), mock.url))
        mock_claude.prepare_home(lab.home, lab.project)
        settings = json.loads((lab.home / ".claude.json").read_text())
        settings["projects"][str(lab.project)]["enabledMcpjsonServers"] = ["aiorch"]
        (lab.home / ".claude.json").write_text(json.dumps(settings))
        told(lab, "claude", [str(claude), "--allowedTools", "mcp__aiorch__spawn_worker"])
        until(lambda: re.search(r"^❯", screen(lab), re.MULTILINE), "the prompt", 60)
        _say_until_offered(lab, mock.patient)
        check(lab, mock.patient)


def test_real_codex_starts_a_worker_by_our_tool(codex: Path, make_lab: LabMaker) -> None:
    with PatientCodex() as mock:
        lab = lab_for(make_lab, mock_codex.codex_env(Path("/")))
        mock_codex.prepare_home(lab.home, lab.project, mock.url)
        told(lab, "codex", ["sh", "-c", shlex.join([str(codex), "--no-daemon"])])
        until(lambda: "›" in screen(lab), "the prompt", 60)
        _say_until_offered(lab, mock.patient)
        check(lab, mock.patient)


def _say_until_offered(lab: Lab, patient: _Patient) -> None:
    """Speak to an agent until it offers our tools: neither of the two waits for servers before a turn."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        before = patient.turns
        say(lab, f"please begin, number {before}")
        until(lambda: patient.called or patient.turns > before, f"an answer\n{screen(lab)}", 30)  # noqa: B023
        if patient.called:
            return
        until(lambda: "Not yet." in screen(lab), "the end of the turn")
        lab.tmux("clear-history", "-t", "%0")
    raise AssertionError(f"no tool of ours was offered:\n{screen(lab)}")
