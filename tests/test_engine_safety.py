"""What must not happen: lost or doubled work, a changed window, a bad directive that stops the rest."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from typing import NamedTuple

import pytest

from conftest import LabMaker
from support.client import PREFIX, Client
from support.lab import REPO, STEP, Lab, alive, until

DEFAULT_STEP = 'default_type = "step"\n' + STEP


class Bad(NamedTuple):
    test_id: str
    line: str
    tag: str
    words: str


SHELL = '[{"name": "a", "type": "shell", "task": "id"}]'
STEPP = '[{"name": "a", "type": "stepp"}]'
BAD = [
    Bad("cut off", '[ORCHESTRATE] {"task": "x"', "ERROR", ""),
    Bad("no json", "[ORCHESTRATE] do it please", "ERROR", "no JSON"),
    Bad("broken json", "[ORCHESTRATE] {'task': 'x'}", "ERROR", ""),
    Bad("no task", '[ORCHESTRATE] {"tsk": "x"}', "ERROR", "task"),
    Bad("wrong type", '[ORCHESTRATE] {"task": 7}', "ERROR", "task"),
    Bad("empty task", '[ORCHESTRATE] {"task": "  "}', "ERROR", "task"),
    Bad("control characters", '[ORCHESTRATE] {"task": "a\\u001b[31mb"}', "ERROR", "task"),
    Bad("workers of a wrong type", '[ORCHESTRATE] {"task": "x", "workers": 3}', "ERROR", "workers"),
    Bad("unknown type", f'[ORCHESTRATE] {{"task": "x", "workers": {STEPP}}}', "ERROR", "stepp"),
    Bad("in a sentence", 'then say [ORCHESTRATE] {"task": "x"}', "IGNORED", ""),
    Bad("shell", f'[ORCHESTRATE] {{"task": "x", "workers": {SHELL}}}', "ERROR", "not allowed"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.test_id)
def test_bad_directive_is_told_and_kept_and_the_next_one_works(lab: Lab, bad: Bad) -> None:
    lab.start(DEFAULT_STEP)
    lab.say_line(bad.line)
    lab.say({"task": "sleep 9"})
    lab.wait_told("ASKING")
    lab.aiorch("approve")
    until(lambda: "simple" in lab.workers(), "the good directive's worker")
    lab.wait_told(bad.tag, bad.words)
    journal = lab.journal()
    kept = [row for row in journal.directives() if row.state in ("rejected", "ignored")]
    journal.close()
    assert any("ORCHESTRATE" in row.received_as or "task" in row.received_as for row in kept)
    assert lab.aiorch("show", str(kept[0].number)).stdout


def test_unknown_keys_are_told_and_never_executed(lab: Lab) -> None:
    lab.start(DEFAULT_STEP)
    lab.say({"task": "true", "cmd": "touch owned"})
    lab.wait_told("IGNORED", "cmd")
    lab.aiorch("approve")
    lab.wait_state(simple="done")
    assert not (lab.project / "owned").exists()


def test_task_of_a_megabyte_is_refused_and_the_rest_goes_on(lab: Lab) -> None:
    lab.start(DEFAULT_STEP)
    lab.say({"task": "x" * 1_000_000})
    lab.wait_told("ERROR")
    lab.say({"task": "true"})
    lab.wait_told("ASKING")


def test_id_used_before_is_ignored_and_with_another_task_an_error(lab: Lab) -> None:
    lab.start()
    for task in ("true", "true", "false"):
        lab.aiorch("run", task, "--id", "7f3a", "--workers", '[{"name": "a", "type": "step"}]', check=False)
    lab.wait_told("IGNORED", '"7f3a" has run already')
    lab.wait_told("ERROR", '"7f3a" was used before')
    lab.wait_state(a="done")
    assert list(lab.workers()) == ["a"]


def test_pane_piped_by_something_else_is_not_taken_over(lab: Lab) -> None:
    lab.tmux("pipe-pane", "-t", "%0", "cat >/dev/null")
    layout = lab.tmux("display-message", "-p", "-t", "m", "#{window_layout}")
    lab.configure(STEP)
    done = lab.aiorch("start", "--pane", "%0", check=False)
    assert done.returncode != 0
    assert "piped" in done.stderr
    assert lab.tmux("display-message", "-p", "-t", "m", "#{pane_pipe} #{window_layout}") == f"1 {layout}"


def test_wrong_configuration_is_told_whole_and_changes_nothing(lab: Lab) -> None:
    lab.configure("max_workers = 0\nretrys = 2\n")
    done = lab.aiorch("start", "--pane", "%0", check=False)
    assert done.returncode != 0
    assert "max_workers" in done.stderr
    assert "retrys" in done.stderr
    assert len(lab.panes("pane_id")) == 1


def test_one_engine_per_session(lab: Lab) -> None:
    lab.start()
    done = lab.aiorch("start", "--pane", "%0", check=False)
    assert done.returncode == 3
    assert "already runs" in done.stderr


@pytest.mark.parametrize("own", [True, False])
def test_stop_puts_the_window_back_and_leaves_nothing(lab: Lab, own: bool) -> None:
    lab.tmux("split-window", "-d", "-v", "-l", "10", "-t", "%0", "--", "cat", "-u")
    lab.tmux("set-option", "-w", "-t", "m", "pane-border-status", "bottom")
    lab.tmux("set-option", "-w", "-t", "m", "pane-border-format", "mine #{pane_index}")
    if own:
        lab.tmux("set-hook", "-t", "m", "client-detached", "display-message mine")

    def facts() -> list[str]:
        asked = (
            "display-message -p -t m '#{window_layout} #{pane_id}'",
            "show-options -t m", "show-options -w -t m", "show-options -p -t %0", "show-hooks -t m",
            "show-hooks -g",
            "show-environment -t m", "show-environment -h -t m", "list-windows -t m -F '#{window_id}'",
            "list-panes -s -t m -F '#{pane_id} #{pane_pipe}'",
        )  # fmt: skip
        return [lab.tmux(*shlex.split(command)) for command in asked]

    before = facts()
    lab.start("max_workers = 9\n" + STEP)
    names = [f"w{index}" for index in range(9)]
    lab.delegate(*[(name, "sleep 60") for name in names])
    lab.wait_state(**dict.fromkeys(names, "working"))
    pids = [row.pid for row in lab.workers().values()]
    engine = lab.engine_pids()
    lab.aiorch("stop")
    until(lambda: not any(alive(pid) for pid in [*pids, *engine]), "workers and engine have ended")
    assert facts() == before
    assert lab.aiorch("status", check=False).returncode == 3


def test_killed_engine_comes_back_by_itself_and_nothing_is_lost_or_doubled(lab: Lab) -> None:
    lab.start(DEFAULT_STEP)
    mark = lab.root / "ran"
    lab.delegate(("a", f"echo a >>{mark}; sleep 1; exit 4"), ("b", f"echo b >>{mark}; sleep 60"))
    lab.wait_state(a="working", b="working")
    killed = lab.kill_engine()
    # Said while no engine listens: the log is the queue.
    lab.say({"task": "true"})
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    lab.wait_told("ASKING")
    lab.wait_state(a="failed", b="working")
    lab.wait_told("FAILED", "a: exit 4")
    assert sorted(mark.read_text().split()) == ["a", "b"]
    assert [event.text for event in lab.events() if event.tag == "RECEIVED"][-1] == "Task: true"
    assert len([event for event in lab.events() if event.tag == "ASKING"]) == 1
    until(
        lambda: "1 ▶" in lab.tmux("display-message", "-p", "-t", "m", "#{AIORCH_STATUS}"),
        "the status is back",
    )


def test_engine_killed_again_and_again_gives_up_and_says_so(lab: Lab) -> None:
    lab.start()
    lab.run.joinpath("restarts").write_text("99999999999\n" * 5)
    lab.kill_engine()
    until(
        lambda: "engine died" in lab.tmux("display-message", "-p", "-t", "m", "#{AIORCH_STATUS}"),
        "it gives up",
    )
    # As the hook runs it: nothing comes over the lead's pane.
    lab.tmux("run-shell", "-t", "%0", "#{@aiorch_revive}")
    assert lab.tmux("display-message", "-p", "-t", "%0", "#{pane_in_mode}") == "0"


def test_engine_ends_with_its_session_and_other_sessions_are_untouched(lab: Lab) -> None:
    lab.tmux("new-session", "-d", "-s", "other", "--", "cat", "-u")
    lab.start()
    (engine,) = lab.engine_pids()
    lab.delegate(("a", "sleep 60"))
    lab.wait_state(a="working")
    lab.tmux("kill-session", "-t", "m")
    until(lambda: not alive(engine), "the engine ends")
    assert lab.tmux("list-sessions", "-F", "#{session_name}") == "other"
    lab.tmux("new-session", "-d", "-s", "m", "--", "sh")


def test_closed_worker_pane_is_a_killed_worker(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "sleep 60"), ("b", "sleep 60"))
    lab.wait_state(a="working", b="working")
    lab.tmux("kill-pane", "-t", lab.workers()["a"].pane)
    lab.wait_state(a="killed", b="working")
    lab.wait_told("STOPPED", "a: its pane was closed")


def test_killed_wrapper_is_seen_and_its_signal_told(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "sleep 60"))
    lab.wait_state(a="working")
    os.kill(lab.workers()["a"].pid, signal.SIGKILL)
    lab.wait_state(a="failed")
    lab.wait_told("FAILED", "a: signal 9")


def test_exits_are_right_whatever_tmux_remembers(make_lab: LabMaker) -> None:
    lab = make_lab(size=(160, 120))
    lab.start("max_workers = 20\nmin_rows = 2\n" + STEP)
    wanted = {f"w{index}": index % 4 for index in range(20)}
    lab.delegate(*[(name, f"sleep 0.0{index}; exit {wanted[name]}") for index, name in enumerate(wanted)])
    until(lambda: all(row.ended for row in lab.workers().values()) and len(lab.workers()) == 20, "all ended")
    assert {name: row.status for name, row in lab.workers().items()} == wanted


def test_directives_from_before_the_start_never_run(lab: Lab) -> None:
    lab.say({"task": "true"})
    until(lambda: "\n[ORCHESTRATE]" in lab.tmux("capture-pane", "-p", "-t", "%0"), "it is on the screen")
    lab.start(DEFAULT_STEP)
    lab.wait_told("IGNORED", "before start")
    lab.say({"task": "false"})
    lab.wait_told("ASKING")
    journal = lab.journal()
    assert [dict(row.payload) for row in journal.directives() if row.state == "asking"] == [{"task": "false"}]
    journal.close()


def test_menu_opens_for_the_client_that_asks_and_its_entries_work(lab: Lab) -> None:
    lab.start(DEFAULT_STEP)
    lab.say({"task": "sleep 60"})
    lab.wait_told("ASKING")
    with Client(str(lab.socket), target="m", size=(160, 44)) as client:
        name = lab.tmux("list-clients", "-t", "m", "-F", "#{client_control_mode} #{client_name}")
        (terminal,) = [row[2:] for row in name.split("\n") if row.startswith("0 ")]
        lab.request({"verb": "menu", "client": terminal})
        client.wait_for("New worker")
        client.wait_for("sleep 60")
        client.send("y")
        lab.wait_state(simple="working")
        client.send(PREFIX + "d")
        client.wait_exit()


def test_worker_may_not_delegate(lab: Lab) -> None:
    lab.start()
    program = f"{sys.executable} -E -s {REPO / 'python'} --run {lab.run} run nested"
    lab.delegate(("a", program))
    lab.wait_state(a="failed")
    lab.wait_told("ERROR", "not allowed: a worker")
    assert list(lab.workers()) == ["a"]


def test_worker_over_its_time_limit_fails_and_is_gone(lab: Lab) -> None:
    lab.start("time_limit = 0.5\n" + STEP)
    lab.delegate(("a", "trap '' TERM; sleep 60 & wait; sleep 60"))
    lab.wait_state(a="working")
    pid = lab.workers()["a"].pid
    lab.wait_state(a="failed")
    lab.wait_told("FAILED", "a: over its time limit of 0.5 s")
    until(lambda: not alive(pid), "its process is gone")


def test_agent_recognised_only_when_it_prints_loses_nothing(lab: Lab) -> None:
    # A stand-in that is found by its name. It is silent for longer than the engine waits before it looks
    # again who runs in the pane, so that it is recognised by the very output that holds the directive.
    said = '[ORCHESTRATE] {"task": "true"}'
    lab.put_program("codex", f"#!/bin/sh\nsleep 1.2\nprintf '%s\\n' '{said}'\nsleep 60\n:\n")
    lab.start(DEFAULT_STEP)
    lab.type("codex exec something")
    lab.wait_told("LISTENING", "Codex")
    lab.wait_told("RECEIVED", "Task: true")
