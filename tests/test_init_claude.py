"""Real Claude Code, started by `aiorch up`, is taught to delegate: slow to install, so marked `registry`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from aiorch.teach import claude_plugin
from aiorch.teach.lesson import FENCE, lesson
from conftest import LabMaker
from support.lab import Lab, until
from support.mock_claude import MockClaude, claude_env, prepare_home
from support.mock_model import Answer

SESSION = "ai-orchestrator:"
# A reply in the form that the lesson teaches.
DIRECTIVE = '[ORCHESTRATE] {"id": "7f3a", "task": "Count the `files` with a \\\\ in their *name*"}'
REPLY = f"Understood.\n\n```\n{DIRECTIVE}\n```\n"

pytestmark = pytest.mark.registry


class ListeningMock(MockClaude):
    """Keeps every request of the conversation whole."""

    def __init__(self, *script: Answer) -> None:
        super().__init__(*script)
        self.requests: list[str] = []

    def answer(self, request: dict[str, Any]) -> Answer:
        if request.get("tools"):
            self.requests.append(json.dumps([request.get("system"), request.get("messages")]))
        return super().answer(request)

    def heard(self, text: str) -> bool:
        """Return whether a text, as it is in a JSON string, was in a request."""
        return any(json.dumps(text)[1:-1] in request for request in self.requests)


def screen(lab: Lab) -> str:
    return lab.tmux("capture-pane", "-p", "-t", "%1")


def say(lab: Lab, text: str) -> None:
    """Type a prompt as a person does, and send it when the box shows it."""
    lab.tmux("send-keys", "-t", "%1", "-l", text)
    until(lambda: text in screen(lab), "the typed prompt")
    lab.tmux("send-keys", "-t", "%1", "Enter")


def plugin_files() -> dict[str, str]:
    folder = claude_plugin.FOLDER
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_up_teaches_claude_and_touches_no_setting(claude: Path, make_lab: LabMaker) -> None:
    with ListeningMock(Answer(REPLY)) as mock:
        theirs = claude_env(Path("/"), mock.url)
        lab = make_lab(env={name: theirs[name] for name in theirs if name not in ("HOME", "PATH")})
        lab.put_program("claude", f'#!/bin/sh\nexec "{claude}" "$@"\n')
        prepare_home(lab.home, lab.project)
        settings = lab.home / ".claude/settings.json"
        settings.parent.mkdir()
        settings.write_text("{}\n")
        lab.configure('default_type = "demo"\n')
        lab.aiorch("up", "--agent", "claude", "--no-attach")
        assert lab.tmux("list-panes", "-t", SESSION, "-F", "#{pane_id} #{@aiorch_role}").startswith(
            "%1 primary"
        )
        until(lambda: re.search(r"^❯", screen(lab), re.MULTILINE), "the prompt", 60)
        say(lab, "hello there")
        until(lambda: "Understood." in screen(lab), "the answer", 30)
        brief = json.loads(claude_plugin.files()["hooks/session-start.json"])
        assert mock.heard(brief["hookSpecificOutput"]["additionalContext"])
        assert mock.heard("aiorch:delegate: How to delegate work to worker agents")
        assert not mock.heard(lesson(FENCE)), "the lesson is only loaded when it is needed"
        say(lab, "/aiorch:delegate")
        until(lambda: mock.heard(lesson(FENCE).strip()), "the skill's text", 30)
        assert settings.read_text() == "{}\n"
        # Claude Code counts by itself how often a plugin was used; nothing installs or enables ours.
        state = json.loads((lab.home / ".claude.json").read_text())
        assert "enabledPlugins" not in state
        assert plugin_files() == claude_plugin.files()
        lab.wait_told("DONE")
        tags = [str(event.tag) for event in lab.events()]
        assert tags.count("RECEIVED") == 1
        assert not {"ERROR", "IGNORED", "ASKING"}.intersection(tags)
        assert lab.told("RECEIVED", "Count the `files` with a \\ in their *name*")
