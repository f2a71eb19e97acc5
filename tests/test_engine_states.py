"""Workers' states by what their agents show: waiting for a person, at work, through with a turn."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aiorch import process
from aiorch.config import Config
from aiorch.engine import lookout
from aiorch.engine.states import States, _Watched
from aiorch.errors import JournalDamagedError
from aiorch.journal import Journal, WorkerState
from aiorch.plan.schema import WorkerSpec
from aiorch.workers.state import AgentState, Glance, Verdict
from aiorch.workers.state_rules import StateRules
from support.lab import STEP, Lab, until
from support.lives import check_lives
from support.puppet import CONFIG, Puppet, install


@pytest.fixture
def puppet(lab: Lab) -> Puppet:
    install(lab)
    lab.start(CONFIG)
    puppet = Puppet(lab)
    puppet.begin()
    return puppet


def segment(lab: Lab) -> str:
    return lab.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS")


def lives_are_right(lab: Lab) -> None:
    journal = lab.journal()
    check_lives(journal)
    journal.close()


def test_a_worker_that_waits_is_shown_at_once_and_goes_on_when_it_was_answered(puppet: Puppet) -> None:
    lab = puppet.lab
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    puppet.title("waiting permission: touch x")
    puppet.wait("waiting", "permission: touch x")
    until(lambda: "1 !" in segment(lab), "the segment shows it")
    lab.wait_told("WAITING", "a: permission: touch x")
    assert [row[0] for row in lab.panes("@aiorch_state")].count("waiting") == 1
    puppet.title("waiting permission: rm y")
    puppet.wait("waiting", "permission: rm y")
    puppet.title("working")
    puppet.wait("working", "")
    until(lambda: "!" not in segment(lab), "the segment shows it")
    lives_are_right(lab)


def test_a_dialog_that_counts_down_is_told_once(puppet: Puppet) -> None:
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    for what in (
        "question: 14:59 left",
        "question: 14:58 left",
        "rate limit until 9s",
        "rate limit until 8s",
    ):
        puppet.title(f"waiting {what}")
        puppet.wait("waiting", what)
    told = [event.text for event in puppet.lab.events() if event.tag == "WAITING"]
    assert told == ["a: question: 14:59 left", "a: rate limit until 9s"]


def test_the_end_of_a_turn_is_the_end_of_the_work_and_the_agent_stays(puppet: Puppet) -> None:
    lab = puppet.lab
    puppet.title("idle")
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    puppet.draw(r"\nall is done\n")
    puppet.title("idle")
    puppet.wait("done")
    assert puppet.row.result == "all is done"
    assert puppet.row.pane in [row[0] for row in lab.panes("pane_id")]
    until(lambda: "1 ✔" in segment(lab), "the segment shows it")
    # The user says more to it.
    puppet.title("working")
    puppet.wait("working")
    puppet.title("idle")
    puppet.wait("done")
    puppet.title("waiting question")
    puppet.wait("waiting", "question")
    puppet.draw("exit 3")
    puppet.wait("failed")
    lives_are_right(lab)


def test_an_agent_that_has_not_begun_yet_is_not_done(puppet: Puppet) -> None:
    other = Puppet(puppet.lab, "b")
    other.begin()
    puppet.title("idle")
    until(lambda: '"idle"' in puppet.row.shows, "it is seen")
    other.title("working")
    until(lambda: other.row.worked, "it is seen at work")
    other.title("idle")
    other.wait("done")
    assert puppet.row.state == "working"


def test_an_agent_that_shows_an_error_waits_for_a_person(puppet: Puppet) -> None:
    puppet.title("working")
    puppet.title("error API Error: 500")
    puppet.wait("waiting", "error: API Error: 500")


def test_another_engine_knows_what_the_last_one_saw(puppet: Puppet) -> None:
    lab = puppet.lab
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    killed = lab.kill_engine()
    puppet.title("waiting trust dialog")
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    puppet.wait("waiting", "trust dialog")
    killed = lab.kill_engine()
    puppet.title("idle")
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    puppet.wait("done")
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    puppet.title("working")
    puppet.wait("working")
    lives_are_right(lab)


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/tty"])
def test_a_program_that_asks_a_question_in_its_pane_waits(lab: Lab, place: str) -> None:
    lab.start(STEP)
    asks = f"read begin; printf 'Overwrite x? [y/N] ' >{place}; read answer; echo got $answer; sleep 60"
    lab.delegate(("a", asks))
    until(lambda: '"screen"' in Puppet(lab).row.shows, "it is looked at")
    lab.tmux("send-keys", "-t", Puppet(lab).row.pane, "Enter")
    puppet = Puppet(lab)
    puppet.wait("waiting", "question: Overwrite x?")
    lab.tmux("send-keys", "-t", puppet.row.pane, "y", "Enter")
    puppet.wait("working", "")
    lives_are_right(lab)


def test_how_an_agent_ended_that_stayed_after_its_work_is_told(puppet: Puppet) -> None:
    lab = puppet.lab
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    puppet.title("idle")
    puppet.wait("done")
    assert puppet.row.status is None
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    puppet.draw("exit 0")
    until(lambda: puppet.row.status == 0, "its exit status")
    told = json.loads(lab.aiorch("explain", "a", "--json").stdout)
    assert (told["state"], told["agent"]["state"], told["agent"]["reason"]) == ("done", "exited", "exit 0")


def test_nothing_is_woken_while_all_are_silent(puppet: Puppet) -> None:
    puppet.title("waiting permission")
    puppet.wait("waiting")
    (engine,) = puppet.lab.engine_pids()
    until(_silent(engine), "the engine sleeps")


def _silent(pid: int) -> Callable[[], bool]:
    def switches() -> list[str]:
        return [
            line
            for task in Path(f"/proc/{pid}/task").iterdir()
            for line in (task / "status").read_text().splitlines()
            if line.startswith("voluntary")
        ]

    def found() -> bool:
        before, began = switches(), time.monotonic()
        until(lambda: time.monotonic() - began > 1, "a second")
        return before == switches()

    return found


def test_what_shows_a_workers_state_is_told(puppet: Puppet) -> None:
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    puppet.title("waiting permission: touch x")
    puppet.wait("waiting")
    told = json.loads(puppet.lab.aiorch("explain", "a", "--json").stdout)
    assert told["state"] == "waiting" and told["waits"] == "permission: touch x"
    assert told["agent"]["rule"] == "puppet.title.waiting" and told["agent"]["source"] == "title"
    assert [one["source"] for one in told["evidence"]] == ["title", "screen"]
    assert all(0 <= one["age"] < 60 for one in told["evidence"]) and told["silent"] >= 0
    assert [step["state"] for step in told["steps"]] == [
        "queued",
        "starting",
        "working",
        "working",
        "waiting",
    ]
    text = puppet.lab.aiorch("explain", "a").stdout
    assert text.startswith(
        "a is waiting: permission: touch x\nits agent is waiting, by puppet.title.waiting\n"
    )
    assert puppet.lab.aiorch("explain", "b", check=False).returncode == 1


def test_a_worker_at_its_rate_limit_is_parked_and_comes_back(lab: Lab) -> None:
    install(lab)
    lab.start(CONFIG + 'rate_limit = "park"\nmax_workers = 1\n')
    puppet = Puppet(lab)
    puppet.begin()
    puppet.title("working")
    until(lambda: puppet.row.worked, "it is seen at work")
    began = time.time()
    puppet.title("waiting rate limit until in 2 seconds")
    puppet.wait("queued")
    lab.wait_told("QUEUED", "a: parked until ")
    # Its place is free meanwhile.
    other = Puppet(lab, "b")
    other.begin()
    other.draw("exit 0")
    other.wait("done")
    puppet.wait("working")
    assert puppet.row.attempt == 2
    assert time.time() - began > 2
    lives_are_right(lab)


def test_an_entry_in_a_register_counts_for_its_process_only_and_may_hold_any_text(lab: Lab) -> None:
    lab.put_program("claude", "#!/bin/sh\nexec sleep 300\n")
    lab.start(STEP + '[types.claude]\nmode = "interactive"\n')
    (entries := lab.home / ".claude/sessions").mkdir(parents=True)
    lab.delegate({"name": "a", "type": "claude", "task": "x"})
    worker = Puppet(lab)
    worker.wait("working")
    (engine,), pid = lab.engine_pids(), worker.row.pid
    entry = {"pid": pid, "status": "waiting", "waitingFor": "a\ud83d\x1b[2J" + "x" * 9000}
    for mark in (None, "1", str(process.start_ticks(pid))):
        assert worker.row.state == "working"
        (lab.root / "entry").write_text(json.dumps({**entry, "procStart": mark}))
        (lab.root / "entry").rename(entries / f"{pid}.json")
        # What comes after it is seen when it was taken in.
        lab.delegate((f"b{mark}", "exit 0"))
        lab.wait_state(**{f"b{mark}": "done"})
    worker.wait("waiting")
    assert worker.row.waits.startswith("a?[2Jxxx") and len(worker.row.waits) <= 160
    assert lab.engine_pids() == [engine]


class Record:
    """What an agent keeps of its state, which may not be readable."""

    def __init__(self, said: Verdict | Exception) -> None:
        self.said = said

    def place(self) -> None:
        return None

    def read(self) -> Verdict:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def test_evidence_that_cannot_be_judged_costs_no_other_worker_anything(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    crew = cast("Any", SimpleNamespace())
    watched: dict[int, _Watched] = {}
    states = States(crew, journal, Config(), {})
    for said in (KeyError("x"), Verdict(AgentState.UNKNOWN, "", "x", "record")):
        number = journal.add_worker(1, WorkerSpec(f"w{len(watched)}", "simple", "x"))
        watched[number] = _Watched(True, False, Record(said), {})
    states._watched.update(watched)
    states.read_records()
    assert [bool(one.found) for one in watched.values()] == [False, True]
    states._watched[1].record = Record(JournalDamagedError("gone"))
    with pytest.raises(JournalDamagedError):
        states.read_records()
    journal.close()


def test_a_look_that_fails_costs_no_other_worker_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    panes = {"%1": Glance(("bad",)), "%2": Glance(("good",))}

    def judged(_rules: StateRules, glance: Glance) -> Verdict:
        if glance.rows == ("bad",):
            raise RuntimeError
        return Verdict(AgentState.IDLE, "", "x", "screen")

    monkeypatch.setattr(lookout, "glances", lambda *_: panes)
    monkeypatch.setattr(lookout, "screen_verdict", judged)
    woken: list[bool] = []
    looks = lookout.Lookout(cast("Any", SimpleNamespace(control=None)), lambda: woken.append(True))
    for number in (1, 2, 3):
        looks.watch(lookout.Subject(number, f"%{number}", f"/dev/none/{number}", StateRules()))
    until(lambda: woken, "a sight")
    assert [sight.worker for sight in looks.take()] == [2]
    looks.close()


def test_the_terminal_is_the_panes_also_while_its_process_begins(tmp_path: Path) -> None:
    journal, seen = Journal(tmp_path / "journal.db"), []
    number = journal.add_worker(1, WorkerSpec("a", "simple", "x"))
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL) as beginning:
        crew = cast("Any", SimpleNamespace(process_of=lambda _row: beginning.pid))
        look = SimpleNamespace(tty_of=lambda _pane: "/dev/pts/7", watch=lambda one: seen.append(one.tty))
        states = States(crew, journal, Config(), {})
        journal.move_worker(number, WorkerState.WORKING, "it runs")
        states.begin(cast("Any", look))
        beginning.kill()
    assert seen == ["/dev/pts/7"]
    journal.close()
