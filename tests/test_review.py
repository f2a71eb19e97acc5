"""Questions are looked at in a popup that the user opens, changed there, and answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aiorch.journal import DirectiveState
from conftest import LabMaker
from support.client import PREFIX, Client
from support.lab import STEP, Lab, until

CONFIG = 'default_type = "step"\n' + STEP
THREE = [
    {"name": "build", "type": "step", "task": "true"},
    {"name": "check", "type": "step", "task": "true", "after": "build"},
    {"name": "ship", "type": "step", "task": "true", "after": "check"},
]
# An editor that does what the test wants: `wanted` is a script, and `seen` what it was given.
EDITOR = '#!/bin/sh\ncp "$1" "$HOME/seen.new" && mv "$HOME/seen.new" "$HOME/seen"\n. "$HOME/wanted"\n'


def new_lab(make_lab: LabMaker, size: tuple[int, int] = (100, 30), **env: str) -> Lab:
    lab = make_lab(size=size, env={"EDITOR": "plan-editor", **env})
    lab.put_program("plan-editor", EDITOR)
    lab.load_plugin()
    lab.start(CONFIG)
    return lab


def ask(lab: Lab, workers: object = THREE, task: str = "do it") -> None:
    before = len(asking(lab))
    lab.say({"task": task, "workers": workers})
    until(lambda: len(asking(lab)) == before + 1, "it asks")


def asking(lab: Lab) -> list[int]:
    journal = lab.journal()
    found = [row.number for row in journal.directives(DirectiveState.ASKING)]
    journal.close()
    return found


@contextmanager
def looking(lab: Lab, size: tuple[int, int] = (100, 30), number: int = 1) -> Iterator[Client]:
    """Attach a client and open the page of the first question as a user does."""
    with Client(str(lab.socket), size=size, target="m") as client:
        client.wait_for("$")
        client.send(PREFIX + "O")
        client.wait_for(f"Look at #{number}, change its plan")
        client.send("v")
        client.wait_for(f"#{number} waits for your answer")
        client.wait_for("y start")
        yield client


def gone(client: Client) -> None:
    client.wait_for(lambda screen: "waits for your answer" not in screen)


def editing(lab: Lab, script: str) -> None:
    (lab.home / "wanted").write_text(script)


def test_a_plan_is_looked_at_and_started(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab)
    ask(lab, task="do it well")
    with looking(lab) as client:
        screen = client.wait_for("y start 3 workers")
        for text in (
            "do it well",
            "what the pane printed",
            "3 workers",
            "after check",
            "roles with the",
        ):
            assert text in screen, screen
        assert not lab.workers()
        client.send("y")
        gone(client)
    lab.wait_state(build="done", check="done", ship="done")


def test_workers_are_left_out_and_taken_in_again(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab)
    ask(lab)
    with looking(lab) as client:
        client.send("23")
        client.wait_for("1 worker, 2 left out")
        client.send("3")
        client.wait_for("2 workers, 1 left out")
        client.wait_for("after build")
        client.send("13")
        client.wait_for("nothing of it is left: n refuses it")
        client.send("y")
        client.wait_for("nothing of the plan is left")
        client.send("13")
        client.wait_for("y start 2 workers")
        client.send("y")
        gone(client)
    lab.wait_state(build="done", ship="done")
    assert set(lab.workers()) == {"build", "ship"} and lab.workers()["ship"].after == ("build",)


def test_refused_and_left_waiting(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab)
    ask(lab)
    for key in ("q", "\x1b", "\x03"):
        with looking(lab) as client:
            client.send("2")
            client.wait_for("1 left out")
            client.send(key)
            gone(client)
        assert asking(lab) == [1], "it goes on waiting, as it was"
    with looking(lab) as client:
        client.wait_for("y start 3 workers")
        client.send("n")
        gone(client)
    lab.wait_told("IGNORED", "#1 declined")
    assert not asking(lab) and not lab.workers()


def test_a_plan_is_edited_until_it_is_right(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab)
    ask(lab)
    own = [
        {"name": "mine", "type": "shell", "task": "true"},
        {"name": "late", "task": "true", "after": "mine"},
    ]
    with looking(lab) as client:
        client.send("2")
        client.wait_for("1 left out")
        editing(lab, ":")
        client.send("e")
        client.wait_for("the plan is as before")
        given = json.loads((lab.home / "seen").read_text())
        assert [worker["name"] for worker in given] == ["build", "ship"] and given[1]["after"] == ["build"]
        for text, told in {
            "[{]": "line 1, column 3",
            '[{"name": "a", "type": "stepp"}]': 'unknown type "stepp"; did you mean step?; e opens it again',
        }.items():
            editing(lab, f"cat >\"$1\" <<'E'\n{text}\nE\n")
            client.send("e")
            client.wait_for(told)
        editing(lab, "exit 3")
        client.send("e")
        client.wait_for("the editor ended with 3")
        assert "stepp" in (lab.home / "seen").read_text(), "what was written is not lost"
        client.send("q")
        gone(client)
    with looking(lab) as client:
        client.wait_for("as you left it in the editor is kept: e opens it")
        client.wait_for("y start 3 workers")
        editing(lab, f"cat >\"$1\" <<'E'\n{json.dumps(own)}\nE\n")
        client.send("e")
        client.wait_for("this is what y starts now")
        assert "stepp" in (lab.home / "seen").read_text()
        screen = client.wait_for("changed by you")
        assert "after mine" in screen and "build" not in screen.partition("Plan")[2]
        assert asking(lab) == [1]
        client.send("y")
        gone(client)
    lab.wait_state(mine="done", late="done")
    lab.wait_told("RECEIVED", "#1: the plan was changed by the user")
    assert not list((lab.run / "drafts").iterdir())


def test_an_emptied_draft_is_begun_anew(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab)
    ask(lab)
    with looking(lab) as client:
        for script, told in {'echo x >"$1"': "line 1, column 1", ': >"$1"': "the plan is as before"}.items():
            editing(lab, script)
            client.send("e")
            client.wait_for(told)
        editing(lab, ":")
        client.send("e")
        until(lambda: "build" in (lab.home / "seen").read_text(), "it is the plan again")
        client.wait_for("the plan is as before")


def test_always_is_chosen_and_holds(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab)
    plan = [{"name": "a", "task": "true"}]
    ask(lab, plan)
    with looking(lab) as client:
        client.wait_for("do not ask again in this run about")
        client.send("aaa")
        client.wait_for("[x] always")
        client.send("y")
        gone(client)
    lab.wait_told("ASKING", "not asked again in this run: a pane that runs some other program")
    lab.say({"task": "y", "workers": [{"name": "b", "task": "true"}]})
    lab.wait_state(a="done", b="done")


def test_one_question_after_the_other(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab)
    for index in range(4):
        ask(lab, [{"name": f"w{index}", "type": "step", "task": "true"}], f"number {index}")
    with looking(lab) as client:
        client.wait_for("1 of 4")
        client.send("\t\t\x1b[Z")
        client.wait_for("#2 waits for your answer")
        # Pressed twice: the second one was not meant for the next question.
        client.send("yy")
        client.wait_for("#1 waits for your answer")
        lab.wait_state(w1="done")
        assert asking(lab) == [1, 3, 4]
        client.wait_for("1 of 3")

        def is_refused() -> bool:
            client.send("n" if asking(lab) == [1, 3, 4] else "")
            return asking(lab) == [3, 4]

        until(is_refused, "once it was seen for a moment")
        client.wait_for("#3 waits for your answer")
        client.send("q")
        gone(client)
    assert set(lab.workers()) == {"w1"}


def test_what_is_answered_elsewhere_meanwhile_is_told(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab)
    ask(lab)
    with looking(lab) as client:
        lab.aiorch("decline", "1")
        client.wait_for("it was answered elsewhere: declined, declined by the user")
        client.send("y")
        client.wait_for("it is answered: Tab goes to the next, q leaves")
        client.send("\t")
        client.wait_for(lambda screen: "waits no more" not in screen)
    assert not lab.workers()


def test_hostile_text_is_shown_and_does_nothing(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab)
    # No escape gets through a directive; this is what can.
    text = "#(touch bad) #[fg=red] `touch bad` $(touch bad); touch bad\u202e\n%H {x}"
    ask(lab, [{"name": "a;#(touch bad)", "type": "step", "task": text}], text)
    with looking(lab) as client:
        screen = client.wait_for("y start 1 worker")
        assert r"#(touch bad) #[fg=red] `touch bad` $(touch bad); touch bad\u202e" in screen, screen
        assert "a-touch-bad" in screen and "%H {x}" in screen
        editing(lab, ":")
        client.send("e")
        client.wait_for("the plan is as before")
    assert r"\u202e" in (lab.home / "seen").read_text()
    assert not lab.finds("bad")


@pytest.mark.parametrize("wish", ["", "1"])
def test_colours_go_by_the_users_wish(make_lab: LabMaker, wish: str) -> None:
    lab = new_lab(make_lab, NO_COLOR=wish)
    ask(lab, [{"name": "a", "type": "step", "task": "true"}])
    command = f"{lab.plugin / 'scripts/aiorch'} review 1"
    pane = lab.tmux("new-window", "-d", "-P", "-F", "#{pane_id}", "sh", "-c", command)
    until(lambda: "y start 1" in lab.tmux("capture-pane", "-p", "-t", pane), "the page")
    # The number of the worker.
    is_coloured = "\x1b[36m 1" in lab.tmux("capture-pane", "-p", "-e", "-t", pane)
    assert is_coloured is (wish == "")


def test_it_fits_any_terminal_and_the_editor_gets_a_usual_one(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab, (60, 16))
    ask(lab, task="many words " * 60)
    with looking(lab, (60, 16)) as client:
        client.wait_for("more lines")
        client.send("t")
        client.wait_for("t less")
        client.send("\x1b[6~\x1b[6~\x1b[6~")
        client.wait_for("ship")
        editing(lab, 'stty -a >"$HOME/stty.new"; mv "$HOME/stty.new" "$HOME/stty"')
        client.send("e")
        client.wait_for("as before")
        modes = (lab.home / "stty").read_text().split()
        assert {"icanon", "echo", "isig", "opost"} <= set(modes)
        client.resize(40, 12)
        client.wait_for("y start 3 workers")
        client.send("q")
        gone(client)


def test_outside_of_a_terminal_it_says_what_to_do(lab: Lab) -> None:
    lab.start(CONFIG)
    assert "needs a terminal" in lab.aiorch("review", check=False).stderr


def test_in_a_pane_it_says_what_came_of_it(make_lab: LabMaker) -> None:
    lab = new_lab(make_lab)
    ask(lab)
    command = f"{lab.plugin / 'scripts/aiorch'} review 1; sleep 60"
    pane = lab.tmux("split-window", "-d", "-P", "-F", "#{pane_id}", "-t", "%0", "sh", "-c", command)

    def shown() -> str:
        return lab.tmux("capture-pane", "-p", "-t", pane)

    until(lambda: "y start 3 workers" in shown(), "the page")
    lab.tmux("send-keys", "-t", pane, "y")
    until(lambda: "#1: 3 workers: build, check, ship" in shown(), "the answer")
