"""What a user does to panes, windows and sessions while a run goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from aiorch.journal import WorkerRow
from support.client import Client
from support.lab import REPO, STEP, Lab, alive, until

RUNS = f'default_type = "step"\nmax_workers = 16\n[trust.plain]\nroles = "run"\n{STEP}'
GATED = "while [ ! -e {gate} ]; do sleep 0.05; done; exit 5"


def rename_all(lab: Lab, row: WorkerRow) -> None:
    lab.tmux("rename-window", "-t", row.pane, "##(touch never) ; kill-server")
    lab.tmux("select-pane", "-t", row.pane, "-T", "worker 7")
    lab.tmux("rename-session", "-t", "m", "other name")
    lab.tmux("rename-session", "-t", "other name", "m")


def move_to_another_session(lab: Lab, row: WorkerRow) -> None:
    lab.tmux("new-session", "-d", "-s", "other", "-x", "120", "-y", "30", "--", "cat", "-u")
    lab.tmux("join-pane", "-d", "-s", row.pane, "-t", "other:")


MOVES: dict[str, Callable[[Lab, WorkerRow], object]] = {
    "zoom": lambda lab, row: lab.tmux("resize-pane", "-Z", "-t", row.pane),
    "break": lambda lab, row: lab.tmux("break-pane", "-d", "-s", row.pane),
    "swap with the primary": lambda lab, row: lab.tmux("swap-pane", "-d", "-s", row.pane, "-t", "%0"),
    "move the primary": lambda lab, _: lab.tmux("break-pane", "-d", "-s", "%0"),
    "another layout": lambda lab, _: lab.tmux("select-layout", "-t", "m", "tiled"),
    "resize": lambda lab, _: lab.tmux("resize-window", "-t", "m", "-x", "90", "-y", "20"),
    "rename": rename_all,
    "another session": move_to_another_session,
    "link": lambda lab, _: lab.tmux("new-session", "-d", "-t", "m", "-s", "grouped"),
    "the view": lambda lab, _: lab.tmux("kill-pane", "-t", _role(lab, "monitor")),
}


def _role(lab: Lab, role: str) -> str:
    return next(pane for pane, name in lab.panes("pane_id", "@aiorch_role") if name == role)


@pytest.mark.parametrize("name", MOVES)
def test_what_is_moved_goes_on_and_more_can_start(lab: Lab, name: str) -> None:
    lab.start(RUNS)
    gate = lab.root / "gate"
    lab.delegate(("a", GATED.format(gate=gate)))
    lab.wait_state(a="working")
    MOVES[name](lab, lab.workers()["a"])
    lab.delegate(("b", "true"))
    lab.say({"task": "echo said >>ran"})
    until((lab.project / "ran").exists, "the primary is read")
    lab.wait_state(b="done")
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    gate.touch()
    lab.wait_state(a="failed")
    row = lab.workers()["a"]
    assert (row.status, row.attempt) == (5, 1)
    assert not (lab.project / "never").exists()
    lab.aiorch("stop")
    roles = lab.tmux("list-panes", "-a", "-F", "#{@aiorch_role}").split()
    assert roles == [], roles


def test_a_closed_window_ends_its_workers_and_no_others(lab: Lab) -> None:
    lab.start(RUNS)
    names = [f"w{number}" for number in range(12)]
    lab.delegate(*[(name, "sleep 60") for name in names])
    lab.wait_state(**dict.fromkeys(names, "working"))
    home = lab.tmux("display-message", "-p", "-t", "%0", "#{window_id}")
    (other,) = {window for (window,) in lab.panes("window_id")} - {home}
    gone = {name for window, name in lab.panes("window_id", "@aiorch_name") if window == other}
    assert gone
    lab.tmux("kill-window", "-t", other)
    until(lambda: {n for n, row in lab.workers().items() if row.state == "killed"} == gone, "they are killed")
    assert {row.reason for row in lab.workers().values() if row.state == "killed"} == {"its pane was closed"}
    assert all(lab.workers()[name].state == "working" for name in set(names) - gone)


def test_runs_of_two_sessions_do_not_meet(lab: Lab) -> None:
    lab.start(RUNS)
    lab.tmux("new-session", "-d", "-s", "n", "-x", "140", "-y", "40", "--", "sh")
    pane = lab.tmux("display-message", "-p", "-t", "n", "#{pane_id}")
    lab.aiorch("--session", "n", "start", "--pane", pane)
    specs = json.dumps([{"name": "theirs", "type": "step", "task": "sleep 60"}])
    lab.aiorch("--session", "n", "run", "x", "--workers", specs)
    lab.aiorch("run", "x", "--workers", specs.replace("theirs", "ours"))
    table = lab.aiorch("status").stdout
    assert "ours" in table
    assert "theirs" not in table
    engines = {
        session: int(lab.tmux("show-options", "-v", "-t", session, "@aiorch_engine")) for session in "mn"
    }
    assert len(set(engines.values())) == 2
    lab.aiorch("stop")
    until(lambda: not alive(engines["m"]), "ours ends")
    # The hook that starts a lost engine again is shared: theirs still comes back.
    os.kill(engines["n"], signal.SIGKILL)
    until(lambda: lab.tmux("show-options", "-v", "-t", "n", "@aiorch_engine") != str(engines["n"]), "another")
    lab.aiorch("--session", "n", "stop")
    assert "4207" not in lab.tmux("show-hooks", "-g")


def test_clients_of_different_sizes_come_and_go(lab: Lab) -> None:
    lab.start(RUNS)
    gate = lab.root / "gate"
    lab.delegate(("a", GATED.format(gate=gate)))
    lab.wait_state(a="working")
    for size in ((80, 24), (200, 50)):
        with Client(str(lab.socket), size=size) as client:
            client.wait_for("orchestrator")
            lab.say({"task": f"echo {size[0]} >>ran"})
            ran = lab.project / "ran"
            until(lambda ran=ran, size=size: _has(ran, str(size[0])), f"it runs at {size}")  # type: ignore[misc]
    gate.touch()
    lab.wait_state(a="failed")
    assert (lab.project / "ran").read_text().split() == ["80", "200"]


def _has(path: Path, word: str) -> bool:
    return path.exists() and word in path.read_text().split()


def test_hooks_of_the_users_own_go_on_beside_ours(lab: Lab) -> None:
    lab.tmux("set-hook", "-g", "client-detached", "set-option -g @seen global")
    lab.start(RUNS)
    with Client(str(lab.socket), size=(100, 30)) as client:
        client.wait_for("orchestrator")
    until(lambda: lab.tmux("show-options", "-gqv", "@seen") == "global", "their hook ran")
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "and ours")


def test_an_uninstalled_plugin_leaves_no_hooks(lab: Lab) -> None:
    lab.tmux("set-hook", "-t", "m", "after-pipe-pane", "set-option -g @seen yes")
    lab.start(RUNS)
    assert "4207" in lab.tmux("show-hooks", "-t", "m")
    lab.tmux("run-shell", f"HOME={lab.home} {REPO}/scripts/uninstall.sh >/dev/null 2>&1 || :")
    for scope in (("-t", "m"), ("-g",)):
        until(lambda scope=scope: "4207" not in lab.tmux("show-hooks", *scope), "ours are gone")  # type: ignore[misc]
    assert "after-pipe-pane[0]" in lab.tmux("show-hooks", "-t", "m")
