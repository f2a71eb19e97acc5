"""What a worker leaves: its result and where that is from, its exit code in words, what it changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import LabMaker
from support.lab import REPO, STEP, Lab, until

CORPUS = REPO / "tests/corpus"


def shown(lab: Lab, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.aiorch("show", name, "--json").stdout)
    return found


def git(lab: Lab, *argv: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *argv], cwd=lab.project, env=lab.env, check=True, capture_output=True)


def in_git(lab: Lab) -> None:
    """Make the project a git tree with one commit, and a file that has changes by then."""
    git(lab, "init", "-q")
    (lab.project / "kept").write_text("one\ntwo\n")
    (lab.project / "mine").write_text("mine\n")
    git(lab, "add", ".")
    git(lab, "commit", "-qm", "first")
    (lab.project / "mine").write_text("mine\nchanged before\n")
    (lab.project / "loose").write_text("not committed\n")


def changed(lab: Lab, name: str) -> dict[str, tuple[str, int | None, int | None]]:
    files = shown(lab, name)["changes"]["files"]
    return {one["path"]: (one["kind"], one["added"], one["removed"]) for one in files}


def test_file_comes_before_the_screen_and_the_source_is_told(lab: Lab) -> None:
    lab.start()
    lab.delegate(
        ("wrote", 'echo shown; echo written > "$AIORCH_RESULT"'),
        ("printed", "printf 'one\\n\\ntwo\\n'"),
        ("silent", "true"),
    )
    lab.wait_state(wrote="done", printed="done", silent="done")
    rows = lab.workers()
    assert (rows["wrote"].result, rows["wrote"].source) == ("written", "file")
    assert (rows["printed"].result, rows["printed"].source) == ("one\n\ntwo", "screen")
    assert (rows["silent"].result, rows["silent"].source) == ("", "")
    record = shown(lab, "wrote")
    assert Path(record["result_file"]).read_text() == "written\n"
    assert (record["state"], record["status"], record["changes"], record["check"]) == ("done", 0, None, None)
    text = lab.aiorch("show", "printed").stdout
    assert "printed (step): done" in text and "its last screen" in text and text.endswith("\none\n\ntwo\n")
    # The table has one line for each: the last that it printed.
    assert [
        line.split()[-1] for line in lab.aiorch("ps").stdout.splitlines() if line.startswith("printed")
    ] == ["two"]


def test_failed_worker_has_a_result_and_its_reason(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "echo what went wrong; exit 3"))
    lab.wait_state(a="failed")
    record = shown(lab, "a")
    assert (record["reason"], record["status"], record["result"]) == ("exit 3", 3, "what went wrong")


def test_show_of_nothing_says_what_there_is(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "true"))
    for words in ("nobody", "99"):
        done = lab.aiorch("show", words, check=False)
        assert (
            done.returncode == 1
            and f"no {'worker' if words == 'nobody' else 'directive or worker'}" in done.stderr
        )
    assert json.loads(lab.aiorch("show", "1", "--json").stdout)["payload"]["task"] == "do it"


def test_what_a_worker_changed_in_a_git_tree_is_told(lab: Lab) -> None:
    in_git(lab)
    lab.start()
    work = "printf 'a\\nb\\n' > new; echo three >> kept; mkdir d; echo x > 'd/wei\ttes'; rm loose"
    lab.delegate(("a", work))
    lab.wait_state(a="done")
    assert changed(lab, "a") == {
        "new": ("added", 2, 0),
        "kept": ("modified", 1, 0),
        "d/wei\ttes": ("added", 1, 0),
        "loose": ("deleted", None, None),
    }
    text = lab.aiorch("show", "a").stdout
    assert "4 files, +4 -0" in text and "modified      +1 -0 kept" in text and r"wei\ttes" in text
    # What was changed before and is changed further has no lines of its own, what is committed has.
    lab.delegate(
        ("b", "echo more >> mine; git add kept; git -c user.name=a -c user.email=a@b commit -qm second")
    )
    lab.wait_state(b="done")
    assert changed(lab, "b") == {"mine": ("modified", None, None), "kept": ("modified", None, None)}
    record = shown(lab, "b")["changes"]
    assert record["base"] != record["head"]
    lab.delegate(("c", "true"))
    lab.wait_state(c="done")
    assert changed(lab, "c") == {}
    assert "no files" in lab.aiorch("show", "c").stdout


def test_first_commit_of_all_and_a_folder_below_are_no_hindrance(make_lab: LabMaker) -> None:
    lab = make_lab(project="pro ject/below")
    subprocess.run(["git", "init", "-q", str(lab.project.parent)], env=lab.env, check=True)
    (lab.project.parent / "before").write_text("x\n")
    lab.start()
    lab.delegate(("a", "echo y > new; git add new; git -c user.name=a -c user.email=a@b commit -qm first"))
    lab.wait_state(a="done")
    assert changed(lab, "a") == {"below/new": ("added", 1, 0)}


def test_workers_that_share_a_tree_at_a_time_are_named(lab: Lab) -> None:
    in_git(lab)
    lab.start()
    gate = lab.root / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.02; done"
    lab.delegate(("a", f"{wait}; echo a > a"), ("b", f"{wait}; echo b > b"))
    lab.wait_state(a="working", b="working")
    gate.touch()
    lab.wait_state(a="done", b="done")
    assert shown(lab, "a")["changes"]["shared"] == ["b"]
    assert "shared the tree with b: whose changes these are cannot be told" in lab.aiorch("show", "a").stdout
    lab.delegate(("c", "echo c > c"))
    lab.wait_state(c="done")
    assert shown(lab, "c")["changes"]["shared"] == []
    # All that the wrapper has noted is for the owner alone.
    assert not [path for path in (lab.run / "workers").glob("*/*") if path.stat().st_mode & 0o077]


AGENTS = ["claude", "codex", "copilot", "qwen", "gemini"]
# Where each keeps the session of a process in the project, by a script that stands for it.
PLACES = {
    "claude": "$HOME/.claude/projects/$slug",
    "codex": "$HOME/.codex/sessions/2026/01/02",
    "copilot": "$HOME/.copilot/session-state/0b0b0b0b-0000-4000-8000-000000000000",
    "qwen": "$HOME/.qwen/projects/$slug/chats",
    "gemini": "$HOME/.gemini/tmp/project/chats",
}
NAMES = {
    "claude": "$id.jsonl",
    "codex": "rollout-2026-01-02T00-00-00-0b0b0b0b-0000-4000-8000-000000000000.jsonl",
    "copilot": "events.jsonl",
    "qwen": "0b0b0b0b-0000-4000-8000-000000000000.jsonl",
    "gemini": "session-2026-01-02T00-00-0b0b0b0b.jsonl",
}


def pose_as(lab: Lab, agent: str, recording: str, ending: str) -> None:
    """Put a program on the PATH that leaves a recorded session as the agent does, as if said just now."""
    source = CORPUS / agent / recording / "session.jsonl"
    ours = lab.root / "session.jsonl"
    ours.write_text(_fresh(source.read_text(), lab.project))
    script = f"""#!/bin/sh
slug=$(pwd | sed 's/[^a-zA-Z0-9]/-/g')
id=0b0b0b0b-0000-4000-8000-000000000000
while [ $# -gt 0 ]; do [ "$1" = --session-id ] && id=$2; shift; done
mkdir -p "{PLACES[agent]}"
now=$(date -u +%Y-%m-%dT%H:%M:%S.000Z)
sed "s/@now@/$now/g" {ours} > "{PLACES[agent]}/{NAMES[agent]}"
{ending}
"""
    lab.put_program(agent, script)


def _fresh(text: str, project: Path) -> str:
    """Return a recorded session as one of now and of the project."""
    own = {
        **dict.fromkeys(("timestamp", "startTime", "lastUpdated"), "@now@"),
        "cwd": str(project),
        "projectHash": hashlib.sha256(str(project).encode()).hexdigest(),
    }

    def renewed(value: object) -> object:
        if isinstance(value, list):
            return [renewed(one) for one in value]
        if isinstance(value, dict):
            return {name: own.get(name) or renewed(one) for name, one in value.items()}
        return value

    lines = [renewed(json.loads(line)) for line in text.splitlines()]
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


@pytest.mark.parametrize("agent", AGENTS)
def test_last_message_is_the_agents_own_record_of_it(lab: Lab, agent: str) -> None:
    recording = "short-80x24" if agent != "claude" else "short-fullscreen-80x24"
    pose_as(lab, agent, recording, "echo what is on the screen")
    lab.start()
    lab.delegate({"name": "a", "type": agent, "task": "do this and that"})
    lab.wait_state(a="done")
    row = lab.workers()["a"]
    assert row.source == "transcript"
    assert row.result.startswith("I will") and row.result.endswith(("workers.", "now."))
    assert shown(lab, "a")["transcript"].endswith(".jsonl")
    assert "its last message" in lab.aiorch("show", "a").stdout


def test_record_is_noted_while_the_agent_works_and_known_after_its_end(lab: Lab) -> None:
    gate = lab.root / "gate"
    pose_as(lab, "claude", "short-fullscreen-80x24", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    lab.start()
    lab.delegate({"name": "a", "type": "claude", "task": "do this and that"})
    until(lambda: shown(lab, "a").get("transcript"), "the file is noted")
    lab.kill_engine()
    gate.touch()
    lab.wait_state(a="done")
    assert lab.workers()["a"].source == "transcript"


def test_denied_tool_with_exit_code_0_is_a_failure(lab: Lab) -> None:
    pose_as(lab, "claude", "permdeny-classic-100x35", "exit 0")
    lab.start("retries = 2\n" + STEP)
    lab.delegate({"name": "a", "type": "claude", "task": "do this and that"})
    lab.wait_state(a="failed")
    row = lab.workers()["a"]
    assert row.reason.startswith("permission: it was not allowed what it wanted to do (The user doesn't")
    assert (row.status, row.attempt) == (0, 1)


def test_denials_in_a_result_in_json_are_a_failure(lab: Lab) -> None:
    result = {
        "type": "result",
        "is_error": False,
        "permission_denials": [{"tool_name": "Bash"}],
        "result": "x" * 300,
    }
    text = json.dumps(result, separators=(",", ":"))
    lab.put_program("claude", f"#!/bin/sh\nprintf '%s\\n' '{text}'\n")
    lab.start()
    lab.delegate({"name": "a", "type": "claude", "task": "do this and that"})
    lab.wait_state(a="failed")
    assert lab.workers()["a"].reason == "permission: it was not allowed to use Bash"


def test_exit_codes_mean_what_the_agents_profile_says(lab: Lab) -> None:
    lab.put_program("gemini", "#!/bin/sh\nexit 55\n")
    lab.start()
    lab.delegate({"name": "a", "type": "gemini", "task": "do this and that"})
    lab.wait_state(a="failed")
    assert lab.workers()["a"].reason.startswith("exit 55: it does not trust this folder")
    assert "exit 55: it does not trust this folder" in lab.aiorch("show", "a").stdout


def test_usage_in_place_of_work_is_a_failure(lab: Lab) -> None:
    lab.put_program(
        "claude-flow", '#!/bin/sh\n[ "$2" = init ] || printf "v3\\n\\nUSAGE:\\n  claude-flow task\\n"\n'
    )
    lab.start('[types.claude-flow]\npermissions = "full"\n')
    lab.delegate({"name": "a", "type": "claude-flow", "task": "do this and that"})
    lab.wait_state(a="failed")
    assert lab.workers()["a"].reason == "no-op: it printed its usage and did nothing (USAGE:)"


def test_aiders_exit_code_0_after_a_failure_of_its_service_is_a_failure(lab: Lab) -> None:
    history = lab.root / "history"
    shutil.copyfile(CORPUS / "aider/err400-80x24/session.md", history)
    script = f"""#!/bin/sh
now=$(date '+%Y-%m-%d %H:%M:%S')
sed "s/started at .*/started at $now/" {history} >> .aider.chat.history.md
"""
    lab.put_program("aider", script)
    lab.start()
    lab.delegate({"name": "a", "type": "aider", "task": "CASE=err400 please go on."})
    lab.wait_state(a="failed")
    assert lab.workers()["a"].reason.startswith(
        "service: the model's service failed (litellm.BadRequestError"
    )
    shutil.copyfile(CORPUS / "aider/short-80x24/session.md", history)
    lab.delegate({"name": "b", "type": "aider", "task": "CASE=short please go on."})
    lab.wait_state(b="done")
    assert lab.workers()["b"].result.startswith("I will delegate this now.")
