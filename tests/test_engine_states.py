"""Workers' states by what their agents show: waiting for a person, at work, through with a turn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.lab import STEP, Lab, until
from support.lives import check_lives
from support.puppet import CONFIG, Puppet, install


@pytest.fixture
def puppet(lab: Lab) -> Puppet:
    install(lab)
    lab.start(CONFIG)
    puppet = Puppet(lab)
    puppet.begin()
    return puppet


def segment(lab: Lab) -> str:
    return lab.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS")


def lives_are_right(lab: Lab) -> None:
    journal = lab.journal()
    check_lives(journal)
    journal.close()


def test_a_worker_that_waits_is_shown_at_once_and_goes_on_when_it_was_answered(puppet: Puppet) -> None:
    lab = puppet.lab
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    puppet.title("waiting permission: touch x")
    puppet.wait("waiting", "permission: touch x")
    until(lambda: "1 !" in segment(lab), "the segment shows it")
    lab.wait_told("WAITING", "a: permission: touch x")
    assert [row[0] for row in lab.panes("@aiorch_state")].count("waiting") == 1
    puppet.title("waiting permission: rm y")
    puppet.wait("waiting", "permission: rm y")
    puppet.title("working")
    puppet.wait("working", "")
    until(lambda: "!" not in segment(lab), "the segment shows it")
    lives_are_right(lab)


def test_a_dialog_that_counts_down_is_told_once(puppet: Puppet) -> None:
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    for what in (
        "question: 14:59 left",
        "question: 14:58 left",
        "rate limit until 9s",
        "rate limit until 8s",
    ):
        puppet.title(f"waiting {what}")
        puppet.wait("waiting", what)
    told = [event.text for event in puppet.lab.events() if event.tag == "WAITING"]
    assert told == ["a: question: 14:59 left", "a: rate limit until 9s"]


def test_the_end_of_a_turn_is_the_end_of_the_work_and_the_agent_stays(puppet: Puppet) -> None:
    lab = puppet.lab
    puppet.title("idle")
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    puppet.draw(r"\nall is done\n")
    puppet.title("idle")
    puppet.wait("done")
    assert puppet.row.result == "all is done"
    assert puppet.row.pane in [row[0] for row in lab.panes("pane_id")]
    until(lambda: "1 ✔" in segment(lab), "the segment shows it")
    # The user says more to it.
    puppet.title("working")
    puppet.wait("working")
    puppet.title("idle")
    puppet.wait("done")
    puppet.title("waiting question")
    puppet.wait("waiting", "question")
    puppet.draw("exit 3")
    puppet.wait("failed")
    lives_are_right(lab)


def test_an_agent_that_has_not_begun_yet_is_not_done(puppet: Puppet) -> None:
    other = Puppet(puppet.lab, "b")
    other.begin()
    puppet.title("idle")
    until(lambda: '"idle"' in puppet.row.shows, "it is seen")
    other.title("working")
    until(lambda: other.row.worked, "it is seen at work")
    other.title("idle")
    other.wait("done")
    assert puppet.row.state == "working"


def test_an_agent_that_shows_an_error_waits_for_a_person(puppet: Puppet) -> None:
    puppet.title("working")
    puppet.title("error API Error: 500")
    puppet.wait("waiting", "error: API Error: 500")


def test_another_engine_knows_what_the_last_one_saw(puppet: Puppet) -> None:
    lab = puppet.lab
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    killed = lab.kill_engine()
    puppet.title("waiting trust dialog")
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    puppet.wait("waiting", "trust dialog")
    killed = lab.kill_engine()
    puppet.title("idle")
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    puppet.wait("done")
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    puppet.title("working")
    puppet.wait("working")
    lives_are_right(lab)


def test_a_program_that_asks_a_question_in_its_pane_waits(lab: Lab) -> None:
    lab.start(STEP)
    lab.delegate(("a", "printf 'Overwrite x? [y/N] '; read answer; echo got $answer; sleep 60"))
    puppet = Puppet(lab)
    puppet.wait("waiting", "question: Overwrite x?")
    lab.tmux("send-keys", "-t", puppet.row.pane, "y", "Enter")
    puppet.wait("working", "")
    lives_are_right(lab)


def test_how_an_agent_ended_that_stayed_after_its_work_is_told(puppet: Puppet) -> None:
    lab = puppet.lab
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    puppet.title("idle")
    puppet.wait("done")
    assert puppet.row.status is None
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    puppet.draw("exit 0")
    until(lambda: puppet.row.status == 0, "its exit status")
    told = json.loads(lab.aiorch("explain", "a", "--json").stdout)
    assert (told["state"], told["agent"]["state"], told["agent"]["reason"]) == ("done", "exited", "exit 0")


def test_nothing_is_woken_while_all_are_silent(puppet: Puppet) -> None:
    puppet.title("waiting permission")
    puppet.wait("waiting")
    (engine,) = puppet.lab.engine_pids()
    until(_silent(engine), "the engine sleeps")


def _silent(pid: int) -> Callable[[], bool]:
    def switches() -> list[str]:
        return [
            line
            for task in Path(f"/proc/{pid}/task").iterdir()
            for line in (task / "status").read_text().splitlines()
            if line.startswith("voluntary")
        ]

    def found() -> bool:
        before, began = switches(), time.monotonic()
        until(lambda: time.monotonic() - began > 1, "a second")
        return before == switches()

    return found


def test_what_shows_a_workers_state_is_told(puppet: Puppet) -> None:
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    puppet.title("waiting permission: touch x")
    puppet.wait("waiting")
    told = json.loads(puppet.lab.aiorch("explain", "a", "--json").stdout)
    assert told["state"] == "waiting" and told["waits"] == "permission: touch x"
    assert told["agent"]["rule"] == "puppet.title.waiting" and told["agent"]["source"] == "title"
    assert [one["source"] for one in told["evidence"]] == ["title", "screen"]
    assert all(0 <= one["age"] < 60 for one in told["evidence"]) and told["silent"] >= 0
    assert [step["state"] for step in told["steps"]] == [
        "queued",
        "starting",
        "working",
        "working",
        "waiting",
    ]
    text = puppet.lab.aiorch("explain", "a").stdout
    assert text.startswith(
        "a is waiting: permission: touch x\nits agent is waiting, by puppet.title.waiting\n"
    )
    assert puppet.lab.aiorch("explain", "b", check=False).returncode == 1


def test_a_worker_at_its_rate_limit_is_parked_and_comes_back(lab: Lab) -> None:
    install(lab)
    lab.start(CONFIG + 'rate_limit = "park"\nmax_workers = 1\n')
    puppet = Puppet(lab)
    puppet.begin()
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    began = time.time()
    puppet.title("waiting rate limit until in 2 seconds")
    puppet.wait("queued")
    lab.wait_told("QUEUED", "a: parked until ")
    # Its place is free meanwhile.
    other = Puppet(lab, "b")
    other.begin()
    other.draw("exit 0")
    other.wait("done")
    puppet.wait("working")
    assert puppet.row.attempt == 2
    assert time.time() - began > 2
    lives_are_right(lab)
