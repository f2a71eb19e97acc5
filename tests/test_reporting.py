"""Results on their way to an idle lead: who is woken, with what, how often."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aiorch.journal import Journal, Tag
from aiorch.paths import RunPaths
from aiorch.reporting import MOST, is_braked
from aiorch.teach.claude_plugin import FOLDER
from support.lab import REPO, STEP, Lab, until

REPORT = [sys.executable, str(REPO / "python"), "report"]
GATED = "while ! [ -e {gate} ]; do sleep 0.05; done; echo through"


class Hook:
    """The hook, run by the program in the primary's pane as an agent runs it."""

    def __init__(self, lab: Lab, pane: str = "%0", env: str = "") -> None:
        self._lab = lab
        lab.hooks = getattr(lab, "hooks", 0) + 1  # type: ignore[attr-defined]
        self._out = lab.root / f"hook{lab.hooks}"  # type: ignore[attr-defined]
        call = f"{env} {shlex.join(REPORT)} 2>{self._out}.err; echo $? >{self._out}.code"
        script = lab.put_program(f"hook{lab.hooks}", f"#!/bin/sh\n{call}\n")  # type: ignore[attr-defined]
        lab.tmux("send-keys", "-t", pane, "-l", f"{script} &")
        lab.tmux("send-keys", "-t", pane, "Enter")

    @property
    def text(self) -> str:
        return Path(f"{self._out}.err").read_text()

    @property
    def code(self) -> int | None:
        path = Path(f"{self._out}.code")
        return int(path.read_text()) if path.exists() and path.read_text() else None

    def ended(self) -> int:
        until(lambda: self.code is not None, "the hook has ended")
        assert self.code is not None
        return self.code


def spawn(lab: Lab, name: str, task: str) -> None:
    lab.aiorch("spawn", "--type", "step", "--name", name, "--", task)


def test_lead_is_woken_with_the_results_once_all_of_a_directive_have_ended(lab: Lab) -> None:
    lab.start()
    gate = lab.root / "gate"
    lab.delegate(("quick", "echo at once"), ("slow", GATED.format(gate=gate)))
    lab.wait_state(quick="done", slow="working")
    hook = Hook(lab)
    until((lab.run / "report.lock").exists, "the hook waits")
    assert hook.code is None
    gate.touch()
    assert hook.ended() == 2
    assert "at once" in hook.text
    assert "through" in hook.text
    assert "not orders" in hook.text
    assert lab.told("COLLECTED", "quick, slow")
    # Nothing is told twice.
    assert Hook(lab).ended() == 0


def test_what_was_fetched_by_a_command_wakes_nobody(lab: Lab) -> None:
    lab.start()
    spawn(lab, "a", "echo hello")
    lab.aiorch("wait", "a")
    assert Hook(lab).ended() == 0


def test_only_one_waits_for_a_lead(lab: Lab) -> None:
    lab.start()
    spawn(lab, "a", "sleep 60")
    first = Hook(lab)
    until((lab.run / "report.lock").exists, "the first waits")
    assert Hook(lab).ended() == 0
    assert first.code is None
    lab.aiorch("kill", "a")
    assert first.ended() == 2


@pytest.mark.parametrize("env", ["AIORCH_WORKER=a"])
def test_a_worker_is_not_woken(lab: Lab, env: str) -> None:
    lab.start()
    spawn(lab, "a", "echo hello")
    lab.wait_state(a="done")
    assert Hook(lab, env=f"env {env}").ended() == 0


def test_nobody_but_the_leads_pane_is_woken(lab: Lab) -> None:
    lab.start()
    spawn(lab, "a", "echo hello")
    lab.wait_state(a="done")
    other = lab.tmux("new-window", "-d", "-P", "-F", "#{pane_id}", "-t", "m:", "--", "sh")
    assert Hook(lab, pane=other).ended() == 0


def test_a_directive_that_was_refused_is_told_once(lab: Lab) -> None:
    lab.start(f'[trust.plain]\nroles = "refuse"\n{STEP}')
    lab.say({"task": "x"})
    lab.wait_told("ERROR", "not allowed")
    hook = Hook(lab)
    assert hook.ended() == 2
    assert "directive #1 was refused: not allowed" in hook.text
    assert Hook(lab).ended() == 0


def test_a_lead_in_a_loop_is_braked(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    paths.create()
    journal = Journal(paths.journal)
    for _ in range(MOST - 1):
        journal.add_event(Tag.COLLECTED, "x")
    assert not is_braked(journal, time.time())
    journal.add_event(Tag.COLLECTED, "x")
    assert is_braked(journal, time.time())
    assert not is_braked(journal, time.time() + 3601)
    journal.close()


def test_hook_ends_with_the_run(lab: Lab) -> None:
    lab.start()
    spawn(lab, "a", "sleep 60")
    hook = Hook(lab)
    until((lab.run / "report.lock").exists, "the hook waits")
    lab.aiorch("stop")
    assert hook.ended() == 0


def test_lead_is_told_once_what_became_of_what_it_printed(lab: Lab) -> None:
    lab.start('approve = "ask"\n' + STEP)
    lab.say({"task": "evil `x` $(touch CANARY)"})
    lab.wait_told("ASKING")
    lab.aiorch("approve", "1")
    script, out = FOLDER / "hooks/prompt.sh", lab.root / "told"

    def prompt() -> str:
        done = out.with_name(f"{out.name}.done")
        done.unlink(missing_ok=True)
        lab.type(f"sh {script} >{out}; : >{done}")
        until(done.exists, "the hook has ended")
        return out.read_text()

    first = prompt()
    assert "#1 waits for the user's answer\n#1: 1 worker: simple\n" in first
    assert prompt() == ""
    lab.delegate(("a", "true"))
    assert prompt() == ""
    assert not lab.finds("CANARY")


def test_script_of_the_hook_finds_the_command_and_stays_silent_elsewhere(tmp_path: Path) -> None:
    script = FOLDER / "hooks/stop.sh"
    hooks = json.loads((FOLDER / "hooks/hooks.json").read_text())["hooks"]
    assert hooks["Stop"][0]["hooks"][0]["asyncRewake"] is True
    done = subprocess.run(
        ["sh", str(script)], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    root = script.read_text().split("${0%/*}/")[1].split('"')[0]
    assert (script.parent / root).resolve() == REPO
