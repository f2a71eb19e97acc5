"""Programs that may run a role are tried with a stand-in for the agent, once for each state of their file."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from aiorch.workers import role_trial
from aiorch.workers.profile import AgentProfile, Launch
from aiorch.workers.role_trial import Proofs, try_role
from support.lab import Lab, alive, until

PATH = "/usr/bin:/bin"
SWARM = '[types.swarm]\npermissions = "full"\n'
# Runs the role by an agent, and tells how that ended.
FLOW = """#!/bin/sh
echo "$*" >>"{calls}"
case $2 in init) exit 0 ;; esac
for task; do :; done
exec claude -p "$task"
"""


def program(folder: Path, text: str) -> AgentProfile:
    path = folder / "flow"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    roles = {"swarm": Launch(("{agent}", "swarm", "{task}"), permission={"full": ()})}
    return AgentProfile("flow", "Flow", ("flow",), roles=roles, starts="claude", program=str(path))


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ('claude -p "$2"', ""),
        ('claude --version && exec claude --json "plan: $2"', ""),
        ("echo usage: flow task", "it does not start claude with the task"),
        ("claude -p hello", "it does not start claude with the task"),
        ('claude -p "$2"; exit 0', "it exits 0 when claude exits 7"),
        ('claude -p "$2"; exit 1', "it exits 1 when claude exits 0"),
    ],
)
def test_a_program_runs_a_role_when_the_agent_gets_the_task_and_its_end_is_told(
    tmp_path: Path, text: str, trouble: str
) -> None:
    proof = try_role(program(tmp_path, text), "swarm", PATH)
    assert (proof.trouble, proof.runs) == (trouble, not trouble)


def test_the_users_variables_and_files_are_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    out = tmp_path / "seen"
    try_role(program(tmp_path, f'env >{out}; ls -A . "$HOME" >>{out}'), "swarm", PATH)
    seen = out.read_text()
    assert "secret" not in seen and str(Path.home()) not in [line.partition("=")[2] for line in seen.split()]
    assert "PATH=" in seen


def test_what_does_not_end_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role_trial, "TRIAL_SECONDS", 1.0)
    flow = program(tmp_path, f"sleep 60 & echo $! >{tmp_path / 'pid'}; sleep 60")
    begun = time.monotonic()
    assert try_role(flow, "swarm", PATH).trouble == "it does not end within 1 s"
    assert time.monotonic() - begun < 30
    until(lambda: not alive(int((tmp_path / "pid").read_text())), "what it started is gone")


def test_an_outcome_is_kept_until_the_program_changes(tmp_path: Path) -> None:
    flow = program(tmp_path, f'echo x >>{tmp_path / "runs"}; claude -p "$2"')
    file = tmp_path / "state" / "roles.json"
    assert Proofs(file).of(flow, "swarm") is None
    for _ in range(2):
        assert Proofs(file).settle(flow, "swarm", PATH).runs
    assert (tmp_path / "runs").read_text() == "x\n" * 2
    assert file.stat().st_mode & 0o777 == 0o600
    old = Path(flow.program).stat()
    program(tmp_path, "echo usage")
    os.utime(flow.program, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert not Proofs(file).settle(flow, "swarm", PATH).runs


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3}', "\xff"])
def test_a_spoilt_file_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "roles.json"
    file.write_bytes(text.encode("latin-1"))
    flow = program(tmp_path, 'claude -p "$2"')
    assert Proofs(file).settle(flow, "swarm", PATH).runs
    assert len(json.loads(file.read_text())) >= 1


def put_agents(lab: Lab, flow: str) -> None:
    lab.put_program("claude", f'#!/bin/sh\nprintf "%s\\n" "$*" >>{lab.root}/claude\n')
    lab.put_program("claude-flow", flow.format(calls=lab.root / "calls"))


def test_a_role_runs_through_a_program_that_proved_it(lab: Lab) -> None:
    put_agents(lab, FLOW)
    lab.start(SWARM)
    lab.delegate({"name": "a", "type": "swarm", "task": "Build a REST API"})
    lab.wait_state(a="done")
    assert lab.workers()["a"].agent == "claude-flow"
    assert (lab.root / "claude").read_text() == "-p Build a REST API\n"
    tried = len((lab.root / "calls").read_text().splitlines())
    lab.delegate({"name": "b", "type": "swarm", "task": "Build another one"})
    lab.wait_state(b="done")
    # Nothing is tried twice: this worker was begun, and that is all.
    assert len((lab.root / "calls").read_text().splitlines()) == tried + 2


def test_a_role_runs_as_the_default_agent_where_nothing_proved_it(lab: Lab) -> None:
    put_agents(lab, "#!/bin/sh\necho usage\n")
    lab.start(SWARM)
    lab.delegate({"name": "a", "type": "swarm", "task": "Build a REST API"})
    lab.wait_state(a="done")
    assert lab.workers()["a"].agent == "claude"
    assert "The task: Build a REST API" in (lab.root / "claude").read_text()


def test_a_role_that_may_not_do_all_is_not_given_away(lab: Lab) -> None:
    put_agents(lab, FLOW)
    lab.start('[types.swarm]\npermissions = "edit"\n')
    lab.delegate({"name": "a", "type": "swarm", "task": "Build a REST API"})
    lab.wait_state(a="done")
    assert lab.workers()["a"].agent == "claude" and not (lab.root / "calls").exists()
