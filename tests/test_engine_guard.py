"""An engine that is killed is followed by another: by its guard, else by the hook of tmux."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from pathlib import Path

import pytest

from aiorch import paths
from aiorch.engine.daemon import lock_run
from aiorch.engine.update import Code
from aiorch.errors import EngineError
from aiorch.runs import has_engine
from support.lab import STEP, Lab, alive, until


def another(lab: Lab, killed: int) -> None:
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    lab.wait_state(a="working")
    lab.delegate(("b", "true"))
    lab.wait_state(b="done")


def start(lab: Lab) -> None:
    lab.start(STEP)
    lab.delegate(("a", "sleep 60"))
    lab.wait_state(a="working")


def test_the_guard_needs_no_hook(lab: Lab) -> None:
    start(lab)
    guard = lab.guard
    lab.tmux("set-option", "-t", "m", "@aiorch_revive", "true")
    another(lab, lab.kill_engine())
    assert lab.guard != guard
    until(lambda: not alive(guard), "there is one guard")


def test_the_hook_needs_no_guard(lab: Lab) -> None:
    start(lab)
    lab.kill_guard()
    another(lab, lab.kill_engine())


def test_an_engine_that_was_killed_again_and_again_is_given_up_by_both(lab: Lab) -> None:
    start(lab)
    guards = [lab.guard]
    (lab.run / "restarts").write_text("99999999999\n" * 5)
    lab.kill_engine()
    status = ("display-message", "-p", "-t", "m", "#{AIORCH_STATUS}")
    until(lambda: "engine died 5 times" in lab.tmux(*status), "it is told")
    until(lambda: not any(alive(pid) for pid in guards), "the guard has given up")
    (lab.run / "restarts").unlink()
    # The hook may not have been there yet: it starts one then.
    lab.aiorch("start", "--pane", "%0", check=False)
    until(lambda: any(alive(pid) for pid in lab.engine_pids()), "an engine")
    lab.wait_state(a="working")


@pytest.mark.parametrize("ends", ["stop", "term", "server"])
def test_the_guard_ends_with_what_it_guards(lab: Lab, ends: str) -> None:
    start(lab)
    guard, (pid,) = lab.guard, lab.engine_pids()
    if ends == "stop":
        lab.aiorch("stop")
    elif ends == "term":
        os.kill(pid, signal.SIGTERM)
    else:
        server = int(lab.tmux("display-message", "-p", "#{pid}"))
        os.kill(server, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(guard) and not alive(pid), "both are gone")
    if ends == "server":
        lab.__enter__()


def test_code_that_was_changed_is_not_that_of_the_guard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "python" / "aiorch" / "a.py"
    source.parent.mkdir(parents=True)
    source.write_text("x = 1\n")
    monkeypatch.setattr(paths, "plugin_dir", lambda: tmp_path)
    code = Code()
    assert code.is_same()
    source.write_text("x = 22\n")
    assert not code.is_same()


def test_a_look_whether_there_is_an_engine_keeps_none_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with path.open() as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        letting_go = threading.Timer(0.03, fcntl.flock, (looked_at, fcntl.LOCK_UN))
        letting_go.start()
        lock_run(tmp_path)
        letting_go.join()
    assert has_engine(tmp_path)
    with pytest.raises(EngineError, match="already runs"):
        lock_run(tmp_path)
