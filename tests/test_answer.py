"""A worker that waits is answered in place: its dialog is shown, and only what is pressed goes to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.answer import Answering
from aiorch.paths import RunPaths
from aiorch.tmux.ask import Ask
from aiorch.workers.dialog import is_echo, words_of
from aiorch.workers.profile_file import load_profiles
from conftest import LabMaker
from support.client import PREFIX, Client
from support.lab import Lab, until
from support.puppet import CONFIG, Puppet, install

DIALOG = r"\033[H\033[2J Do you want to run this?\n\n touch x\n\n \033[1m> 1. Yes\033[0m\n   2. No\n"


def waiting(lab: Lab, what: str = "permission: touch x") -> Puppet:
    """Return a worker that shows a dialog."""
    install(lab)
    lab.start(CONFIG)
    puppet = Puppet(lab)
    puppet.begin()
    puppet.draw(DIALOG)
    puppet.title(f"waiting {what}")
    puppet.wait("waiting", what)
    return puppet


def answering(puppet: Puppet) -> Answering:
    profiles = load_profiles(puppet.lab.home / ".config/aiorch/profiles")
    run = RunPaths(puppet.lab.run)
    return Answering(Ask(str(puppet.lab.socket)), run, puppet.row, profiles["puppet"].states)


def test_the_key_shows_the_dialog_and_hands_on_what_is_pressed(make_lab: LabMaker) -> None:
    lab = make_lab(size=(100, 30))
    lab.load_plugin()
    puppet = waiting(lab)
    with Client(str(lab.socket), size=(100, 30)) as client:
        client.wait_for("$")
        client.send(PREFIX + "O")
        client.wait_for("Answer a: permission: touch x")
        client.send("a")
        client.wait_for("a waits: permission: touch x")
        client.wait_for("> 1. Yes")
        client.send("\033[B\r")
        until(lambda: puppet.keys == "\033[B\n", "it went to the dialog")
        client.send("2")
        client.wait_for("too soon after the last key")
        puppet.draw(DIALOG.replace("touch x", "touch y"))
        client.wait_for("touch y")

        def is_taken() -> bool:
            client.send("" if puppet.keys.endswith("2") else "2")
            return puppet.keys == "\033[B\n2"

        until(is_taken, "so did this, once the dialog was there for a moment")
        puppet.title("working")
        until(lambda: "waits: permission" not in client.screen(), "the popup closes")
    assert puppet.keys == "\033[B\n2"


def test_the_menu_opens_whatever_a_worker_waits_for(make_lab: LabMaker) -> None:
    lab = make_lab(size=(100, 30))
    lab.load_plugin()
    waiting(lab, "permission: #(touch bad) ls;")
    with Client(str(lab.socket), size=(100, 30)) as client:
        client.wait_for("$")
        client.send(PREFIX + "O")
        client.wait_for("Answer a: permission: #(touch bad) ls;")
    assert not lab.finds("bad")


def test_a_key_for_a_dialog_that_is_gone_goes_nowhere(lab: Lab) -> None:
    puppet = waiting(lab)
    one = answering(puppet)
    shown = one.look()
    assert shown.waits == "permission: touch x" and any("touch x" in row for row in shown.rows)
    puppet.title("waiting permission: rm -r y")
    until(lambda: one.look().waits == "permission: rm -r y", "another dialog")
    assert "something else" in one.press(shown, "1")
    puppet.title("working")
    until(lambda: not one.look().waits, "it works")
    assert "something else" in one.press(shown, "\r")
    puppet.title("waiting permission: touch x")
    until(lambda: one.look() == shown, "as at first")
    lab.tmux("copy-mode", "-t", puppet.row.pane)
    assert "copy mode" in one.press(shown, "1")
    lab.tmux("send-keys", "-t", puppet.row.pane, "-X", "cancel")
    assert one.press(shown, "\x0c") != ""
    assert one.press(shown, ";") == ""
    until(lambda: puppet.keys == ";", "it went to the dialog")


def test_a_key_goes_to_no_dialog_that_was_not_seen_though_it_waits_for_the_same(lab: Lab) -> None:
    puppet = waiting(lab)
    one = answering(puppet)
    shown = one.look()
    puppet.draw(DIALOG.replace("touch x", "touch x && rm -r y"))
    until(lambda: one.look().words != shown.words, "another dialog")
    assert "something else" in one.press(shown, "1")
    assert "something else" in one.press(shown, "\r")
    puppet.draw(DIALOG)
    until(lambda: one.look().words == shown.words, "as at first")
    # Another row is selected: no other dialog.
    puppet.draw(DIALOG.replace("> 1", "  1").replace("  2", "\033[7m> 2"))
    until(lambda: one.look().rows != shown.rows, "the other row is selected")
    assert one.press(shown, "\r") == ""
    until(lambda: puppet.keys == "\n", "it went to the dialog")


@pytest.mark.parametrize("key", ["\r", "\033", "1", "y"])
def test_after_a_key_that_decides_none_goes_before_the_dialog_changed(lab: Lab, key: str) -> None:
    puppet = waiting(lab)
    one = answering(puppet)
    shown = one.look()
    assert one.press(shown, key) == ""
    assert "last key" in one.press(shown, "\r") and "last key" in one.press(shown, "1")
    puppet.draw(DIALOG.replace("touch x", "touch y"))
    until(lambda: one.look().words != shown.words, "another dialog")
    assert "last key" in one.press(one.look(), "\r"), "pressed twice"
    until(lambda: one.press(one.look(), "1") == "", "it was there for a moment")
    until(lambda: len(puppet.keys) == 2, "it went to the dialog")


def test_a_text_that_decides_by_its_first_letter_goes_no_further(lab: Lab) -> None:
    puppet = waiting(lab)
    one = answering(puppet)
    assert "last key" in one.press(one.look(), "yes")
    until(lambda: puppet.keys == "y", "it went to the dialog")


def test_a_text_goes_on_in_an_input_box_among_the_choices(lab: Lab) -> None:
    puppet = waiting(lab)
    one = answering(puppet)
    puppet.draw(DIALOG.replace("2. No", "2. No, "))
    until(lambda: any("2. No," in row for row in one.look().rows), "the box is there")
    shown = one.look()
    assert one.press(shown, "u") == ""
    puppet.draw(DIALOG.replace("2. No", "2. No, u"))
    until(lambda: one.look().words != shown.words, "the letter is there")
    assert one.press(one.look(), "se tabs") == ""
    until(lambda: puppet.keys == "use tabs", "all of it went to the dialog")


@pytest.mark.parametrize(
    ("before", "after", "typed", "same"),
    [
        (["> a"], ["> ab"], "b", True),
        (["│ > ab │"], ["│ > abc │", "│ de │"], "c de", True),
        (["> Type something"], ["> a"], "a", True),
        (["> ab"], ["> a"], "\x7f", True),
        (["> ab"], ["> a"], "b", False),
        (["- harmless", "1. Yes"], ["- DANGEROUS", "1. Yes"], "1", False),
        (["rm a", "1. Yes"], ["rm /", "1. Yes"], "/", False),
        (["rm a", "1. Yes"], ["rm b", "sure?"], "b", False),
    ],
)
def test_what_was_typed_is_told_from_another_dialog(
    before: list[str], after: list[str], typed: str, same: bool
) -> None:
    assert is_echo(words_of(before), words_of(after), typed) is same


@given(st.lists(st.text(max_size=12), max_size=4), st.lists(st.text(max_size=12), max_size=4))
def test_nothing_typed_changes_nothing(before: list[str], after: list[str]) -> None:
    one, other = words_of(before), words_of(after)
    assert not is_echo(one, other, "") or "".join("".join(one).split()) == "".join("".join(other).split())


def test_an_agent_that_failed_is_told_more_in_its_input_box(lab: Lab) -> None:
    puppet = waiting(lab)
    one = answering(puppet)
    puppet.title("working")
    puppet.wait("working")
    puppet.title("error API Error: 500")
    puppet.wait("waiting", "error: API Error: 500")
    assert one.press(one.look(), "go on") == ""
    until(lambda: puppet.keys == "go on", "it went to the input box")
    puppet.title("working")
    until(lambda: not one.look().waits, "it works")


def test_nobody_is_answered_when_nobody_waits(lab: Lab) -> None:
    lab.start()
    assert "no worker waits" in lab.aiorch("next", check=False).stderr
    assert "needs a terminal" in lab.aiorch("answer", check=False).stderr


def test_next_goes_round_the_workers_that_wait(make_lab: LabMaker) -> None:
    lab = make_lab(size=(120, 40))
    first = waiting(lab)
    second = Puppet(lab, "b")
    second.begin()
    second.title("waiting question")
    second.wait("waiting")
    with Client(str(lab.socket), size=(120, 40)) as client:
        client.wait_for("$")
        name = lab.tmux("list-clients", "-F", "#{?client_control_mode,,#{client_name}}").strip()
        for puppet in (first, second, first):
            lab.aiorch("next", "--client", name)
            assert lab.tmux("display-message", "-p", "-c", name, "#{pane_id}") == puppet.row.pane


def test_the_user_is_told_in_every_way_that_is_chosen(make_lab: LabMaker) -> None:
    lab = make_lab(size=(100, 30))
    told = lab.root / "told.json"
    script = lab.put_program("teller", f"#!/bin/sh\nenv >{told}.new && mv {told}.new {told}\n")
    notify = f'[notify]\nbell = true\nterminal = "osc777"\ncommand = ["{script}", "x"]\n'
    install(lab)
    lab.start(CONFIG + notify)
    puppet = Puppet(lab)
    with Client(str(lab.socket), size=(100, 30)) as client:
        client.wait_for("$")
        puppet.begin()
        puppet.title("waiting permission: echo #(touch bad); %H $(x)")
        client.wait_for("aiorch: a waits: permission: echo #(touch bad); %H $(x)")
        client.wait_for(lambda _: "\033]777;notify;aiorch;a waits" in client.received)
        assert "\a\033]" in client.received
    until(told.exists, "the program was run")
    variables = dict(line.split("=", 1) for line in told.read_text().splitlines() if "=" in line)
    assert variables["AIORCH_WORKER"] == "a" and variables["AIORCH_STATE"] == "waiting"
    assert variables["AIORCH_REASON"] == "permission: echo #(touch bad); %H $(x)"
    assert not lab.finds("bad")
