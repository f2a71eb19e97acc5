"""The log of the primary ends or stalls: it is noticed and mended, and what was missed is found or told."""

from __future__ import annotations

import os
import signal
import time

import pytest

from aiorch.engine.pipe import KEPT_SEGMENTS, SEGMENT_BYTES, STALL_SECONDS
from aiorch.engine.primary import RECOGNISE_SECONDS
from conftest import LabMaker
from support.actor import CONFIG, Actor, directive, tasks
from support.lab import STEP, Lab, until

RUNS = f'default_type = "step"\n[trust.plain]\nroles = "run"\n{STEP}'


def writer(lab: Lab) -> int:
    return int((lab.run / "pipe.pid").read_text())


def segment(lab: Lab) -> str:
    return lab.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS")


def gaps(lab: Lab) -> list[str]:
    words = "the log of the primary was interrupted ("
    return [event.text.removeprefix(words) for event in lab.events() if event.text.startswith(words)]


def wait_steady(lab: Lab) -> None:
    began = (lab.run / "pipe.pid").stat().st_mtime
    until(lambda: time.time() - began > STALL_SECONDS, "the writer has lived long enough")


def wait_shown(lab: Lab, text: str) -> None:
    until(lambda: text in lab.tmux("capture-pane", "-p", "-S", "-", "-t", "%0"), f"the pane shows {text}")


def test_a_writer_that_takes_nothing_is_noticed_within_two_seconds_of_output(lab: Lab) -> None:
    lab.start(RUNS)
    os.kill(writer(lab), signal.SIGSTOP)
    lab.say({"task": "echo one >>ran"})
    wait_shown(lab, "[ORCHESTRATE]")
    began = time.time()
    until(lambda: gaps(lab), "it is told")
    assert time.time() - began < 2
    until(lambda: tasks(lab) == ["echo one >>ran"], "it was read from the pane")
    assert gaps(lab) == [
        "its writer does not take what the pane prints): what was printed meanwhile was read from the pane"
    ]
    lab.say({"task": "echo two >>ran"})
    until(lambda: tasks(lab) == ["echo one >>ran", "echo two >>ran"], "the new pipe carries")


def test_a_silent_pane_and_its_own_input_raise_no_alarm(lab: Lab) -> None:
    lab.start(RUNS)
    for number in range(4):
        lab.say({"task": f"echo {number} >>ran"})
        until(lambda number=number: len(tasks(lab)) == number + 1, "it is taken")  # type: ignore[misc]
    lab.type("cat")
    lab.type("what is typed comes back from the terminal")
    began = time.time()
    until(lambda: time.time() - began > 2 * STALL_SECONDS, "a stall would have been noticed")
    assert gaps(lab) == []
    assert len(tasks(lab)) == 4


def test_what_scrolled_off_while_the_writer_was_dead_is_found(lab: Lab) -> None:
    lab.start(RUNS)
    lab.type("seq 100 110")
    wait_shown(lab, "\n110")
    wait_steady(lab)
    (engine,) = lab.engine_pids()
    os.kill(engine, signal.SIGSTOP)
    os.kill(writer(lab), signal.SIGKILL)
    for number in range(3):
        lab.say({"task": f"echo {number} >>ran"})
        # What is typed ahead would be echoed in the midst of it.
        wait_shown(lab, f'\n[ORCHESTRATE] {{"task": "echo {number}')
        lab.type(f"seq 1 400; echo end-{number}")
        wait_shown(lab, f"\nend-{number}")
    os.kill(engine, signal.SIGCONT)
    until(lambda: tasks(lab) == [f"echo {number} >>ran" for number in range(3)], "all were found")
    assert gaps(lab) == ["its writer ended): what was printed meanwhile was read from the pane"]


def test_what_is_not_to_be_seen_any_more_is_told(lab: Lab) -> None:
    lab.start(RUNS)
    wait_steady(lab)
    (engine,) = lab.engine_pids()
    os.kill(engine, signal.SIGSTOP)
    os.kill(writer(lab), signal.SIGKILL)
    lab.say({"task": "echo lost >>ran"})
    lab.type("seq 1 3000")
    wait_shown(lab, "\n3000")
    lab.say({"task": "echo unsure >>ran"})
    wait_shown(lab, "unsure")
    os.kill(engine, signal.SIGCONT)
    until(lambda: gaps(lab), "it is told")
    missing = "a directive that was printed meanwhile and is not to be seen any more is missing"
    assert gaps(lab) == [f"its writer ended): {missing}"]
    # Nobody knows when it was printed: it asks.
    lab.wait_told("ASKING", "start 1 worker?")


def test_a_pipe_that_ended_while_no_engine_ran_is_bridged(lab: Lab) -> None:
    lab.start(RUNS)
    lab.say({"task": "echo one >>ran"})
    until(lambda: len(tasks(lab)) == 1, "the first is taken")
    (lab.run / "restarts").write_text(f"{2**40}\n" * 5)
    lab.kill_engine()
    os.kill(writer(lab), signal.SIGKILL)
    lab.say({"task": "echo two >>ran"})
    wait_shown(lab, "echo two")
    lab.aiorch("start", "--pane", "%0")
    until(lambda: tasks(lab) == ["echo one >>ran", "echo two >>ran"], "the second is found, the first known")
    assert len(gaps(lab)) == 1


def test_a_pipe_that_somebody_else_takes_is_left_to_them_until_they_are_done(lab: Lab) -> None:
    lab.start(RUNS)
    other = lab.root / "other.log"
    wait_steady(lab)
    lab.tmux("pipe-pane", "-t", "%0", f"cat >>{other}")
    lab.wait_told("ERROR", "is piped by something else (tmux-logging?) already")
    until(lambda: "⚠ log" in segment(lab), "the segment shows it")
    lab.say({"task": "echo theirs >>ran"})
    until(lambda: "theirs" in other.read_text(), "their log goes on")
    lab.tmux("pipe-pane", "-t", "%0")
    until(lambda: tasks(lab) == ["echo theirs >>ran"], "it is read when they are done")
    until(lambda: "⚠" not in segment(lab), "the segment is as before")
    assert len([event for event in lab.events() if event.tag == "ERROR"]) == 2


def test_an_agent_that_draws_is_read_from_its_screen(agent_lab: Lab) -> None:
    lab = agent_lab
    actor = Actor(lab)
    lab.start(CONFIG)
    # So much that it cannot be taken for anything else.
    first = "\n".join(
        ["First:", *(f"step {number} of the plan" for number in range(9)), "", directive("echo one")]
    )
    actor.draw(first)
    until(lambda: tasks(lab) == ["echo one"], "the first")
    os.kill(writer(lab), signal.SIGSTOP)
    actor.draw(f"{first}\n\nThen:\n\n{directive('echo two')}")
    until(lambda: tasks(lab) == ["echo one", "echo two"], "the second, and the first not again")
    assert len(gaps(lab)) == 1


def test_an_agent_with_a_session_file_has_lost_nothing(agent_lab: Lab) -> None:
    lab = agent_lab
    actor = Actor(lab)
    lab.start(CONFIG)
    actor.both(directive("echo one"))
    until(lambda: tasks(lab) == ["echo one"], "the first")
    os.kill(writer(lab), signal.SIGSTOP)
    actor.both(directive("echo two"))
    until(lambda: gaps(lab), "the gap is told")
    assert gaps(lab)[0].endswith("the agent's session file has what was said meanwhile")
    actor.draw("Something else.")
    actor.write(directive("echo three"))
    until(lambda: tasks(lab) == ["echo one", "echo two", "echo three"], "all of them, once")


def test_a_pane_that_is_respawned_is_still_watched(make_lab: LabMaker) -> None:
    lab = make_lab()
    lab.start(RUNS)
    lab.tmux("respawn-pane", "-k", "-t", "%0", "--", "sh")
    lab.say({"task": "echo one >>ran"})
    until(lambda: tasks(lab) == ["echo one >>ran"], "it is read")
    began = time.time()
    until(lambda: time.time() - began > 1.5 * RECOGNISE_SECONDS, "the engine has looked who is there")
    os.kill(writer(lab), signal.SIGSTOP)
    lab.say({"task": "echo two >>ran"})
    # Little is left on the new screen of what was read: when it was printed is not sure.
    lab.wait_told("ASKING", "#2: start 1 worker?")


def test_an_engine_that_takes_over_in_the_midst_of_a_segment_deletes_old_ones(lab: Lab) -> None:
    lab.start(RUNS)
    logs = lab.run / "log"
    for letter in map(chr, range(ord("a"), ord("a") + KEPT_SEGMENTS + 4)):
        (logs / f"000000-.{letter}").touch()
    lab.kill_engine()
    lab.say({"task": "echo one >>ran"})
    until(lambda: tasks(lab) == ["echo one >>ran"], "it is read")
    until(lambda: len(list(logs.iterdir())) <= KEPT_SEGMENTS + 1, "those that were read are gone")


@pytest.mark.slow
def test_the_log_of_a_pane_that_prints_without_end_stays_small(lab: Lab) -> None:
    lab.start(RUNS)
    lab.type("head -c 60000000 /dev/zero | tr '\\0' x | fold -w 99; echo all-printed")
    logs = lab.run / "log"
    until(lambda: lab.tmux("capture-pane", "-p", "-t", "%0").rstrip().endswith("$"), "it is printed", 60)
    lab.say({"task": "echo behind >>ran"})
    until(lambda: tasks(lab) == ["echo behind >>ran"], "all of it is read", 60)
    held = sum(path.stat().st_size for path in logs.iterdir())
    assert held <= (KEPT_SEGMENTS + 2) * SEGMENT_BYTES
