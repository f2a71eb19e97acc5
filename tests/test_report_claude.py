"""Real Claude Code as a lead that ends its turn, and is told by our plugin when its workers are through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import LabMaker
from support.lab import REPO, Lab, until
from support.mock_claude import MockClaude, claude_env, prepare_home
from support.mock_model import Answer

pytestmark = pytest.mark.registry

PLUGIN = REPO / "python/aiorch/teach/claude-plugin"


def screen(lab: Lab) -> str:
    return lab.tmux("capture-pane", "-p", "-t", "%0")


def claude_lab(claude: Path, make_lab: LabMaker, mock: MockClaude) -> Lab:
    theirs = claude_env(Path("/"), mock.url)
    primary = ["env", str(claude), "--plugin-dir", str(PLUGIN)]
    env = {name: theirs[name] for name in theirs if name not in ("HOME", "PATH")}
    lab = make_lab(env=env)
    lab.load_plugin()
    prepare_home(lab.home, lab.project)
    lab.tmux("respawn-pane", "-k", "-t", "%0", "-c", str(lab.project), "--", *primary)
    until(lambda: re.search(r"^❯", screen(lab), re.MULTILINE), "the prompt", 60)
    return lab


def test_real_claude_is_woken_with_the_result_and_a_draft_stays(claude: Path, make_lab: LabMaker) -> None:
    with MockClaude(Answer("I wait for it."), last="Thank you, workers.") as mock:
        lab = claude_lab(claude, make_lab, mock)
        lab.start()
        gate = lab.root / "gate"
        lab.tmux("send-keys", "-t", "%0", "-l", "please delegate")
        until(lambda: "please delegate" in screen(lab), "the typed prompt")
        until(lambda: lab.told("LISTENING", "Claude Code"), "the lead is known", 30)
        task = f"while ! [ -e {gate} ]; do sleep 0.05; done; echo forty-two is the answer"
        lab.aiorch("spawn", "--type", "step", "--name", "a", "--", task)
        lab.tmux("send-keys", "-t", "%0", "Enter")
        until(lambda: "I wait for it." in screen(lab), "the end of the turn", 30)
        lab.tmux("send-keys", "-t", "%0", "-l", "half a thou")
        until(lambda: "half a thou" in screen(lab), "a draft")
        gate.touch()
        until(lambda: "Thank you, workers." in screen(lab), "it is woken", 40)
        assert "half a thou" in screen(lab)
        assert not any("half a thou" in prompt for prompt in mock.prompts)
        assert any("forty-two is the answer" in prompt for prompt in mock.prompts)
        assert lab.told("COLLECTED", "a")
