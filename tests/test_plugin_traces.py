"""What loading puts into the status bar, and that uninstall takes out all that was put in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client
from support.shell_server import REPO, Server, run

SEGMENT = "#{?@aiorch_error,#{@aiorch_error} ,}#{AIORCH_STATUS}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as server:
        yield server


STATUS_RIGHTS = [
    "",
    "plain",
    "#[fg=red,bg=blue]#(echo a,b \"c\" 'x') %H:%M %d, #{?client_prefix,1,2} ##{no} #H",
    "#{E:@theme} \\ $HOME ~ {x} ; end;",
]


@pytest.mark.parametrize("right", STATUS_RIGHTS)
def test_segment_goes_in_front_once_and_leaves_the_rest_as_it_was(server: Server, right: str) -> None:
    server.tmux(
        "set-option", "-g", "status-right", right.removesuffix(";") + "\\;" if right.endswith(";") else right
    )
    assert server.option("status-right") == right
    for _ in range(3):
        server.load()
        assert server.option("status-right") == SEGMENT + right
        assert server.option("status-right-length") == "100"


def test_segment_shows_the_variable_and_costs_no_process(server: Server) -> None:
    server.load()
    server.tmux("set-environment", "-h", "AIORCH_STATUS", "three running")
    with Client(str(server.socket)) as client:
        client.wait_for("three running")
    assert "#(" not in server.option("status-right")


def test_segment_of_the_users_own_is_not_doubled(server: Server) -> None:
    server.tmux("set-option", "-g", "status-right", "#{AIORCH_STATUS} mine")
    server.load()
    assert server.option("status-right") == "#{AIORCH_STATUS} mine"


def test_configuration_that_sets_its_own_bar_again_gets_the_segment_again(server: Server) -> None:
    for _ in range(2):
        server.tmux(
            "set-option", "-g", "status-right", "mine", ";", "set-option", "-g", "status-right-length", "50"
        )
        server.load()
        assert server.option("status-right") == SEGMENT + "mine"
        assert server.option("status-right-length") == "110"


def test_manual_status_leaves_the_bar_alone(server: Server) -> None:
    server.tmux("set-option", "-g", "@aiorch-status", "manual")
    before = server.option("status-right"), server.option("status-right-length")
    server.load()
    assert (server.option("status-right"), server.option("status-right-length")) == before


@pytest.mark.parametrize("key", ["O", '"', ";", "'", "Space"])
def test_uninstall_leaves_no_trace_on_the_server(server: Server, key: str) -> None:
    before = server.traces()
    server.set_key(key)
    server.load()
    pane = server.tmux("display-message", "-p", "#{pane_id}")
    server.tmux(
        "set-environment", "-gh", "AIORCH_STATUS", "x", ";", "set-environment", "-h", "AIORCH_STATUS", "y"
    )
    server.tmux(
        "set-option",
        "@aiorch_run",
        "/nowhere",
        ";",
        "set-option",
        "-p",
        "-t",
        pane,
        "@aiorch_role",
        "primary",
    )
    server.tmux("set-option", "-w", "@aiorch_layout", "x", ";", "set-option", "-g", "@aiorch_error", "x")
    server.tmux("set-hook", "-g", "client-detached[4207]", "display-message x")
    server.tmux("set-hook", "client-attached[4207]", "display-message x")
    server.tmux("set-hook", "-w", "pane-exited[4207]", "display-message x")
    done = run([str(REPO / "scripts/aiorch"), "uninstall"], server.env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert server.traces() == before
    assert server.tmux("show-options", "-p", "-t", pane) == ""
    assert server.tmux("show-options", "-w") == ""


def test_uninstall_keeps_keys_hooks_and_bar_of_others(server: Server) -> None:
    server.tmux(
        "bind-key",
        "O",
        "display-message",
        "theirs",
        ";",
        "set-hook",
        "-g",
        "client-detached[7]",
        "refresh-client",
    )
    before = server.traces()
    server.load()
    server.tmux("set-option", "-g", "status-right", "new " + server.option("status-right"))
    run([str(REPO / "scripts/aiorch"), "uninstall"], server.env)
    server.tmux("set-option", "-g", "status-right", server.option("status-right").removeprefix("new "))
    assert server.traces() == before
