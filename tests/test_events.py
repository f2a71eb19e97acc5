"""`aiorch events`: all that happened, in its order, once, and as it happens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiorch.errors import JournalError
from aiorch.journal import DirectiveState, Journal, Tag, WorkerState
from aiorch.journal.repair import repair
from aiorch.paths import RunPaths
from aiorch.ui.feed import feed
from support.damage import overwrite
from support.journals import begin, delegate, end, new_run
from support.lab import REPO, STEP, Lab, until

SHAPES = {
    "log": {"number": int, "time": float, "kind": str, "tag": str, "text": str},
    "worker": {
        **{"number": int, "time": float, "kind": str, "worker": str, "directive": int},
        **{"attempt": int, "state": str, "evidence": str},
    },
    "directive": {"number": int, "time": float, "kind": str, "directive": int, "state": str, "reason": str},
}


def read(paths: RunPaths, after: int = 0) -> list[dict[str, Any]]:
    lines = feed(paths, after, follow=False, as_json=True, color=False)
    return [json.loads(line) for line in lines]


def check_shape(records: list[dict[str, Any]]) -> None:
    for one in records:
        assert {name: type(value) for name, value in one.items()} == SHAPES[one["kind"]]
    numbers = [one["number"] for one in records]
    assert numbers == sorted(set(numbers))


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return new_run(tmp_path / "run")


@pytest.fixture
def journal(run: RunPaths) -> Iterator[Journal]:
    journal = Journal(run.journal)
    yield journal
    journal.close()


def test_all_that_happened_has_a_stable_shape_and_one_order(run: RunPaths, journal: Journal) -> None:
    (worker,) = delegate(journal, "first", ["a"])
    begin(journal, worker)
    end(journal, worker)
    journal.set_directive(1, DirectiveState.DONE)
    records = read(run)
    check_shape(records)
    assert [one["number"] for one in records] == list(range(1, len(records) + 1))
    told = [one.get("tag") or f"{one.get('worker', one.get('directive'))} {one['state']}" for one in records]
    assert told == [
        *("1 running", "RECEIVED", "a queued", "a starting", "a working", "SPAWNED"),
        *("a done", "DONE", "1 done"),
    ]
    assert read(run, after=5) == records[5:]
    assert read(run, after=len(records)) == []


def test_lines_for_people_hold_nothing_that_a_terminal_would_obey(run: RunPaths, journal: Journal) -> None:
    (worker,) = delegate(journal, "first", ["a"])
    journal.move_worker(worker, WorkerState.FAILED, "no \x1b[31mred\nline")
    journal.set_directive(1, DirectiveState.REJECTED, "bad\x07")
    lines = list(feed(run, 0, follow=False, as_json=False, color=False))
    assert lines[-2].endswith("a: failed (no \\x1b[31mred line)")
    assert lines[-1].endswith("#1: rejected (bad\\x07)")
    assert all(line.isprintable() for line in lines)


class Follower:
    """Reads the feed on a thread, as a program would."""

    def __init__(self, run: RunPaths, after: int = 0) -> None:
        self.lines: list[dict[str, Any]] = []
        self.error: JournalError | None = None
        self.thread = threading.Thread(target=self._read, args=(run, after), daemon=True)
        self.thread.start()

    def _read(self, run: RunPaths, after: int) -> None:
        try:
            for line in feed(run, after, follow=True, as_json=True, color=False):
                self.lines.append(json.loads(line))
        except JournalError as error:
            self.error = error

    def wait(self, text: str) -> None:
        until(lambda: any(one.get("text") == text for one in self.lines), text)


def test_what_happens_is_followed_until_the_run_is_stopped(run: RunPaths, journal: Journal) -> None:
    journal.add_event(Tag.DONE, "before")
    follower = Follower(run)
    follower.wait("before")
    for text in ("one", "two"):
        journal.add_event(Tag.DONE, text)
        journal.publish()
        follower.wait(text)
    journal.set_meta("stopped", 1.0)
    journal.add_event(Tag.STOPPED, "by the user")
    journal.publish()
    follower.thread.join(10)
    assert not follower.thread.is_alive()
    check_shape(follower.lines)
    assert [one["text"] for one in follower.lines] == ["before", "one", "two", "by the user"]


def test_a_follower_outlives_the_journal_it_began_with(run: RunPaths) -> None:
    journal = Journal(run.journal)
    journal.add_event(Tag.DONE, "before")
    follower = Follower(run)
    follower.wait("before")
    journal.close()
    overwrite(run.journal, [0])
    (run.news / "events").write_bytes(b"")
    repair(run)
    journal = Journal(run.journal)
    journal.add_event(Tag.DONE, "after")
    journal.publish()
    follower.wait("after")
    check_shape(follower.lines)
    assert [one["text"] for one in follower.lines].count("before") == 1
    journal.close()


def test_a_follower_ends_when_the_run_is_deleted(run: RunPaths, journal: Journal) -> None:
    journal.add_event(Tag.DONE, "before")
    follower = Follower(run)
    follower.wait("before")
    shutil.rmtree(run.root)
    follower.thread.join(10)
    assert "no journal" in str(follower.error)


def test_a_program_follows_a_run_from_its_first_line_to_its_last(lab: Lab) -> None:
    lab.start(STEP)
    command = [
        sys.executable,
        "-E",
        "-s",
        str(REPO / "python"),
        "--run",
        str(lab.run),
        "events",
        "--follow",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | lab.env) as program:
        lab.delegate(("a", "exit 0"), ("b", "exit 3"))
        lab.wait_state(a="done", b="failed")
        lab.aiorch("stop")
        said, _ = program.communicate(timeout=15)
    records = [json.loads(line) for line in said.splitlines()]
    check_shape(records)
    assert program.returncode == 0
    steps = [(one["worker"], one["state"]) for one in records if one["kind"] == "worker"]
    assert [state for name, state in steps if name == "a"] == ["queued", "starting", "working", "done"]
    assert [state for name, state in steps if name == "b"] == ["queued", "starting", "working", "failed"]
    assert [one["state"] for one in records if one["kind"] == "directive"] == ["running", "done"]
    assert records[-1]["tag"] == "STOPPED"
    assert next(one for one in records if one["kind"] == "log")["tag"] == "LISTENING"
