"""An agent that stays in its pane: what counts of it while it is held or checked, and once it goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support import puppet as program
from support.actor import Actor
from support.lab import Lab, alive, until
from support.lives import check_lives
from support.puppet import CONFIG, Puppet, install

LIMIT = 4
CHECK = '[types.puppet]\ncheck = ["{}"]\n'


def begin(lab: Lab, config: str = "") -> Puppet:
    """Start a worker that is at work."""
    install(lab)
    lab.start(CONFIG + config)
    return another(lab, "a")


def another(lab: Lab, name: str) -> Puppet:
    puppet = Puppet(lab, name)
    puppet.begin()
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    return puppet


def agent_of(puppet: Puppet) -> int:
    return int(puppet.lab.tmux("display-message", "-p", "-t", puppet.row.pane, "#{pane_pid}"))


def turn(puppet: Puppet, state: str) -> None:
    puppet.title("idle")
    puppet.wait(state)


@pytest.mark.parametrize("state", ["waiting", "done"])
def test_no_limit_counts_the_time_in_which_it_has_nothing_to_do(lab: Lab, state: str) -> None:
    puppet = begin(lab, f"time_limit = {LIMIT}\n")
    began = puppet.row.started or 0.0
    puppet.title("waiting permission" if state == "waiting" else "idle")
    puppet.wait(state)
    until(lambda: time.time() > began + LIMIT + 0.5, "its time would be over")
    puppet.title("working")
    puppet.wait("working")
    again = time.time()
    until(lambda: puppet.row.state != "working", "the rest of its time is over")
    assert puppet.row.reason == f"over its time limit of {LIMIT} s"
    assert time.time() - again > 0.5
    check_lives(lab.journal())


@pytest.mark.parametrize(("title", "state"), [("waiting permission: x", "waiting"), ("idle", "done")])
def test_what_it_showed_while_it_was_held_counts_once_it_goes_on(lab: Lab, title: str, state: str) -> None:
    puppet = begin(lab)
    tty = Path(lab.tmux("display-message", "-p", "-t", puppet.row.pane, "#{pane_tty}"))
    lab.aiorch("pause", "a")
    with tty.open("w") as terminal:
        terminal.write(f"\033]2;STATE {title}\007")
    # Idle counts after a while only; nothing may come of it by then.
    until(lambda: title.partition(" ")[0] in puppet.row.shows, "it is seen")
    held = time.time()
    until(lambda: time.time() > held + 2, "it would have counted")
    assert puppet.row.state == "working"
    lab.aiorch("resume", "a")
    puppet.wait(state)


def test_an_answer_to_what_comes_before_the_task_is_no_work(lab: Lab) -> None:
    install(lab)
    lab.start(CONFIG)
    puppet = Puppet(lab)
    puppet.begin()
    puppet.title("waiting trust dialog")
    puppet.wait("waiting")
    puppet.draw(r"\033]2;starting\007")
    puppet.wait("working")
    puppet.title("idle")
    until(lambda: '"idle"' in puppet.row.shows, "it is seen")
    seen = time.time()
    until(lambda: time.time() > seen + 2, "it would have counted")
    assert puppet.row.state == "working"
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    turn(puppet, "done")


def test_a_turn_that_nobody_saw_is_known_by_the_session_file(lab: Lab) -> None:
    install(lab, "claude")
    lab.start(CONFIG)
    puppet = Puppet(lab, agent="claude")
    puppet.begin()
    puppet.title("idle")
    until(lambda: '"idle"' in puppet.row.shows, "it is seen")
    seen = time.time()
    until(lambda: time.time() > seen + 2, "it would have counted")
    session = Actor(lab, puppet.row.pane)
    session.write("dance", type="user", message={"role": "user", "content": "dance"})
    assert (puppet.row.state, puppet.row.worked) == ("working", False)
    session.write("I danced.")
    puppet.wait("done")
    check_lives(lab.journal())


@pytest.mark.parametrize(("check", "state"), [("true", "done"), ("false", "failed")])
def test_it_is_looked_at_after_its_check_too(lab: Lab, check: str, state: str) -> None:
    puppet = begin(lab, CHECK.format(check))
    turn(puppet, state)
    assert puppet.row.status is None
    puppet.title("working")
    puppet.wait("working")
    assert puppet.row.reason == ""
    puppet.title("waiting permission: x")
    puppet.wait("waiting", "permission: x")
    lab.kill_engine()
    puppet.title("working")
    puppet.wait("working")
    turn(puppet, state)
    check_lives(lab.journal())


def test_what_it_shows_while_its_check_runs_counts_after_that(lab: Lab) -> None:
    gate = lab.root / "gate"
    lab.put_program(
        "check", f"#!/bin/sh\necho x >>{lab.root}/checks\nwhile [ ! -e {gate} ]; do sleep 0.05; done\n"
    )
    puppet = begin(lab, CHECK.format("check"))
    puppet.title("idle")
    until(lambda: puppet.row.checking, "its check runs")
    for title in ("idle again", "waiting permission: x"):
        puppet.title(title)
        until(lambda title=title: title.rpartition(" ")[2] in puppet.row.shows, "it is seen")  # type: ignore[misc]
    assert puppet.row.state == "working" and puppet.row.checking
    gate.touch()
    puppet.wait("waiting", "permission: x")
    assert (lab.root / "checks").read_text() == "x\n"
    steps = [step.state for step in lab.journal().transitions()]
    assert steps[-2:] == ["done", "waiting"]


def test_one_that_left_while_its_check_ran_has_its_status(lab: Lab) -> None:
    gate = lab.root / "gate"
    lab.put_program("check", f"#!/bin/sh\nwhile [ ! -e {gate} ]; do sleep 0.05; done\n")
    puppet = begin(lab, CHECK.format("check"))
    puppet.title("idle")
    until(lambda: puppet.row.checking, "its check runs")
    agent = agent_of(puppet)
    puppet.draw("exit 3")
    until(lambda: not alive(agent), "it has left")
    gate.touch()
    puppet.wait("done")
    assert puppet.row.status == 3


@pytest.mark.parametrize("asked", [True, False])
def test_another_attempt_ends_the_agent_of_the_last_one(lab: Lab, asked: bool) -> None:
    """By the user's word after a check that passed, and by itself after one that failed."""
    puppet = begin(
        lab, CHECK.format("true" if asked else "false") if asked else f"retries = 1\n{CHECK.format('false')}"
    )
    agent = agent_of(puppet)
    puppet.title("idle")
    if asked:
        puppet.wait("done")
        lab.aiorch("retry", "a")
    until(lambda: puppet.row.attempt == 2, "another attempt")
    until(lambda: not alive(agent), "there are not two")
    puppet.wait("working")


def test_what_an_agent_draws_that_is_told_to_end_is_not_the_next_attempts(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "PROGRAM", program.PROGRAM.replace("stty", "trap '' TERM\nstty", 1))
    puppet = begin(lab, "max_workers = 1\n")
    turn(puppet, "done")
    agent = agent_of(puppet)
    other = another(lab, "b")
    lab.aiorch("retry", "a")
    puppet.title("working")
    until(lambda: not alive(agent), "it has ended")
    assert puppet.row.state == "queued"
    other.draw("exit 0")
    other.wait("done")
    puppet.wait("working")
    assert alive(puppet.row.pid)


@pytest.mark.parametrize("config", ["", 'rate_limit = "park"\n'])
def test_a_limit_after_its_turn_is_shown_and_nothing_is_ended(lab: Lab, config: str) -> None:
    puppet = begin(lab, config)
    turn(puppet, "done")
    agent = agent_of(puppet)
    puppet.title("waiting rate limit until in 2 hours")
    puppet.wait("waiting", "rate limit until in 2 hours")
    assert alive(agent) and puppet.row.reason == ""


def test_the_title_of_an_agent_that_is_gone_is_not_the_next_ones(lab: Lab) -> None:
    puppet = begin(lab)
    pane = puppet.row.pane
    lab.aiorch("kill", "a")
    puppet.wait("killed")
    lab.aiorch("retry", "a")
    until(lambda: (puppet.row.attempt, puppet.row.state) == (2, "working"), "another attempt")
    assert puppet.row.pane == pane
    puppet.title("idle")
    until(lambda: '"idle"' in puppet.row.shows, "it is seen")
    assert not puppet.row.worked
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    turn(puppet, "done")


def test_a_limit_costs_none_of_the_retries(lab: Lab) -> None:
    install(lab)
    lab.start(f'{CONFIG}rate_limit = "park"\nretries = 1\nretry_delay = 0.1\n')
    puppet = another(lab, "a")
    puppet.title("waiting rate limit until in 1 seconds")
    for attempt in (2, 3):
        until(lambda attempt=attempt: (puppet.row.attempt, puppet.row.state) == (attempt, "working"), "again")  # type: ignore[misc]
        puppet.title("working")
        until(lambda: puppet.row.worked, "it is seen at work")
        puppet.draw("exit 3")
    puppet.wait("failed")
    assert (puppet.row.attempt, puppet.row.failures) == (3, 1)
