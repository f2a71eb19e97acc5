"""What changes under a running engine: the user's settings, and the plugin itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

from aiorch.engine.update import QUIET_SECONDS
from support.lab import STEP, Lab, until


def segment(lab: Lab) -> str:
    return lab.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS")


def test_settings_are_read_again_when_they_change(lab: Lab) -> None:
    lab.start("max_workers = 1\n" + STEP)
    lab.delegate(("a", "sleep 60"), ("b", "sleep 60"))
    lab.wait_state(a="working", b="queued")
    lab.configure("max_workers = 2\n" + STEP)
    lab.wait_state(b="working")
    lab.wait_told("LISTENING", "the settings were read again: max_workers 1 → 2")
    lab.configure('[types.other]\ncommand = ["sh", "-c", "{task}"]\n' + STEP)
    lab.wait_told("LISTENING", "max_workers 2 → 4")
    lab.delegate({"name": "c", "type": "other", "task": "true"})
    lab.wait_state(c="done")


def test_a_mistake_in_the_settings_is_told_and_what_was_good_stays(lab: Lab) -> None:
    lab.start("max_workers = 3\n" + STEP)
    lab.configure("max_workers = many\n" + STEP)
    lab.wait_told("ERROR", ": the settings from before stay")
    until(lambda: "⚠ config" in segment(lab), "the segment shows it")
    # Also for an engine that begins meanwhile.
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    lab.delegate(("a", "true"))
    lab.wait_state(a="done")
    lab.configure("max_workers = 3\n" + STEP)
    lab.wait_told("LISTENING", "the settings are as before")
    until(lambda: "⚠" not in segment(lab), "the segment is as before")
    assert sum("the settings from before stay" in event.text for event in lab.events()) == 2


def test_tmux_options_count_from_the_next_request_on(lab: Lab) -> None:
    lab.start("max_workers = 1\n" + STEP)
    lab.delegate(("a", "sleep 60"), ("b", "sleep 60"))
    lab.wait_state(a="working", b="queued")
    lab.tmux("set-option", "-g", "@aiorch-max-workers", "3")
    lab.tmux("set-option", "-g", "@aiorch-status-style", "ascii")
    lab.delegate(("c", "true"))
    lab.wait_state(b="working", c="done")
    until(lambda: "2 run" in segment(lab), "the segment is in words")


def _age(lab: Lab) -> None:
    """Let the copy of the plugin be as old as one that was not just made."""
    then = time.time() - 60
    for path in (lab.plugin / "python").rglob("*"):
        os.utime(path, (then, then))


def _update(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)
    until(lambda: time.time() - path.stat().st_mtime > QUIET_SECONDS, "the update is over")


def test_an_updated_plugin_takes_over_with_the_old_journal(lab: Lab) -> None:
    lab.use_plugin("")
    _age(lab)
    lab.start()
    lab.delegate(("a", "sleep 60"))
    lab.wait_state(a="working")
    (old,) = lab.engine_pids()
    _update(lab.plugin / "python/aiorch/engine/crew.py", "\nimport os\nos.environ['NEW'] = 'yes'\n")
    lab.delegate(("b", "true"))
    lab.wait_told("LISTENING", "the plugin was updated: another engine takes over")
    lab.wait_state(a="working", b="done")
    (new,) = lab.engine_pids()
    assert new != old
    assert lab.workers()["a"].attempt == 1
    lab.delegate(("c", "true"))
    lab.wait_state(c="done")
    assert lab.engine_pids() == [new]


def test_an_update_that_does_not_load_is_told_and_the_old_one_goes_on(lab: Lab) -> None:
    lab.use_plugin("")
    _age(lab)
    lab.start()
    engine = lab.engine_pids()
    _update(lab.plugin / "python/aiorch/engine/crew.py", "\nthis is no Python\n")
    until(lambda: _is_refused(lab), "it is told")
    worker = {"name": "a", "type": "step", "task": "true"}
    lab.request({"verb": "run", "payload": {"task": "x", "workers": [worker]}, "source": "key"})
    lab.wait_state(a="done")
    assert lab.engine_pids() == engine
    assert len([event for event in lab.events() if event.tag == "ERROR"]) == 1


def _is_refused(lab: Lab) -> bool:
    lab.request({"verb": "layout"})
    words = "the plugin was updated, this engine goes on: its code does not load (SyntaxError"
    return lab.told("ERROR", words)
