"""Workers held, let go on, ended with all they began, folded away; and what limits the queue."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from aiorch import process
from support.lab import STEP, Lab, alive, until
from support.lives import check_lives

TICK = "while :; do echo x >>{file}; sleep 0.02; done"
# Leaves the worker's process group, its session and its process tree.
ESCAPED = "setsid -f sh -c 'trap \"\" TERM; echo $$ >{file}; while :; do sleep 0.1; done'"


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def grows(path: Path) -> bool:
    before, end = size(path), time.monotonic() + 0.5
    while time.monotonic() < end:
        if size(path) > before:
            return True
    return False


def state_shown(lab: Lab, name: str) -> str:
    return next(row[1] for row in lab.panes("@aiorch_name", "@aiorch_state") if row[0] == name)


def test_a_worker_is_held_where_it_is_and_goes_on(lab: Lab) -> None:
    lab.start("time_limit = 3600\n" + STEP)
    ticks = lab.root / "ticks"
    lab.delegate(("a", f"({TICK.format(file=ticks)}) & wait"))
    until(lambda: size(ticks), "it works")
    lab.aiorch("pause", "a")
    until(lambda: state_shown(lab, "a") == "paused", "its border says so")
    assert not grows(ticks)
    assert "paused" in lab.aiorch("status").stdout
    assert json.loads(lab.aiorch("status", "--json").stdout)["workers"][0]["paused"] is True
    assert "1 !" in lab.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS")
    assert "is held already" in lab.aiorch("pause", "a", check=False).stderr
    # An engine that takes over knows.
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    assert not grows(ticks)
    lab.aiorch("resume", "a")
    until(lambda: grows(ticks), "it goes on")
    until(lambda: state_shown(lab, "a") == "working", "its border says so")
    assert lab.workers()["a"].held > 0
    assert "not held" in lab.aiorch("resume", "a", check=False).stderr


def test_a_worker_held_in_the_queue_does_not_start(lab: Lab) -> None:
    lab.start("max_workers = 1\n" + STEP)
    lab.delegate(("a", "sleep 60"), ("b", "true"), ("c", "true"))
    lab.wait_state(a="working", b="queued", c="queued")
    lab.aiorch("pause", "b")
    lab.aiorch("kill", "a")
    lab.wait_state(a="killed", b="queued", c="done")
    lab.aiorch("resume", "b")
    lab.wait_state(b="done")
    assert "has ended already" in lab.aiorch("pause", "b", check=False).stderr


def test_a_held_worker_can_be_ended(lab: Lab) -> None:
    lab.start()
    lab.delegate(("a", "sleep 60"))
    lab.wait_state(a="working")
    lab.aiorch("pause", "a")
    lab.aiorch("kill", "a")
    lab.wait_state(a="killed")


def test_time_that_a_worker_is_held_does_not_count(lab: Lab) -> None:
    lab.start("time_limit = 2\n" + STEP)
    lab.delegate(("a", "sleep 60"))
    lab.wait_state(a="working")
    lab.aiorch("pause", "a")
    held = time.time()
    until(lambda: time.time() > held + 2.5, "its time would be over")
    assert lab.workers()["a"].state == "working"
    lab.aiorch("resume", "a")
    lab.wait_state(a="failed")
    row = lab.workers()["a"]
    assert row.ended is not None
    assert row.started is not None
    assert row.ended - row.started >= 2 + row.held


def test_nothing_of_a_killed_worker_is_left(lab: Lab) -> None:
    lab.start()
    pid = lab.root / "escaped"
    lab.delegate(("a", f"{ESCAPED.format(file=pid)}; sleep 60"))
    until(lambda: size(pid), "it has begun another")
    lab.aiorch("kill", "a")
    lab.wait_state(a="killed")
    until(lambda: not alive(int(pid.read_text())), "what it began is gone, too")


def test_stop_leaves_no_orphans(lab: Lab) -> None:
    lab.start()
    pids = [lab.root / f"escaped-{name}" for name in "ab"]
    lab.delegate(*[(pid.name, f"{ESCAPED.format(file=pid)}; sleep 60") for pid in pids])
    until(lambda: all(size(pid) for pid in pids), "they have begun others")
    workers = [row.pid for row in lab.workers().values()]
    lab.aiorch("stop")
    assert not any(alive(pid) for pid in [*workers, *(int(path.read_text()) for path in pids)])


def test_what_a_worker_leaves_behind_when_it_is_done_goes_on(lab: Lab) -> None:
    lab.start()
    pid = lab.root / "server"
    lab.delegate(("a", f"{ESCAPED.format(file=pid)}; until [ -s {pid} ]; do sleep 0.05; done"))
    lab.wait_state(a="done")
    server = int(pid.read_text())
    assert alive(server)
    os.kill(server, signal.SIGKILL)


def test_belongings_never_are_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIORCH_RESULT", "/of/this/test")
    assert os.getpid() not in process.belongings(os.getpid(), "AIORCH_RESULT=/of/this/test")
    assert process.belongings(0, "AIORCH_RESULT=/of/nobody") == []


def test_done_panes_fold_away_and_failed_ones_stay(lab: Lab) -> None:
    lab.start("fold_after = 1\n" + STEP)
    lab.delegate(("good", "true"), ("bad", "exit 3"), ("long", "sleep 60"))
    lab.wait_state(good="done", bad="failed", long="working")
    until(lambda: "good" not in [row[0] for row in lab.panes("@aiorch_name")], "it is folded away")
    ended = lab.workers()["good"].ended
    assert ended is not None
    assert time.time() - ended >= 1
    assert {"bad", "long"} <= {row[0] for row in lab.panes("@aiorch_name")}


def test_each_try_waits_twice_as_long(lab: Lab) -> None:
    lab.start("retries = 3\nretry_delay = 0.2\n" + STEP)
    lab.delegate(("a", "exit 7"))
    lab.wait_state(a="failed")
    waits = [event.text.rpartition(" in ")[2] for event in lab.events() if event.tag == "RETRYING"]
    assert waits == ["0.2 s", "0.4 s", "0.8 s"]
    journal = lab.journal()
    check_lives(journal)
    begun = [step.time for step in journal.transitions() if step.state == "starting"]
    journal.close()
    waited = [later - before for before, later in itertools.pairwise(begun)]
    assert all(time > 0.2 * 2**number for number, time in enumerate(waited)), waited


def test_a_run_has_so_many_workers_and_no_more(lab: Lab) -> None:
    lab.start("max_per_run = 3\n" + STEP)
    lab.delegate(("a", "true"), ("b", "true"))
    for _ in range(3):
        done = lab.aiorch("run", "x", "--workers", '[{"type": "step"}, {"type": "step"}]', check=False)
        assert (done.returncode, "max_per_run" in done.stdout) == (1, True)
    lab.delegate(("c", "true"))
    lab.wait_state(a="done", b="done", c="done")
    assert len([event for event in lab.events() if "max_per_run" in event.text]) == 1


def test_so_many_start_in_a_minute_and_the_user_sees_why(lab: Lab) -> None:
    lab.start("max_per_minute = 2\n" + STEP)
    lab.delegate(("a", "true"), ("b", "true"), ("c", "true"))
    lab.wait_state(a="done", b="done", c="queued")
    lab.wait_told("QUEUED", "1 waiting for a free place (at most 2 start in a minute)")
    assert lab.workers()["c"].state == "queued"


def test_too_little_memory_holds_the_queue(lab: Lab) -> None:
    lab.start("min_free_memory = 1000000\n" + STEP)
    lab.delegate(("a", "true"))
    lab.wait_told("QUEUED", "of memory are free, less than min_free_memory")
    assert lab.workers()["a"].state == "queued"


def test_workers_delegate_as_deep_as_they_may(lab: Lab) -> None:
    lab.start(f'max_depth = 2\ndefault_type = "step"\n{STEP}')
    call = f"{sys.executable} -E -s {lab.plugin}/python --socket {lab.socket} --session m run x"
    spawn = lab.put_program("deeper", f'#!/bin/sh\n{call} --workers "$(cat "$1")" --json || :\n')
    plans = {"b": f"{spawn} {lab.root}/plan-c >>{lab.root}/inner", "c": "true"}
    for name, task in plans.items():
        plan = [{"name": name, "type": "step", "task": task}]
        (lab.root / f"plan-{name}").write_text(json.dumps(plan))
    lab.delegate(("a", f"{spawn} {lab.root}/plan-b >>{lab.root}/outer"))
    lab.wait_state(a="done", b="done")
    assert json.loads((lab.root / "outer").read_text())["state"] == "queued"
    refused = json.loads((lab.root / "inner").read_text())
    assert (refused["state"], "(max_depth in config.toml)" in refused["text"]) == ("refused", True)
    assert {name: row.depth for name, row in lab.workers().items()} == {"a": 1, "b": 2}
