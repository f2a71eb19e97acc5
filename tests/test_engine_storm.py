"""Ten thousand directives at once: one message, and nothing else has to wait for them."""

from __future__ import annotations

import json
import os
import time

import pytest

from support.lab import STEP, Lab, until

STORM = 10_000
LIMIT = 40


@pytest.mark.slow
def test_a_storm_is_refused_with_one_message_and_starves_nobody(lab: Lab) -> None:
    lab.start(f"max_per_run = {LIMIT}\nmax_per_minute = 0\n{STEP}")
    gate = lab.root / "gate"
    lab.delegate(("early", f"while [ ! -e {gate} ]; do sleep 0.02; done; exit 3"))
    lab.wait_state(early="working")
    inbox, storm = lab.run / "inbox", lab.root / "storm"
    storm.mkdir()
    for number in range(STORM):
        worker = {"type": "step", "task": f"echo {number} >>ran"}
        body = {"verb": "run", "payload": {"task": "x", "workers": [worker]}, "source": "cli"}
        (storm / f"{number:05d}.json").write_text(json.dumps(body))
    # All at once: the engine must not be through with the first ones before the last is there.
    for path in storm.iterdir():
        path.rename(inbox / path.name)
    gate.touch()
    began = time.time()
    lab.wait_state(early="failed")
    until(lambda: lab.workers()["early"].ended, "its end is known")
    lab.request({"verb": "tidy"}, "key-1")
    until(lambda: not (inbox / "key-1.json").exists(), "a key is served")
    assert time.time() - began < 5
    assert len(list(inbox.iterdir())) > STORM / 2, "the storm is not over yet"
    until(lambda: not list(inbox.glob("*.json")), "the storm is over", seconds=120)
    until(lambda: len(_ran(lab)) == LIMIT - 1, "what was accepted runs")
    assert len(set(_ran(lab))) == LIMIT - 1
    assert len([event for event in lab.events() if "max_per_run" in event.text]) == 1
    journal = lab.journal()
    assert len(journal.directives()) == STORM + 1
    journal.close()


def _ran(lab: Lab) -> list[str]:
    path = lab.project / "ran"
    return path.read_text().split() if path.exists() else []


def test_answers_that_nobody_fetches_do_not_pile_up(lab: Lab) -> None:
    lab.start()
    answers = lab.run / "answers"
    old, new = answers / "1-old.json", answers / "2-new.json"
    for path in (old, new):
        path.write_text("{}")
    os.utime(old, (1, 1))
    lab.request({"verb": "layout"}, "key-7")
    until(lambda: not (lab.run / "inbox" / "key-7.json").exists(), "it is carried out")
    assert not (answers / "key-7.json").exists()
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    until(lambda: not old.exists(), "the old one is gone")
    assert new.exists()
