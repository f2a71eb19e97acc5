"""A check decides whether a worker is done: seen, limited, found again, never run twice at once."""

from __future__ import annotations

import json
import os
import signal

from aiorch.journal import Transition, WorkerRow
from support.crashes import CONFIG, Crashes, Rounds
from support.lab import Lab, alive, until
from support.lives import check_lives

SOME = 8


def checked(*argv: str, name: str = "step") -> str:
    """Return the configuration of a type whose task is a shell's text, with a check."""
    return f'[types.{name}]\ncommand = ["sh", "-c", "{{task}}"]\ncheck = {json.dumps(list(argv))}\n'


def gated(lab: Lab, words: str = "true") -> str:
    """Return a check's shell text that goes on when the gate is there."""
    return f"echo begun >>ledger; while [ ! -e {lab.root}/gate ]; do sleep 0.02; done; {words}"


def wait_checking(lab: Lab, name: str = "a") -> WorkerRow:
    """Wait until the check of a worker runs, and return the worker."""
    until(
        lambda: name in lab.workers() and lab.workers()[name].checking and lab.workers()[name].pid,
        "its check",
    )
    return lab.workers()[name]


def test_check_that_passes_makes_a_worker_done_and_is_seen_while_it_runs(lab: Lab) -> None:
    lab.start("max_workers = 1\n" + checked("sh", "-c", gated(lab, "echo fine")))
    lab.delegate(("a", 'echo said > "$AIORCH_RESULT"'), ("b", "true"))
    row = wait_checking(lab)
    assert (row.state, row.status, row.result) == ("working", 0, "said")
    assert "checking" in lab.aiorch("ps").stdout
    shown = {one["name"]: one for one in json.loads(lab.aiorch("ps", "--json").stdout)["workers"]}
    assert (shown["a"]["state"], shown["a"]["reason"]) == ("working", "checking")
    until(lambda: ["a", "checking"] in lab.panes("@aiorch_name", "@aiorch_state"), "the border says so")
    # It counts as at work.
    assert lab.workers()["b"].state == "queued"
    lab.wait_told("CHECKING", "a: sh -c")
    # The engine does other things meanwhile.
    lab.aiorch("tidy")
    (lab.root / "gate").touch()
    lab.wait_state(a="done", b="done")
    assert "its check passed" in [step.evidence for step in _steps(lab)]
    record = json.loads(lab.aiorch("show", "a", "--json").stdout)
    assert (record["result"], record["check"]["last_lines"]) == ("said", ["fine"])


def _steps(lab: Lab) -> list[Transition]:
    journal = lab.journal()
    check_lives(journal)
    steps = list(journal.transitions())
    journal.close()
    return steps


def test_check_that_fails_makes_a_worker_failed_with_its_last_lines(lab: Lab) -> None:
    lab.start(checked("sh", "-c", "echo 7 tests; echo; echo '2 failed' >&2; exit 4"))
    lab.delegate(("a", "echo I am done"), {"name": "b", "type": "step", "task": "true", "after": ["a"]})
    lab.wait_state(a="failed", b="skipped")
    row = lab.workers()["a"]
    assert (row.reason, row.status, row.result) == ("check: exit 4: 2 failed", 0, "I am done")
    lab.wait_told("FAILED", "a: check: exit 4: 2 failed")
    text = lab.aiorch("show", "a").stdout
    assert "failed, check: exit 4: 2 failed" in text and "    7 tests\n    2 failed\n" in text
    log = lab.run / "workers" / row.action / "check.log"
    assert log.read_text() == "7 tests\n\n2 failed\n"
    assert not [path for path in log.parent.iterdir() if path.stat().st_mode & 0o077]


def test_check_is_not_run_after_another_exit_code_and_counts_for_retries(lab: Lab) -> None:
    once = f"[ -e {lab.root}/once ] && exit 0; touch {lab.root}/once; exit 1"
    lab.start("retries = 1\nretry_delay = 0.05\n" + checked("sh", "-c", once))
    lab.delegate(("a", "true"))
    lab.wait_state(a="done")
    assert lab.workers()["a"].attempt == 2
    lab.delegate(("b", "exit 3"))
    lab.wait_state(b="failed")
    assert lab.workers()["b"].reason == "exit 3"
    assert len([event for event in lab.events() if event.tag == "CHECKING"]) == 2


def test_check_runs_where_the_worker_ran_with_what_it_had(lab: Lab) -> None:
    lab.start(
        checked("sh", "-c", 'pwd; echo "$AIORCH_WORKER"; cat "$AIORCH_RESULT" "$AIORCH_INPUTS"/a.md; cat')
    )
    lab.delegate(
        {"name": "a", "type": "shell", "task": 'printf one > "$AIORCH_RESULT"'},
        {"name": "b", "type": "step", "task": 'echo two > "$AIORCH_RESULT"', "after": ["a"]},
    )
    lab.wait_state(b="done")
    record = json.loads(lab.aiorch("show", "b", "--json").stdout)
    assert record["check"]["last_lines"] == [str(lab.project), "b", "two", "one"]


def test_check_that_cannot_be_started_and_one_that_is_not_there_fail(lab: Lab) -> None:
    lab.start(checked("no-such-program-anywhere"))
    lab.delegate(("a", "true"))
    lab.wait_state(a="failed")
    assert lab.workers()["a"].reason.startswith("check: exit 127: ")
    lab.delegate(("b", f"mkdir {lab.root}/x; mv {lab.project} {lab.root}/x/gone"))
    lab.wait_state(b="failed")
    assert "check: it cannot be started" in lab.workers()["b"].reason
    (lab.root / "x/gone").rename(lab.project)


def test_check_over_its_time_limit_is_ended(lab: Lab) -> None:
    lab.start("check_time_limit = 0.3\nretries = 3\n" + checked("sh", "-c", "echo $$ >pid; sleep 60"))
    lab.delegate(("a", "true"))
    lab.wait_state(a="failed")
    assert lab.workers()["a"].reason == "check: over its time limit of 0.3 s"
    pid = int((lab.project / "pid").read_text())
    until(lambda: not alive(pid), "the check is gone")


def test_user_ends_and_holds_a_check_like_its_worker(lab: Lab) -> None:
    lab.start(checked("sh", "-c", gated(lab)))
    lab.delegate(("a", "true"), ("b", "true"))
    pid = wait_checking(lab, "a").pid
    lab.aiorch("kill", "a")
    lab.wait_state(a="killed")
    assert not alive(pid)
    wait_checking(lab, "b")
    lab.aiorch("pause", "b")
    (lab.root / "gate").touch()
    assert lab.workers()["b"].paused
    lab.aiorch("resume", "b")
    lab.wait_state(b="done")


def test_check_outlives_its_engine_and_runs_once(lab: Lab) -> None:
    lab.start(checked("sh", "-c", gated(lab, "echo over >>ledger")))
    lab.delegate(("a", "true"))
    pid = wait_checking(lab).pid
    until((lab.project / "ledger").exists, "it has begun")
    engine = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [engine]), "another engine")
    assert alive(pid)
    (lab.root / "gate").touch()
    lab.wait_state(a="done")
    assert (lab.project / "ledger").read_text() == "begun\nover\n"


def test_check_that_ends_while_no_engine_runs_counts(lab: Lab) -> None:
    lab.start(checked("sh", "-c", gated(lab, "exit 5")))
    lab.delegate(("a", "true"))
    pid = wait_checking(lab).pid
    (engine,) = lab.engine_pids()
    os.kill(engine, signal.SIGSTOP)
    (lab.root / "gate").touch()
    until(lambda: not alive(pid), "the check is over")
    os.kill(engine, signal.SIGKILL)
    lab.wait_state(a="failed")
    assert lab.workers()["a"].reason == "check: exit 5"
    assert (lab.project / "ledger").read_text() == "begun\n"


def test_check_that_is_killed_itself_is_no_success(lab: Lab) -> None:
    lab.start(checked("sh", "-c", f"echo $$ >pid; {gated(lab)}"))
    lab.delegate(("a", "true"))
    pid = wait_checking(lab).pid
    until((lab.project / "ledger").exists, "it has begun")
    os.kill(pid, signal.SIGKILL)
    lab.wait_state(a="failed")
    # What it ran does not go on by itself.
    left = int((lab.project / "pid").read_text())
    until(lambda: not alive(left), "the rest of it is gone")
    assert lab.workers()["a"].reason.startswith("check: ended without a record")


def test_stop_of_the_run_ends_its_checks(lab: Lab) -> None:
    lab.start(checked("sh", "-c", gated(lab)))
    lab.delegate(("a", "true"))
    pid = wait_checking(lab).pid
    lab.aiorch("stop")
    assert not alive(pid)
    assert lab.workers()["a"].state == "killed"


def test_an_engine_killed_at_some_effects_checks_each_worker_once(lab: Lab) -> None:
    crashes = Crashes(lab)
    lab.start(CONFIG + checked("sh", "-c", 'echo "$AIORCH_WORKER-checked" >>ledger', name="checked"))
    tokens: list[str] = []
    rounds = Rounds(crashes, SOME)
    for number in rounds:
        name = f"w{number}"
        rounds.arm()
        lab.delegate({"name": name, "type": "checked", "task": crashes.note(name)})
        tokens += [name, f"{name}-checked"]
        crashes.wait_right(*tokens)
        rounds.disarm()


def cut_off(lab: Lab, *also: int) -> None:
    """Let the tmux server die, and processes with it; the run goes on in another one."""
    server = int(lab.tmux("display-message", "-p", "#{pid}"))
    engines = lab.engine_pids()
    # The engine sees nothing of it: in a power cut all go at once.
    for pid in engines:
        os.kill(pid, signal.SIGSTOP)
    for pid in (server, *also, *engines):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in (server, *engines, *also)), "all of them are gone")
    lab.__enter__()


def test_check_outlives_tmux_and_counts_when_the_run_goes_on(lab: Lab) -> None:
    lab.start(checked("sh", "-c", gated(lab, "exit 6")))
    lab.delegate(("a", "true"))
    pid = wait_checking(lab).pid
    until((lab.project / "ledger").exists, "it has begun")
    cut_off(lab)
    lab.aiorch("resume")
    assert alive(pid) and lab.workers()["a"].state == "working"
    (lab.root / "gate").touch()
    lab.wait_state(a="failed")
    assert lab.workers()["a"].reason == "check: exit 6"
    assert (lab.project / "ledger").read_text() == "begun\n"


def test_check_that_was_cut_off_too_runs_again_and_its_worker_does_not(lab: Lab) -> None:
    lab.start(checked("sh", "-c", f"echo $$ >>pids; {gated(lab)}"))
    lab.delegate(("a", "echo worked >>ledger"))
    pid = wait_checking(lab).pid
    until(lambda: "begun" in (lab.project / "ledger").read_text(), "it has begun")
    cut_off(lab, pid)
    lab.aiorch("resume")
    pids = lab.project / "pids"
    until(lambda: len(pids.read_text().split()) == 2, "it has begun again")
    assert [alive(int(one)) for one in pids.read_text().split()] == [False, True]
    (lab.root / "gate").touch()
    lab.wait_state(a="done")
    assert (lab.project / "ledger").read_text() == "worked\nbegun\nbegun\n"
