"""`aiorch up`: the way without a plugin manager."""

from __future__ import annotations

from support.lab import Lab, until


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
