"""The order of a plan: results passed on as files, and what follows when a worker fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aiorch.config import Config
from aiorch.engine.order import order_of
from aiorch.journal import WorkerRow, WorkerState
from aiorch.workers.profile_file import load_profiles
from support.lab import STEP, Lab, until
from support.lives import check_lives


def step(name: str, task: str, *after: str, **more: object) -> dict[str, Any]:
    return {"name": name, "type": "step", "task": task, "after": list(after), **more}


def gated(lab: Lab) -> str:
    """Return a command that fails until the user puts things right."""
    return f'[ -e {lab.root}/mended ] && echo all right > "$AIORCH_RESULT"'


def test_results_of_the_workers_before_come_as_files(lab: Lab) -> None:
    lab.start()
    said = "printf '%s\\n' 'first line' 'käse' > \"$AIORCH_RESULT\""
    copy = 'cp -r "$AIORCH_INPUTS" seen; ls -l "$AIORCH_INPUTS" | grep -c -- "-rw-------"'
    lab.delegate(step("one", said), step("two", "echo on the screen"), step("last", copy, "one", "two"))
    lab.wait_state(last="done")
    seen = lab.project / "seen"
    assert sorted(path.name for path in seen.iterdir()) == ["one.json", "one.md", "two.json", "two.md"]
    assert (seen / "one.md").read_text() == "first line\nkäse"
    assert (seen / "two.md").read_text() == "on the screen"
    record = json.loads((seen / "one.json").read_text())
    assert (record["state"], record["status"], record["result_from"]) == ("done", 0, "file")
    assert Path(record["result_file"]).read_text().startswith("first line")
    assert record["duration"] >= 0
    # All four are for the owner alone.
    assert lab.workers()["last"].result == "4"


def test_worker_that_waits_for_nobody_has_no_inputs(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", 'echo "inputs: ${AIORCH_INPUTS-none}"'))
    lab.wait_state(a="done")
    assert lab.workers()["a"].result == "inputs: none"


def test_program_of_the_users_gets_the_folder_where_it_asks_for_it(lab: Lab) -> None:
    own = '[types.join]\ncommand = ["sh", "-c", "cat \\"$0\\"/*.md; echo $1", "{inputs}", "{task}"]\n'
    lab.start(STEP + own)
    join = {"name": "join", "type": "join", "task": "joined", "after": ["a"]}
    lab.delegate(step("a", 'printf part > "$AIORCH_RESULT"'), join)
    lab.wait_state(join="done")
    assert lab.workers()["join"].result == "partjoined"


def _row(**columns: Any) -> WorkerRow:
    known = dict.fromkeys(("type", "agent", "task", "reason", "pane", "result"), "")
    row: dict[str, Any] = {
        **known, "number": 1, "directive": 1, "name": "last", "after": (), "attempt": 1, "not_before": 0.0,
        "state": WorkerState.QUEUED, "pid": 0, "status": None, "created": 0.0, "started": None, "ended": None,
    }  # fmt: skip
    return WorkerRow(**(row | columns))


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("claude", ["--add-dir=/in"]),
        ("gemini", ["--include-directories=/in"]),
        ("qwen", ["--include-directories=/in"]),
        ("copilot", ["--add-dir=/in"]),
        ("codex", []),
    ],
)
def test_agent_is_told_where_the_results_are_and_may_read_them(
    agent: str, words: list[str], tmp_path: Path
) -> None:
    program = tmp_path / agent
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    row = _row(type=agent, task="Put it together.", after=("one", "two"))
    found = order_of(
        row, Config(), load_profiles(None), path=str(tmp_path), file="/f", folder="/in", inputs={"one.md": ""}
    )
    task = found.argv[-1]
    assert task.startswith("Put it together.\n\nThe results of the workers before you (one, two) are in /in:")
    assert [word for word in found.argv if word.endswith("=/in")] == words
    alone = order_of(
        _row(type=agent, task="x y"), Config(), load_profiles(None), path=str(tmp_path), file="/f"
    )
    assert not [word for word in alone.argv if "/in" in word or "{" in word]


def test_failure_skips_what_waits_and_trying_again_brings_it_back(lab: Lab) -> None:
    lab.start()
    lab.delegate(
        step("first", gated(lab)),
        step("second", 'cat "$AIORCH_INPUTS"/first.md', "first"),
        step("third", "true", "second"),
        step("other", "true"),
    )
    lab.wait_state(first="failed", second="skipped", third="skipped", other="done")
    assert [lab.workers()[name].reason for name in ("second", "third")] == [
        "first failed",
        "second was skipped",
    ]
    lab.wait_told("SKIPPED", "second: first failed")
    shown = lab.aiorch("ps").stdout
    assert "skipped" in shown and "first failed" in shown
    assert "2 ↷" in lab.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS").replace(
        "#[fg=colour245]", ""
    )
    refused = lab.aiorch("retry", "second", check=False)
    assert refused.returncode == 1 and "was skipped (first failed)" in refused.stderr
    (lab.root / "mended").touch()
    lab.aiorch("retry", "first")
    lab.wait_state(first="done", second="done", third="done")
    assert lab.workers()["second"].result == "all right"
    assert lab.workers()["second"].attempt == 1
    journal = lab.journal()
    check_lives(journal)
    assert {str(row.state) for row in journal.directives()} == {"done"}
    journal.close()


def test_worker_that_is_to_run_anyway_is_told_of_the_failure(lab: Lab) -> None:
    lab.start()
    look = 'cat "$AIORCH_INPUTS"/first.json > seen.json'
    lab.delegate(
        step("first", "echo broken; exit 3"),
        step("second", look, "first", on_failure="run"),
        step("third", "true", "first"),
    )
    lab.wait_state(first="failed", second="done", third="skipped")
    record = json.loads((lab.project / "seen.json").read_text())
    assert (record["state"], record["status"], record["reason"]) == ("failed", 3, "exit 3")


def test_stop_for_the_whole_plan_starts_nothing_more_of_it(lab: Lab) -> None:
    lab.start("max_workers = 2\n" + STEP)
    gate = lab.root / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.02; done"
    plan = [
        step("works", f"{wait}; true"),
        step("breaks", "exit 1"),
        step("next", "true"),
        step("late", "true"),
    ]
    plan[2]["after"] = ["works"]
    plan[3]["after"] = ["breaks"]
    payload = {"task": "t", "on_failure": "stop", "workers": plan}
    lab.request({"verb": "run", "payload": payload})
    lab.wait_state(works="working", breaks="failed", next="skipped", late="skipped")
    gate.touch()
    # What has begun goes on.
    lab.wait_state(works="done")
    # Another directive has nothing to do with it.
    lab.delegate(("free", "true"))
    lab.wait_state(free="done")
    assert lab.workers()["next"].reason == "breaks failed, and the plan stops then"


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ([step("a", "true", "b"), step("b", "true", "a")], "circle: a -> b -> a"),
        ([step("first", "true"), step("second", "true", "frist")], "did you mean first?"),
        ([step("a", "true", on_failure="ignore")], '"workers[0].on_failure" must be one of skip, run, stop'),
    ],
)
def test_plan_that_makes_no_sense_is_refused_with_the_reason(
    lab: Lab, workers: list[dict[str, Any]], words: str
) -> None:
    lab.start()
    done = lab.aiorch("run", "x", "--workers", json.dumps(workers), check=False)
    assert done.returncode == 1 and words in done.stdout
    assert lab.workers() == {}


def test_stopped_worker_skips_what_waits_for_it(lab: Lab) -> None:
    lab.start()
    lab.delegate(step("first", "sleep 60"), step("second", "true", "first"))
    lab.wait_state(first="working")
    lab.aiorch("kill", "first")
    lab.wait_state(first="killed", second="skipped")
    assert lab.workers()["second"].reason == "first was stopped"
    until(lambda: all(row.ended for row in lab.workers().values()), "all have ended")
