"""Which agents are installed, in which version, and whether they start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiorch import agents
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.role_trial import Proofs


def put(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, agents.Installed]:
    monkeypatch.setattr(agents, "START_SECONDS", 1.0)
    bin = tmp_path / "bin"
    put(bin, "claude", "echo '2.1.330 (Claude Code)'")
    put(bin, "codex", "echo codex-cli 0.170.1-alpha.2 >&2")
    put(bin, "gemini", "echo cannot find module >&2; exit 3")
    put(bin, "qwen", "exec sleep 60")
    put(bin, "opencode", "echo hello")
    put(bin, "claude-flow", 'echo ruflo v3.43.0; [ $1 != task ] || exec claude -p "$2"')
    put(bin, "copilot", "[ -t 0 ] || read -r line || echo 1.0.102")
    return {
        one.name: one
        for one in agents.installed(load_profiles(None), f"{bin}:/usr/bin:/bin", Proofs(tmp_path / "kept"))
    }


def test_versions_are_asked_for_and_what_does_not_start_is_told(found: dict[str, agents.Installed]) -> None:
    told = {name: (one.version, one.works, one.trouble) for name, one in found.items()}
    assert told["claude"] == ("2.1.330", True, "")
    assert told["codex"] == ("0.170.1-alpha.2", True, "")
    assert told["gemini"] == ("", False, "it does not start (exit 3): cannot find module")
    assert told["qwen"] == ("", False, "it does not tell its version within 1 s")
    assert told["opencode"] == ("", False, "it tells no version")
    # There is nothing for it to read.
    assert told["copilot"] == ("1.0.102", True, "")
    assert told["aider"] == ("", None, "") and found["aider"].program is None
    assert found["shell"].program and found["shell"].works is None


def test_the_table_and_the_list_say_it(found: dict[str, agents.Installed]) -> None:
    lines = {line.split()[0]: line for line in agents.as_text(found.values()).splitlines() if line}
    assert " ✔ 2.1.330 " in lines["claude"] and "(" not in lines["claude"]
    assert lines["codex"].endswith("/codex (tested with 0.169.0)")
    assert " ✖ " in lines["gemini"] and "cannot find module" in lines["gemini"]
    assert " - " in lines["aider"] and "pipx install" in lines["aider"]
    listed = {one["name"]: one for one in json.loads(agents.as_json(found.values()))}
    assert listed["codex"]["version"] == "0.170.1-alpha.2" and listed["codex"]["tested"] == "0.169.0"


def test_what_runs_a_role_by_a_trial_is_told(found: dict[str, agents.Installed]) -> None:
    missing = "it does not start claude with the task"
    assert found["claude-flow"].roles == {"simple": "", "sparc": missing, "swarm": missing}
    text = agents.as_text(found.values())
    assert 'claude-flow 3.43.0 runs simple where you let that do all (permissions = "full").' in text
    assert f"claude-flow 3.43.0 does not run sparc: {missing}." in text
