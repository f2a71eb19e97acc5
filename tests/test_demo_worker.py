"""The scripted worker: exit status, result file, and what it shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.demo.worker import Job, job_for
from support.client import Client

WORKER = Path(__file__).resolve().parents[1] / "python/aiorch/demo/worker.py"
ARGV = [sys.executable, "-E", "-s", "-B", str(WORKER)]
API = "Design and implement REST API routes for: Build a REST API"
AUTH = "Build complete authentication system for: Build a REST API"
TESTS = "Write comprehensive tests for: Build a REST API"


def seconds(job: Job) -> float:
    return sum(step.seconds for step in job.steps)


def run(task: str, **env: str) -> subprocess.CompletedProcess[str]:
    full = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "AIORCH_DEMO_SPEED": "50", **env}
    return subprocess.run([*ARGV, task], env=full, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("task", "word"), [(API, "routes"), (AUTH, "login"), ("tidy up", "steps")])
def test_good_worker_exits_0_and_writes_one_line(task: str, word: str, tmp_path: Path) -> None:
    result = tmp_path / "result"
    done = run(task, AIORCH_RESULT=str(result))
    assert done.returncode == 0
    assert done.stdout.startswith(task + "\n")
    assert result.read_text().count("\n") == 1
    assert word in result.read_text()
    assert "\x1b" not in done.stdout


def test_tests_fail_on_the_first_attempt_and_pass_on_the_second(tmp_path: Path) -> None:
    result = tmp_path / "result"
    first = run(TESTS, AIORCH_RESULT=str(result), AIORCH_ATTEMPT="1")
    assert first.returncode == 1
    assert "expired token" in first.stdout
    assert not result.exists()
    second = run(TESTS, AIORCH_RESULT=str(result), AIORCH_ATTEMPT="2")
    assert second.returncode == 0
    assert "attempt 2" in second.stdout
    assert "38 tests pass" in result.read_text()


def test_attempt_is_1_when_unknown() -> None:
    assert run(TESTS).returncode == run(TESTS, AIORCH_ATTEMPT="x").returncode == 1


def test_no_task_is_an_error() -> None:
    assert run("").returncode == 2


@given(st.text(max_size=80))
def test_every_task_takes_some_seconds_and_always_the_same(task: str) -> None:
    job = job_for(task, 1)
    assert job == job_for(task, 1)
    assert 2 <= seconds(job) <= 7
    assert 4 <= seconds(job_for(task, 2)) <= 7
    assert "\n" not in job.result


def test_lines_fit_a_narrow_pane_and_the_spinner_leaves_nothing_behind() -> None:
    with Client("", command=[*ARGV, API], size=(26, 20), env={"AIORCH_DEMO_SPEED": "4"}) as client:
        client.wait_for("⠋ reading docs/brief.md")
        assert client.wait_exit() == 0
        screen = client.screen()
    assert "✔ api/routes/users.py +84" in screen
    assert "reading" not in screen
    assert "✔ 12 routes in api/routes," in screen or "✔ 12 routes in" in screen
    assert "openapi.json" in screen


@pytest.mark.parametrize(("keys", "status"), [("\x03", 130)])
def test_ctrl_c_ends_it_without_a_traceback(keys: str, status: int) -> None:
    with Client("", command=[*ARGV, API], size=(80, 20)) as client:
        client.wait_for("reading")
        client.send(keys)
        assert client.wait_exit() == status
        assert "Traceback" not in client.screen()
