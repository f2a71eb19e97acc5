"""Quoting, tried on a real server: whatever the text, tmux gets it as it is and expands nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiorch.errors import TmuxError
from aiorch.tmux import quote
from aiorch.tmux.ask import Ask
from aiorch.tmux.control import ControlClient
from support.lab import Lab

HOSTILE = [
    "#(touch owned)", "#{pid}", "#[fg=red]x", "##[x", "%H:%M", "$HOME ${HOME} `id` $(id)",
    "a;b ; c \\; d;", "{ a } ~ #", "'single' \"double\" \\back", "-x", "new\nline\ttab\r",
    "\x1b[31m\x07\x01", "é 漢字 👩‍💻", "", " ", "#", "%%", "~root", "a\\",
]  # fmt: skip


@pytest.fixture
def control(lab: Lab) -> Iterator[ControlClient]:
    client = ControlClient(str(lab.socket), "m", lambda _: None)
    yield client
    client.close()


def test_option_values_arrive_as_they_are_and_are_not_expanded(control: ControlClient, lab: Lab) -> None:
    for text in HOSTILE:
        control.run("set-option", "-p", "-t", "%0", "@value", text)
        # show-options and formats print some characters escaped: tmux compares instead.
        control.run("set-option", "-p", "-t", "%0", "@same", text)
        assert control.run("display-message", "-p", "-t", "%0", "#{==:#{@value},#{@same}}") == ["1"]
        length = control.run("display-message", "-p", "-t", "%0", "#{n:@value}")
        assert length == [str(len(text.encode()))], text
    assert not (lab.project / "owned").exists()


def test_arguments_and_environment_of_a_pane_arrive_as_they_are(control: ControlClient, lab: Lab) -> None:
    for index, text in enumerate(HOSTILE):
        out = lab.root / f"out{index}"
        script = 'printf "%s|%s" "$1" "$VALUE" >"$0.part" && mv "$0.part" "$0" && exec sleep 60'
        argv = ["sh", "-c", script, str(out), text]
        control.run("new-window", "-d", "-t", "m:", f"-eVALUE={text}", "--", *argv)
        _wait(out)
        assert out.read_bytes() == f"{text}|{text}".encode(), text
    assert not (lab.project / "owned").exists()


def test_words_of_one_command_arrive_as_they_are_from_a_shell(lab: Lab) -> None:
    ask = Ask(str(lab.socket))
    for text in (*HOSTILE, ";", ";;", "a\\;", "a;\\"):
        ask.run("set-option", "-g", "@value", text)
        assert ask.run("display-message", "-p", "#{n:@value}") == str(len(text.encode())), text
    assert not (lab.project / "owned").exists()


def test_drawn_text_shows_as_it_is(control: ControlClient) -> None:
    for text in ("#(touch owned)", "#{pid}", "##", "a #b"):
        control.run("set-option", "-g", "@form", quote.literal(text))
        assert control.run("display-message", "-p", quote.literal(text)) == [text]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_one_argument(control: ControlClient, text: str) -> None:
    control.run("set-option", "-g", "@any", text)
    assert control.run("display-message", "-p", "#{n:@any}") == [str(len(text.encode()))]


def test_shell_words_survive_a_shell(lab: Lab) -> None:
    lab.type(quote.shell(["printf", "%s", "a 'b' \"c\" $HOME;#"]) + " >out")
    _wait(lab.project / "out")


def test_refused_command_raises_with_the_words_of_tmux(control: ControlClient) -> None:
    with pytest.raises(TmuxError, match="nothere"):
        control.run("select-pane", "-t", "nothere")
    assert control.run("display-message", "-p", "still here") == ["still here"]


def test_body_that_looks_like_a_notification_is_body(control: ControlClient) -> None:
    for text in ("%12", "%end 1 2 1", "%begin 1 2 1"):
        control.run("set-buffer", "-b", "body", text)
        assert control.run("show-buffer", "-b", "body") == [text]


def test_commands_after_the_server_is_gone_raise_and_do_not_hang(lab: Lab) -> None:
    told: list[str | None] = []
    client = ControlClient(str(lab.socket), "m", told.append)
    lab.tmux("new-session", "-d", "-s", "other")
    lab.tmux("kill-session", "-t", "m")
    with pytest.raises(TmuxError):
        for _ in range(100):
            client.run("display-message", "-p", "x")
    client.close()
    assert told[-1] is None
    lab.tmux("new-session", "-d", "-s", "m", "--", "sh")


def _wait(path: Path) -> None:
    from support.lab import until

    until(path.exists, f"{path} is written")
