"""Whatever the user's mask, what is under the state directory is for the owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import LabMaker
from support.damage import overwrite, pages_of, settle_log
from support.lab import STEP, Lab, until

CONFIG = f"""default_type = "step"
retries = 1
retry_delay = 0.05
{STEP}
[types.reads]
command = ["sh", "-c", "cat >/dev/null; echo read >\\"$AIORCH_RESULT\\""]
task_via = "stdin"
"""


@pytest.fixture(params=[0o022, 0o000], ids=["022", "000"])
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Give this process, and all that it starts, a mask."""
    previous = os.umask(request.param)
    yield request.param
    os.umask(previous)


def open_to_others(state: Path) -> list[str]:
    found = []
    for folder, folders, files in os.walk(state):
        for name in (".", *folders, *files):
            path = Path(folder) / name
            mode = path.lstat().st_mode
            wanted = 0o700 if stat.S_ISDIR(mode) else 0o600
            if stat.S_IMODE(mode) != wanted:
                found.append(f"{stat.S_IMODE(mode):o} {path.relative_to(state)}")
    return sorted(set(found))


def use_all(lab: Lab) -> None:
    """Let a run do all that writes files."""
    lab.say({"task": "echo hello"})
    lab.wait_told("ASKING")
    lab.aiorch("approve")
    lab.say_line("[ORCHESTRATE] {broken")
    lab.delegate(
        ("plain", "echo result >$AIORCH_RESULT; umask >mask"),
        ("fails", "exit 3"),
        {"name": "reads", "type": "reads", "task": "one\ntwo"},
        ("stays", "exec sleep 60"),
    )
    lab.wait_state(plain="done", fails="failed", reads="done", stays="working")
    lab.request({"verb": "no such verb"})
    for argv in (["status"], ["log"], ["events"], ["show", "1"], ["resume", "--list"]):
        lab.aiorch(*argv)
    lab.aiorch("run", "x", "--workers", "[]", check=False)


def test_files_are_the_owners_alone(make_lab: LabMaker, mask: int) -> None:
    lab = make_lab()
    lab.start(CONFIG)
    state = lab.home / ".local/state/aiorch"
    use_all(lab)
    # A worker's own files are as the user has them.
    assert int((lab.project / "mask").read_text(), 8) == mask
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    journal = lab.run / "journal.db"
    settle_log(journal)
    overwrite(journal, range(2, pages_of(journal)))
    (pid,) = lab.engine_pids()
    lab.aiorch("run", "echo again", check=False)
    until(lambda: lab.engine_pids() not in ([], [pid]), "another engine")
    lab.wait_told("ERROR", "the journal was damaged")
    assert list(state.glob("runs/*/journal.damaged-*")) and list(state.glob("runs/*/engine.log"))
    journal.unlink()
    lab.aiorch("tidy")
    lab.wait_told("ERROR", "it was written anew")
    assert open_to_others(state) == []
    lab.aiorch("stop")
    assert open_to_others(state) == []
    names = {path.name for path in state.glob("runs/*/*")} | {
        path.name for path in state.glob("runs/*/*/*/*")
    }
    assert {"restarts", "revive.lock", "start", "exit", "result", "stdin", "labelled", "lock"} <= names


def test_a_session_made_by_the_command_leaves_nothing_open(make_lab: LabMaker, mask: int) -> None:
    lab = make_lab()
    lab.put_program("claude", "#!/bin/sh\nexec cat\n")
    for _ in range(2):
        lab.aiorch("up", "--agent", "claude", "--no-attach")
    assert open_to_others(lab.home / ".local/state/aiorch") == []
