"""Answers to questions: as they were asked, with workers left out, with another plan, and for good."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from aiorch.engine.approval import Terms, read_terms
from aiorch.errors import DirectiveError
from aiorch.journal import DirectiveState
from support.client import Client
from support.lab import STEP, Lab, until

CONFIG = 'default_type = "step"\n' + STEP
ASK = f'approve = "ask"\n{CONFIG}'
THREE = [
    {"name": "build", "type": "step", "task": "true"},
    {"name": "check", "type": "step", "task": "true", "after": "build"},
    {"name": "ship", "type": "step", "task": "true", "after": "check"},
]


def ask(lab: Lab, workers: object = THREE, task: str = "do it") -> int:
    """Have a directive of the user's wait and return its number."""
    before = len(asking(lab))
    lab.aiorch("run", task, "--workers", json.dumps(workers), "--ask")
    until(lambda: len(asking(lab)) == before + 1, "it asks")
    return asking(lab)[-1]


def asking(lab: Lab) -> list[int]:
    journal = lab.journal()
    found = [row.number for row in journal.directives(DirectiveState.ASKING)]
    journal.close()
    return found


def refused(lab: Lab, *argv: str) -> str:
    done = lab.aiorch("approve", *argv, check=False)
    assert done.returncode != 0
    return done.stderr


def test_one_directive_can_be_made_to_ask(lab: Lab) -> None:
    lab.start(CONFIG)
    number = ask(lab)
    assert not lab.workers()
    lab.wait_told("ASKING", f"#{number}: start 3 workers? prefix + O answers (aiorch run --ask)")
    lab.aiorch("approve", str(number))
    lab.wait_state(build="done", check="done", ship="done")
    assert "nothing to allow for good" in refused(lab, str(ask(lab)), "--always")
    assert len(asking(lab)) == 1


def test_workers_are_left_out_and_the_others_keep_their_order(lab: Lab) -> None:
    lab.start(CONFIG)
    number = str(ask(lab))
    assert "no worker 'chekc'; it has build, check, ship" in refused(lab, number, "--drop", "chekc")
    assert "decline it instead" in refused(lab, number, "--drop", "build", "check", "ship")
    assert "say which one" in refused(lab, "--drop", "check")
    assert asking(lab) == [int(number)] and not lab.workers()
    lab.aiorch("approve", number, "--drop", "check")
    lab.wait_state(build="done", ship="done")
    assert set(lab.workers()) == {"build", "ship"} and lab.workers()["ship"].after == ("build",)
    lab.wait_told("RECEIVED", f"#{number}: left out by the user: check")
    steps = json.loads(lab.aiorch("show", number, "--json").stdout)["steps"]
    assert "left out by the user: check" in [one["reason"] for one in steps]


def test_another_plan_is_checked_like_any_and_runs_as_the_users_own(lab: Lab) -> None:
    lab.start(CONFIG)
    lab.say({"task": "true"})
    lab.wait_told("ASKING")
    for bad, words in {
        '[{"name": "a", "type": "stepp"}]': 'unknown type "stepp"; did you mean step?',
        '[{"name": "a", "after": "b"}]': "which is not in this plan",
        '[{"name": "a", "tsk": "x"}]': "unknown keys: workers[0].tsk",
        "[]": "empty list",
        "{}": '"workers" must be a list',
        "[": "no JSON",
    }.items():
        assert words in refused(lab, "1", "--workers", bad)
    assert asking(lab) == [1] and not lab.workers()
    # A shell that a plain pane may never name.
    own = [{"name": "mine", "type": "shell", "task": "true"}, {"name": "b", "task": "true", "after": "mine"}]
    lab.aiorch("approve", "1", "--workers", json.dumps(own))
    lab.wait_state(mine="done", b="done")
    lab.wait_told("RECEIVED", "#1: the plan was changed by the user")


def test_a_plan_of_the_users_own_goes_by_the_users_table(lab: Lab) -> None:
    lab.start(f'{CONFIG}[trust.user]\nshell = "refuse"\n')
    number = str(ask(lab))
    own = '[{"name": "a", "type": "shell", "task": "true"}]'
    assert "type shell → refuse" in refused(lab, number, "--workers", own)
    assert asking(lab) == [int(number)]


def test_always_lets_this_source_do_this_and_nothing_else(lab: Lab) -> None:
    lab.start(CONFIG)
    lab.say({"task": "true 1"})
    lab.wait_told("ASKING", "#1:")
    lab.aiorch("approve", "1", "--always")
    lab.wait_told("ASKING", "not asked again in this run: a pane that runs some other program")
    lab.say({"task": "true 2"})
    until(lambda: len(lab.workers()) == 2, "it runs unasked")
    lab.say({"task": "x", "workers": [{"name": "c", "type": "claude"}]})
    lab.wait_told("ASKING", "an agent by name → ask")
    lab.say({"task": "x", "workers": [{"name": "s", "type": "shell", "task": "true"}]})
    lab.wait_told("ERROR", "type shell → refuse")
    facts = json.loads(lab.aiorch("doctor", "--json", check=False).stdout)["facts"]
    words = "a pane that runs some other program; Aider's history; a sandbox: roles with the default agent"
    assert [one["not_asked_again"] for one in facts["sessions"]["with_a_run"]] == [[words]]
    (pid,) = lab.engine_pids()
    lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [pid]), "another engine")
    lab.say({"task": "true 3"})
    until(lambda: len(lab.workers()) == 3, "the next engine knows it")


def test_a_worker_that_is_left_out_is_not_allowed_for_good(lab: Lab) -> None:
    lab.start(CONFIG)
    both = {"task": "x", "workers": [{"name": "a", "task": "true"}, {"name": "c", "type": "claude"}]}
    lab.say(both)
    lab.wait_told("ASKING", "#1:")
    lab.aiorch("approve", "1", "--always", "--drop", "c")
    lab.wait_state(a="done")
    lab.say({**both, "id": 2})
    lab.wait_told("ASKING", "#2: start 2 workers? prefix + O answers (a pane that runs some other program; "
                  "Aider's history; a sandbox: an agent by name → ask)")  # fmt: skip


def test_always_where_everything_asks_is_for_plans_of_this_kind(lab: Lab) -> None:
    lab.start(ASK)
    shell = [{"name": "s", "type": "shell", "task": "true"}]
    lab.aiorch("run", "true")
    lab.wait_told("ASKING", '#1: start 1 worker? prefix + O answers (approve = "ask" in config.toml)')
    lab.aiorch("approve", "1", "--always")
    lab.wait_told("ASKING", 'roles with the default agent (though approve = "ask")')
    lab.aiorch("run", "true 2")
    until(lambda: len(lab.workers()) == 2, "it runs unasked")
    lab.aiorch("run", "x", "--workers", json.dumps(shell))
    assert asking(lab) == [3], "a shell is of another kind"
    lab.say({"task": "true 4"})
    until(lambda: asking(lab) == [3, 4], "another source")
    lab.aiorch("approve", "--always")
    lab.aiorch("run", "x", "--workers", json.dumps(shell))
    until(lambda: len(lab.workers()) == 5 and not asking(lab), "it runs unasked")


def test_a_question_waits_with_nobody_there_and_opens_nothing_when_somebody_comes(lab: Lab) -> None:
    lab.start(CONFIG)
    lab.tmux("set-option", "-g", "status-right", "#{AIORCH_STATUS}")
    assert all("control-mode" in row for row in clients(lab))
    lab.say({"task": "touch started"})
    lab.wait_told("ASKING", "#1: start 1 worker?")
    lab.kill_engine()
    with Client(str(lab.socket), size=(160, 44), target="m") as client:
        client.wait_for("1 ?")
        client.wait_for("#1: start 1 worker?")
        # With a popup or a menu over it the pane would not get what is typed.
        client.send("echo ty''ped\r")
        client.wait_for("\ntyped")
        lab.say({"task": "touch other"})
        client.wait_for("2 ?")
        client.wait_for("#2: start 1 worker?")
        client.send("echo ag''ain\r")
        screen = client.wait_for("\nagain")
        assert "y start" not in screen and "Decline" not in screen
    assert asking(lab) == [1, 2] and not lab.workers()
    lab.aiorch("approve", "1")
    until((lab.project / "started").exists, "it is started")


def clients(lab: Lab) -> list[str]:
    return lab.tmux("list-clients", "-F", "#{client_flags}").split("\n")


class Shape(NamedTuple):
    body: dict[str, Any]
    words: str


@pytest.mark.parametrize(
    "shape",
    [
        Shape({"drop": ["a"]}, "say which one"),
        Shape({"workers": ["a"], "number": ""}, "say which one"),
        Shape({"number": "1", "drop": "a"}, "list of names"),
        Shape({"number": "1", "drop": [1]}, "list of names"),
        Shape({"number": "1", "workers": {"name": "a"}}, "list of workers"),
        Shape({"number": "1", "always": "yes"}, "true or false"),
        Shape({"number": "1", "always": 1}, "true or false"),
        Shape({"number": "1", "dorp": ["a"]}, "has no 'dorp'"),
        Shape({"number": "1", "\x1b[2J": 1}, "has no"),
        Shape({"number": [1]}, "no number"),
    ],
    ids=str,
)
def test_terms_that_are_not_clear_are_refused(shape: Shape) -> None:
    with pytest.raises(DirectiveError, match=shape.words) as caught:
        read_terms({"verb": "approve", "pid": 7, **shape.body})
    assert str(caught.value).isprintable()


def test_terms_are_read_as_they_were_given() -> None:
    assert read_terms({"verb": "approve", "number": ""}) == Terms()
    body = {"number": 3, "drop": ["a", "b"], "workers": ["c"], "always": True}
    assert read_terms({"verb": "approve", "pid": 7, **body}) == Terms(3, ("a", "b"), ["c"], True)
