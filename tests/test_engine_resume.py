"""An engine that was killed between two steps: what had begun is found again, what had not is begun once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time

from aiorch.journal import WorkerRow
from support.lab import STEP, Lab, alive, until


def _halt(lab: Lab) -> None:
    """Kill the engine and keep it from coming back by itself."""
    (lab.run / "restarts").write_text(f"{time.time() + 3600}\n" * 5)
    lab.kill_engine()
    until(
        lambda: "engine died" in lab.tmux("display-message", "-p", "-t", "m", "#{AIORCH_STATUS}"),
        "it stays down",
    )


def _edit(lab: Lab, statement: str) -> None:
    database = sqlite3.connect(lab.run / "journal.db")
    with database:
        database.execute(statement)
    database.close()


def test_worker_journaled_but_never_begun_starts_once(lab: Lab) -> None:
    lab.start()
    mark = lab.root / "ran"
    lab.delegate(("a", f"echo a >>{mark}; sleep 60"))
    lab.wait_state(a="working")
    _halt(lab)
    _edit(lab, "INSERT INTO workers (directive, name, type, task, state, created)"
               f" VALUES (1, 'b', 'step', 'echo b >>{mark}', 'starting', 0)")  # fmt: skip
    lab.aiorch("start", "--pane", "%0")
    lab.wait_state(a="working", b="done")
    assert sorted(mark.read_text().split()) == ["a", "b"]


def test_worker_begun_but_not_journaled_is_found_by_its_action(lab: Lab) -> None:
    lab.start()
    mark = lab.root / "ran"
    lab.delegate(("a", f"echo a >>{mark}; sleep 60"))
    lab.wait_state(a="working")
    until(mark.exists, "it runs")
    before = lab.workers()["a"]
    _halt(lab)
    # As if killed between the split and the note of it: no pane, no pid, no start record, no labels.
    _edit(lab, "UPDATE workers SET state = 'starting', pane = '', pid = 0")
    (lab.run / "workers" / before.action / "start").unlink()
    for name in ("@aiorch_action", "@aiorch_role", "@aiorch_name"):
        lab.tmux("set-option", "-pu", "-t", before.pane, name)
    lab.aiorch("start", "--pane", "%0")
    lab.wait_state(a="working")
    after = lab.workers()["a"]
    assert (after.pane, after.pid) == (before.pane, before.pid)
    assert mark.read_text() == "a\n"
    assert lab.tmux("display-message", "-p", "-t", before.pane, "#{@aiorch_name}") == "a"


def test_worker_that_ended_and_was_closed_meanwhile_is_known_by_its_record(lab: Lab) -> None:
    lab.start()
    gate = lab.root / "gate"
    lab.delegate(("a", f"while [ ! -e {gate} ]; do sleep 0.05; done; exit 7"))
    lab.wait_state(a="working")
    row = lab.workers()["a"]
    _halt(lab)
    gate.touch()
    record = lab.run / "workers" / row.action / "exit"
    until(lambda: record.read_text().strip(), "its record")
    lab.tmux("kill-pane", "-t", row.pane)
    lab.aiorch("start", "--pane", "%0")
    lab.wait_state(a="failed")
    assert lab.workers()["a"].status == 7


def test_long_output_passes_through_segments_whole_and_the_directive_behind_it_is_taken(lab: Lab) -> None:
    lab.start('default_type = "step"\n' + STEP)
    until(lambda: lab.tmux("capture-pane", "-p", "-t", "%0").rstrip().endswith("$"), "the shell's prompt")
    words = "of a long output that goes on and on and on"
    lab.type(f"i=0; while [ $i -lt 40000 ]; do echo line $i {words}; i=$((i+1)); done")
    lab.say({"task": "true"})
    lab.wait_told("ASKING")
    segments = sorted((lab.run / "log").iterdir())
    assert len(segments) >= 3
    assert all(path.stat().st_size == 1024 * 1024 for path in segments[:-1])
    text = b"".join(path.read_bytes() for path in segments)
    # With the line end: what the shell echoed of the command does not count.
    assert text.count(f" {words}\r\n".encode()) == 40000


def test_killed_in_the_middle_of_a_directive_takes_it_once_and_whole(lab: Lab) -> None:
    lab.start('default_type = "step"\n' + STEP)
    until(lambda: lab.tmux("capture-pane", "-p", "-t", "%0").rstrip().endswith("$"), "the shell's prompt")
    gate = lab.root / "gate"
    half = lab.root / "half.sh"
    half.write_text(
        f"""printf '[ORCHESTRATE] {{"task": "true", '; while [ ! -e {gate} ]; do sleep 0.05; done
printf '"id": 5}}\\n'
"""
    )
    lab.type(f"sh {half}")
    until(lambda: any(b'"true", ' in p.read_bytes() for p in (lab.run / "log").iterdir()), "the first half")
    killed = lab.kill_engine()
    gate.touch()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    lab.wait_told("ASKING")
    journal = lab.journal()
    assert [dict(row.payload) for row in journal.directives() if row.state == "asking"] == [
        {"task": "true", "id": 5}
    ]
    journal.close()


def _lose_worker(lab: Lab) -> WorkerRow:
    """Let a worker end while no engine runs, as by a reboot: its pid may be somebody else's then."""
    lab.start()
    lab.delegate(("a", "exec sleep 60"))
    lab.wait_state(a="working")
    row = lab.workers()["a"]
    _halt(lab)
    os.killpg(row.pid, signal.SIGKILL)
    until(lambda: not alive(row.pid), "the worker is gone")
    return row


def test_a_stranger_with_the_pid_of_a_worker_is_not_taken_for_it(lab: Lab) -> None:
    _lose_worker(lab)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        _edit(lab, f"UPDATE workers SET pid = {stranger.pid}")
        lab.aiorch("start", "--pane", "%0")
        lab.wait_state(a="failed")
        lab.aiorch("stop")
        assert stranger.poll() is None
        stranger.kill()


def test_a_stranger_with_a_pid_that_was_never_noted_is_none_either(lab: Lab) -> None:
    row = _lose_worker(lab)
    lab.tmux("kill-pane", "-t", row.pane)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        (lab.run / "workers" / row.action / "start").write_text(f"{stranger.pid}\n")
        _edit(lab, "UPDATE workers SET state = 'starting', pid = 0, ticks = 0, pane = ''")
        lab.aiorch("start", "--pane", "%0")
        until(lambda: lab.workers()["a"].state in ("failed", "killed"), "it is known to be gone")
        lab.aiorch("stop")
        assert stranger.poll() is None
        stranger.kill()
