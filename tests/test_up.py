"""`aiorch up`: the way without a plugin manager."""

from __future__ import annotations

import json
import sys

from support.client import PREFIX, Client
from support.lab import REPO, STEP, Lab, until


def _panes(lab: Lab) -> list[str]:
    return lab.tmux("list-panes", "-s", "-t", "ai-orchestrator", "-F", "#{@aiorch_role} #{pane_width}").split(
        "\n"
    )


def test_up_makes_session_with_agent_in_three_columns_and_comes_back_to_it(lab: Lab) -> None:
    lab.configure('default_type = "demo"\n')
    first = lab.aiorch("up", "--agent", "demo", "--no-attach")
    assert "listening" in first.stdout
    roles = {row.split()[0]: int(row.split()[1]) for row in _panes(lab)}
    assert set(roles) == {"primary", "monitor", "placeholder"}
    assert max(roles.values()) - min(roles.values()) <= 1
    assert "aiorch: open" in lab.tmux("list-keys", "-N", "-T", "prefix")
    assert "AIORCH_STATUS" in lab.tmux("show-options", "-gv", "status-right")
    pane = lab.tmux("display-message", "-p", "-t", "ai-orchestrator:", "#{pane_id} #{@aiorch_engine}")
    lab.aiorch("up", "--agent", "demo", "--no-attach")
    assert lab.tmux("display-message", "-p", "-t", "ai-orchestrator:", "#{pane_id} #{@aiorch_engine}") == pane
    lab.aiorch("up", "--session", "other", "--agent", "demo", "--no-attach")
    assert "other" in lab.tmux("list-sessions", "-F", "#{session_name}")


def test_up_names_what_to_install_when_there_is_no_agent(lab: Lab) -> None:
    done = lab.aiorch("up", "--no-attach", check=False)
    assert done.returncode == 1
    assert "claude" in done.stderr
    assert lab.tmux("list-sessions", "-F", "#{session_name}") == "m"


def test_up_with_an_unknown_agent_says_which_are_known(lab: Lab) -> None:
    done = lab.aiorch("up", "--agent", "clawd", "--no-attach", check=False)
    assert done.returncode == 1
    assert "codex" in done.stderr


def test_up_finds_the_installed_agent_by_itself(lab: Lab) -> None:
    lab.put_program("claude", "#!/bin/sh\nprintf 'I am a stand-in\\n'\nexec cat\n")
    lab.aiorch("up", "--no-attach")
    until(lambda: "stand-in" in lab.tmux("capture-pane", "-p", "-t", "ai-orchestrator:"), "the agent runs")


def test_workers_without_any_agent_fail_with_a_sentence_that_helps(lab: Lab) -> None:
    lab.start("")
    lab.aiorch("run", "just do it")
    lab.wait_told("FAILED", "simple: ")
    lab.wait_state(simple="failed")
    assert "claude" in lab.workers()["simple"].reason


def test_detaching_and_attaching_again_loses_nothing(lab: Lab) -> None:
    lab.configure('default_type = "step"\n' + STEP)
    lab.put_program("claude", "#!/bin/sh\nprintf 'I am a stand-in\\n'\nexec cat\n")
    program = [sys.executable, "-E", "-s", str(REPO / "python"), "--socket", str(lab.socket), "up"]
    with Client(str(lab.socket), command=program, env=lab.env, size=(150, 40)) as client:
        client.wait_for("I am a stand-in", 15.0)
        client.wait_for("Workers appear here")
        client.wait_for("◆ aiorch")
        client.send(PREFIX + "d")
        client.wait_exit()
    gate = lab.root / "gate"
    task = f"while [ ! -e {gate} ]; do sleep 0.05; done; echo done while nobody looked; sleep 60"
    plan = json.dumps([{"name": "a", "type": "step", "task": task}])
    base = ["--session", "ai-orchestrator"]
    lab.aiorch(*base, "run", "it", "--workers", plan)
    gate.touch()
    with Client(str(lab.socket), command=program, env=lab.env, size=(150, 40)) as client:
        client.wait_for("done while nobody looked", 15.0)
        client.wait_for("1 ▶")
        client.send(PREFIX + "d")
        client.wait_exit()
