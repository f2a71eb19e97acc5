"""The attached client of the tests: keys reach tmux, menus and popups can be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo_server import PrivateServer
from support.client import PREFIX, Client


def test_client_reads_a_menu_and_presses_its_key(tmp_path: Path) -> None:
    with PrivateServer(tmp_path, (80, 24)) as server:
        server.start("cat")
        server.run("bind-key", "O", "display-menu", "-T", "Crew", "Jump", "j", "set-option -g @picked jump")
        with Client(server.socket, size=(80, 24)) as client:
            client.wait_for(lambda screen: screen.strip() == "")
            client.send("typed by hand\r")
            client.wait_for("typed by hand")
            client.send(PREFIX + "O")
            client.wait_for("Crew")
            client.send("j")
            client.wait_for(lambda screen: "Crew" not in screen)
            assert server.run("show-options", "-gv", "@picked").strip() == "jump"
            client.resize(60, 20)
            client.wait_for(lambda _: server.run("display", "-p", "#{window_width}").strip() == "60")
            client.send(PREFIX + "d")
            assert client.wait_exit() == 0


def test_client_is_reaped_while_it_still_runs(tmp_path: Path) -> None:
    with PrivateServer(tmp_path, (80, 24)) as server, Client(server.socket) as client:
        server.run("set", "-g", "status", "on")
        client.wait_for("[test]")
    assert client.status is not None
    with pytest.raises(ProcessLookupError):
        os.kill(client.pid, 0)


def test_missing_text_is_reported_with_the_screen(tmp_path: Path) -> None:
    with PrivateServer(tmp_path, (80, 24)) as server, Client(server.socket) as client:
        server.start("sh", "-c", "echo here I am; sleep 60")
        with pytest.raises(AssertionError, match="here I am"):
            client.wait_for("somebody else", 0.5)
