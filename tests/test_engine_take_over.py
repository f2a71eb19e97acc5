"""tmux dies under a run: what was done stays known, what was cut off begins again where it may."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from aiorch.errors import UsageError
from aiorch.runs import CutOff, choose
from conftest import LabMaker
from support.actor import CONFIG, Actor, directive, tasks
from support.client import PREFIX, Client
from support.crashes import CONFIG as CRASHES
from support.crashes import Crashes, Rounds
from support.lab import STEP, Lab, alive, until

GATED = "while [ ! -e {gate} ]; do sleep 0.05; done; echo {name} >>ran"
# Claude Code's own sessions: an attempt is cut off, the next one goes on where it was.
CLAUDE = """#!/bin/sh
printf '%s\\n' "$*" >>"$HOME/calls"
mkdir -p "$HOME/.claude/projects/here"
[ -e "$HOME/early" ] || touch "$HOME/.claude/projects/here/$5.jsonl"
case "$*" in *--resume*) exit 0 ;; esac
exec sleep 60
"""


def kill_server(lab: Lab) -> None:
    """Let the tmux server die as in a power cut, and wait until all that was in it is gone."""
    server = int(lab.tmux("display-message", "-p", "#{pid}"))
    pids = [server, *lab.engine_pids()]
    pids += [row.pid for row in lab.workers().values() if row.state == "working"]
    os.kill(server, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids), "server, engine and workers are gone")


def ran(lab: Lab) -> list[str]:
    path = lab.project / "ran"
    return path.read_text().split() if path.exists() else []


def spec(lab: Lab, name: str, **more: object) -> dict[str, object]:
    task = GATED.format(gate=lab.root / f"gate-{name}", name=name)
    return {"name": name, "type": "step", "task": task, **more}


def test_a_crew_goes_on_in_a_new_server(lab: Lab) -> None:
    lab.start(f"max_workers = 3\n{STEP}")
    for name in ("early", "again", "waits"):
        (lab.root / f"gate-{name}").touch()
    lab.delegate(spec(lab, "early"))
    lab.wait_state(early="done")
    (lab.root / "gate-again").unlink()
    lab.delegate(spec(lab, "cut"), spec(lab, "again", idempotent=True), spec(lab, "busy"), spec(lab, "waits"))
    lab.wait_state(cut="working", again="working", busy="working", waits="queued")
    kill_server(lab)
    assert ran(lab) == ["early"]
    (lab.root / "gate-again").touch()
    lab.__enter__()
    said = lab.aiorch("resume")
    assert "4 unfinished" in said.stdout and "1 done" in said.stdout
    lab.wait_state(early="done", cut="lost", again="done", busy="lost", waits="done")
    assert sorted(ran(lab)) == ["again", "early", "waits"]
    assert "aiorch retry cut" in lab.workers()["cut"].reason
    roles = [row[0] for row in lab.panes("@aiorch_role")]
    assert {"primary", "monitor", "worker"} <= set(roles)
    (lab.root / "gate-cut").touch()
    lab.aiorch("retry", "cut")
    lab.wait_state(cut="done")
    # What is said now is a directive like any other.
    lab.delegate(("new", "true"))
    lab.wait_state(new="done")
    lab.aiorch("stop")
    assert "no run was cut off" in lab.aiorch("resume", "--list").stdout


def test_the_user_may_have_all_run_once_more(lab: Lab) -> None:
    lab.start()
    lab.delegate(spec(lab, "cut"))
    lab.wait_state(cut="working")
    kill_server(lab)
    (lab.root / "gate-cut").touch()
    lab.__enter__()
    lab.aiorch("resume", "--rerun")
    lab.wait_state(cut="done")
    assert ran(lab) == ["cut"]


def test_a_type_may_run_once_more_and_who_waits_for_a_lost_worker_goes_on_waiting(lab: Lab) -> None:
    lab.start(f"{STEP}idempotent = true\n[types.once]\ncommand = ['sh', '-c', '{{task}}']\n")
    after = spec(lab, "after", after="cut")
    lab.delegate(spec(lab, "again"), spec(lab, "cut", type="once"), after)
    lab.wait_state(again="working", cut="working", after="queued")
    kill_server(lab)
    for name in ("again", "cut", "after"):
        (lab.root / f"gate-{name}").touch()
    lab.__enter__()
    lab.aiorch("resume")
    lab.wait_state(again="done", cut="lost", after="queued")
    lab.aiorch("retry", "cut")
    lab.wait_state(cut="done", after="done")
    assert sorted(ran(lab)) == ["after", "again", "cut"]


@pytest.mark.parametrize("is_early", [False, True])
def test_an_agent_goes_on_in_its_own_session_if_it_had_begun_one(lab: Lab, is_early: bool) -> None:
    if is_early:
        (lab.home / "early").touch()
    lab.put_program("claude", CLAUDE)
    lab.start(STEP)
    lab.delegate({"name": "a", "type": "claude", "task": "Build a REST API"})
    lab.wait_state(a="working")
    until((lab.home / "calls").exists, "the agent runs")
    session = lab.workers()["a"].session
    kill_server(lab)
    lab.__enter__()
    lab.aiorch("resume")
    until(lambda: (lab.home / "calls").read_text().count("-p ") == 2, "it runs again")
    first, second = (lab.home / "calls").read_text().split("-p ")[1:]
    assert f"--session-id {session}" in first
    assert "Build a REST API" in second
    if is_early:
        assert "--session-id" in second and session not in second
    else:
        assert f"--resume {session}" in second and "cut off" in second
        lab.wait_state(a="done")


def test_a_worker_that_left_its_record_is_not_run_again(lab: Lab) -> None:
    lab.start()
    lab.delegate(spec(lab, "cut", idempotent=True))
    lab.wait_state(cut="working")
    row, run = lab.workers()["cut"], lab.run
    kill_server(lab)
    # It had come to its end, and nobody was there to see it.
    (run / "workers" / row.action / "exit").write_text("0\n")
    lab.__enter__()
    lab.aiorch("resume")
    lab.wait_state(cut="done")
    assert ran(lab) == []


@pytest.mark.parametrize(("boot", "state"), [("", "done"), ("another", "lost")])
def test_without_a_record_one_begins_unless_the_machine_was_restarted(
    lab: Lab, boot: str, state: str
) -> None:
    lab.start()
    lab.delegate(spec(lab, "cut"))
    lab.wait_state(cut="working")
    row, run = lab.workers()["cut"], lab.run
    kill_server(lab)
    # As a power cut leaves it: what was written last into the worker's directory is not there.
    (run / "workers" / row.action / "start").unlink()
    (lab.root / "gate-cut").touch()
    database = sqlite3.connect(run / "journal.db")
    with database:
        database.execute("UPDATE workers SET state = 'starting', pid = 0, ticks = 0")
        if boot:
            database.execute("UPDATE meta SET value = ? WHERE name = 'boot'", (json.dumps(boot),))
    database.close()
    lab.__enter__()
    lab.aiorch("resume")
    lab.wait_state(cut=state)
    assert ran(lab) == (["cut"] if state == "done" else [])


def test_what_was_printed_and_not_read_asks_when_the_run_goes_on(lab: Lab) -> None:
    lab.start('default_type = "step"\n' + STEP)
    # Said twice on purpose: the second time is not known yet.
    lab.say({"task": "echo late >>ran"})
    lab.wait_told("ASKING", "#1: start 1 worker?")
    lab.aiorch("approve")
    until(lambda: ran(lab) == ["late"], "it runs")
    (lab.run / "restarts").write_text(f"{2**40}\n" * 5)
    lab.kill_engine()
    lab.say({"task": "echo late >>ran"})
    logs = lab.run / "log"
    said = b'[ORCHESTRATE] {"task": "echo late'
    until(lambda: sum(path.read_bytes().count(said) for path in logs.iterdir()) == 2, "it is in the log")
    kill_server(lab)
    lab.__enter__()
    lab.aiorch("resume")
    lab.wait_told("ASKING", "#2: start 1 worker?")
    lab.aiorch("approve")
    until(lambda: ran(lab) == ["late", "late"], "it runs once more")


def test_what_the_session_file_got_last_runs_once(agent_lab: Lab) -> None:
    lab = agent_lab
    actor = Actor(lab)
    lab.start(CONFIG)
    actor.both(directive("echo one >>ran"))
    until(lambda: ran(lab) == ["one"], "the first")
    kill_server(lab)
    actor.write(directive("echo two >>ran"))
    lab.__enter__()
    lab.aiorch("resume")
    until(lambda: ran(lab) == ["one", "two"], "the second")
    assert tasks(lab) == ["echo one >>ran", "echo two >>ran"]


def press_after_cut(lab: Lab, key: str, offer: str, chosen: Callable[[], bool]) -> None:
    """Have a worker cut off, open the key's menu in a new server and choose from it."""
    lab.load_plugin()
    lab.start()
    lab.delegate(spec(lab, "cut"))
    lab.wait_state(cut="working")
    kill_server(lab)
    lab.__enter__()
    lab.load_plugin()
    with Client(str(lab.socket), size=(100, 30)) as client:
        client.wait_for("$")
        client.send(PREFIX + "O")
        client.wait_for(offer)
        client.send(key)
        until(chosen, "what was chosen happens")


@pytest.mark.parametrize(("key", "states"), [("r", {"cut": "lost"}), ("n", {})])
def test_the_key_offers_to_go_on(make_lab: LabMaker, key: str, states: dict[str, str]) -> None:
    lab = make_lab(size=(100, 30))

    def goes_on() -> bool:
        found = {name: str(row.state) for name, row in lab.workers().items()}
        return bool(lab.engine_pids()) and found == states

    press_after_cut(lab, key, "1 unfinished", goes_on)


def test_the_key_offers_to_give_up(make_lab: LabMaker) -> None:
    lab = make_lab(size=(100, 30))

    def is_given_up() -> bool:
        return "no run was cut off" in lab.aiorch("resume", "--list").stdout

    press_after_cut(lab, "d", "Give that one up", is_given_up)
    assert not lab.engine_pids()


@pytest.mark.parametrize("stride", [24, pytest.param(1, marks=pytest.mark.slow)])
def test_an_engine_killed_while_it_takes_over_is_followed_by_one_that_goes_on(lab: Lab, stride: int) -> None:
    crashes = Crashes(lab)
    lab.start(CRASHES)
    rounds = Rounds(crashes, stride)
    for number in rounds:
        gate = lab.root / f"gate-{number}"
        task = f"[ -e {gate} ] || {{ touch {gate}; exec sleep 60; }}; {crashes.note(f't{number}')}"
        lab.delegate({"name": f"w{number}", "type": "step", "task": task, "idempotent": True})
        until(gate.exists, "it works")
        kill_server(lab)
        lab.__enter__()
        rounds.arm()
        lab.aiorch("resume", check=False)
        rounds.disarm()
        until(lambda: any(alive(pid) for pid in lab.engine_pids()) or _resume(lab), "an engine")
        crashes.wait_right(f"t{number}")


def _resume(lab: Lab) -> bool:
    lab.aiorch("resume", check=False)
    return False


def test_which_run_is_meant() -> None:
    def run(name: str, directory: str) -> CutOff:
        return CutOff(Path("/runs") / name, "", "", directory, 0.0, 1, 0, 0)

    newest, older, other = run("c", "/a"), run("b", "/a"), run("a", "/b")
    assert choose([newest, older, other], None, "/a") == newest
    assert choose([newest, older, other], "b", "/nowhere") == older
    assert choose([other], None, "/nowhere") == other
    with pytest.raises(UsageError, match="there is no run"):
        choose([], None, "/a")
    with pytest.raises(UsageError, match="name the run"):
        choose([newest, older], None, "/nowhere")
    with pytest.raises(UsageError):
        choose([newest], "zz", "/a")


def test_runs_are_listed_for_programs_too(lab: Lab) -> None:
    lab.start()
    assert json.loads(lab.aiorch("resume", "--list", "--json").stdout) == []
    name = lab.run.name
    kill_server(lab)
    lab.__enter__()
    (row,) = json.loads(lab.aiorch("resume", "--list", "--json").stdout)
    assert (row["run"], row["unfinished"], row["directory"]) == (name, 0, str(lab.project.resolve()))


def test_a_run_that_was_given_up_is_not_offered_again(lab: Lab) -> None:
    lab.start()
    lab.delegate(spec(lab, "cut"))
    lab.wait_state(cut="working")
    run = lab.run
    kill_server(lab)
    lab.__enter__()
    assert "1 unfinished" in lab.aiorch("resume", "--drop").stdout
    assert "no run was cut off" in lab.aiorch("resume", "--list").stdout
    assert lab.workers()["cut"].state == "working" and (run / "log").is_dir()
    assert "no run to go on with" in lab.aiorch("resume", check=False).stderr
