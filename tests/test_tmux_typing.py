"""Keys go into a pane only while it is as it was seen, each time once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from aiorch.errors import TmuxError
from aiorch.tmux.control import ControlClient
from aiorch.tmux.typing import Shown, Typist, look
from support.client import Client
from support.lab import Lab, until

PANE = "%0"


@pytest.fixture
def typist(lab: Lab) -> Iterator[Typist]:
    """Return what types into the panes of the lab; the first one runs cat."""
    lab.type("stty -echo; printf '\\033[?2004h'; clear; cat -v")
    until(lambda: lab.tmux("display", "-p", "-t", PANE, "#{pane_current_command}") == "cat", "cat runs")
    control = ControlClient(str(lab.socket), "m", lambda _line: None)
    yield Typist(control, str(lab.socket))
    control.close()


def seen(typist: Typist) -> Shown:
    shown = look(typist.control, PANE)
    assert shown is not None
    return shown


def screen(lab: Lab) -> str:
    return lab.tmux("capture-pane", "-p", "-t", PANE).strip()


def test_a_text_is_pasted_in_brackets_and_noted(lab: Lab, typist: Typist) -> None:
    assert typist.paste(PANE, seen(typist), "7-4f2a", "one 'two' #{x} ; $HOME")
    assert typist.enter(PANE, seen(typist), "7-4f2a")
    until(lambda: screen(lab) == "^[[200~one 'two' #{x} ; $HOME^[[201~", "the text")
    assert seen(typist).message == "entered-7-4f2a"
    assert "aiorch" not in lab.tmux("list-buffers")


def test_the_same_look_types_once(lab: Lab, typist: Typist) -> None:
    shown = seen(typist)
    assert typist.paste(PANE, shown, "1-aaaa", "text")
    assert not typist.paste(PANE, shown, "1-aaaa", "text")
    assert not typist.enter(PANE, shown, "1-aaaa")
    assert lab.tmux("list-buffers") == ""


CHANGES: dict[str, Callable[[Lab], object]] = {
    "copy mode": lambda lab: lab.tmux("copy-mode", "-t", PANE),
    "size": lambda lab: lab.tmux("resize-window", "-t", "m", "-x", "90", "-y", "30"),
    "synchronized": lambda lab: lab.tmux("set-option", "-w", "-t", PANE, "synchronize-panes", "on"),
    "program": lambda lab: lab.tmux("respawn-pane", "-k", "-t", PANE, "cat"),
    "another engine": lambda lab: lab.tmux(
        "set-option", "-p", "-t", PANE, "@aiorch_message", "pasted-9-bbbb"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_pane_that_has_changed_gets_no_key(lab: Lab, typist: Typist, change: str) -> None:
    shown = seen(typist)
    CHANGES[change](lab)
    assert not typist.paste(PANE, shown, "1-aaaa", "text")
    assert not typist.enter(PANE, shown, "1-aaaa")
    assert "text" not in screen(lab) and lab.tmux("list-buffers") == ""


def test_a_key_of_the_user_comes_first_though_nothing_shows_it(lab: Lab, typist: Typist) -> None:
    with Client(str(lab.socket), size=(160, 44)) as client:
        until(lambda: client.screen() != "", "the client is drawn")
        before = seen(typist).facts["session_activity"]
        # Seconds are told apart; cat without an echo draws nothing.
        until(lambda: lab.tmux("display", "-p", "%s") > before, "the next second")
        shown = seen(typist)
        client.send("x")
        assert not typist.paste(PANE, shown, "1-aaaa", "text")


def test_an_option_that_somebody_else_has_set_is_an_error(lab: Lab, typist: Typist) -> None:
    lab.tmux("set-option", "-p", "-t", PANE, "@aiorch_message", "#(touch no),}")
    with pytest.raises(TmuxError, match="marked by somebody else"):
        typist.paste(PANE, seen(typist), "1-aaaa", "text")
    with pytest.raises(TmuxError, match="no key"):
        typist.paste(PANE, seen(typist), "1; kill-server", "text")
    assert lab.tmux("list-buffers") == "" and not (lab.project / "no").exists()


def test_a_pane_that_is_gone_is_not_seen(typist: Typist) -> None:
    assert look(typist.control, "%99") is None
