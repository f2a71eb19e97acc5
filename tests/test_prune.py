"""Old runs are deleted, and only those: none that works, waits or asks, and nothing beside them."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiorch import prune as pruning
from aiorch.capture.directive import Directive, Source
from aiorch.journal import DirectiveState, Journal, WorkerState
from aiorch.paths import RunPaths
from aiorch.prune import DAY, Limits, Standing, prune
from support.damage import overwrite
from support.journals import begin, delegate, end, new_run
from support.lab import REPO, STEP, Lab, until

NOW = time.time()
OLD = Limits(older_than=30 * DAY)
EVERYTHING = Limits(older_than=-DAY, max_size=0, unfinished=True)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def make(state: Path, name: str, *, days: float = 40, size: int = 0) -> RunPaths:
    """Make a run that has ended so many days ago."""
    paths = new_run(state / "runs" / name)
    with_worker(paths, WorkerState.DONE)
    (paths.logs / "000001-aaaaa").write_bytes(b"x" * size)
    age(paths, days)
    return paths


def with_worker(paths: RunPaths, state: WorkerState) -> None:
    journal = Journal(paths.journal)
    (worker,) = delegate(journal, f"task {state}", [str(state)])
    begin(journal, worker)
    if state is not WorkerState.WORKING:
        end(journal, worker, state)
        journal.set_directive(1, DirectiveState.DONE)
    journal.close()


def age(paths: RunPaths, days: float) -> None:
    for path in (paths.root, *paths.root.iterdir()):
        os.utime(path, (NOW - days * DAY,) * 2)


def names(state: Path) -> set[str]:
    return {path.name for path in (state / "runs").iterdir()}


def test_by_age_the_old_ones_go(state: Path) -> None:
    make(state, "old", size=50000)
    make(state, "new", days=20)
    pruned = prune(state, OLD, NOW)
    assert names(state) == {"new"}
    assert [one.root.name for one in pruned.deleted] == ["old"] and pruned.freed > 50000
    # Looking at them did not make them younger.
    assert [one.root.name for one in prune(state, Limits(older_than=19 * DAY), NOW).deleted] == ["new"]


def test_by_size_the_oldest_go_until_the_rest_fits(state: Path) -> None:
    for index in range(4):
        make(state, f"run{index}", days=10 - index, size=1 << 20)
    prune(state, Limits(max_size=5 << 19), NOW)
    assert names(state) == {"run2", "run3"}


def test_the_newest_stay_whatever_else_is_said(state: Path) -> None:
    for index in range(4):
        make(state, f"run{index}", days=90 - index)
    prune(state, Limits(older_than=DAY, max_size=0, keep=3), NOW)
    assert names(state) == {"run1", "run2", "run3"}


def test_a_dry_run_tells_and_deletes_nothing(state: Path) -> None:
    make(state, "old")
    assert [one.root.name for one in prune(state, OLD, NOW, dry_run=True).deleted] == ["old"]
    assert names(state) == {"old"}


def _ask(paths: RunPaths) -> None:
    journal = Journal(paths.journal)
    journal.add_directive(Directive({"task": "x"}, Source.PLAIN, "", "", "x", "x"), 1)
    journal.close()


def _give_up(paths: RunPaths) -> None:
    with_worker(paths, WorkerState.WORKING)
    journal = Journal(paths.journal)
    journal.set_meta("stopped", NOW)
    journal.close()


def _half_begun(paths: RunPaths) -> None:
    paths.journal.unlink()
    journal = Journal(paths.journal)
    journal.close()


def _lose_journal(paths: RunPaths) -> None:
    paths.journal.unlink()
    (paths.workers / "w1-1").mkdir()


CASES: dict[str, tuple[Callable[[RunPaths], object], Standing]] = {
    "working": (lambda paths: with_worker(paths, WorkerState.WORKING), Standing.UNFINISHED),
    "lost": (lambda paths: with_worker(paths, WorkerState.LOST), Standing.UNFINISHED),
    "asking": (_ask, Standing.UNFINISHED),
    "damaged": (lambda paths: overwrite(paths.journal, [0]), Standing.UNREADABLE),
    "no_journal": (
        _lose_journal,
        Standing.UNREADABLE,
    ),
    "failed": (lambda paths: with_worker(paths, WorkerState.FAILED), Standing.ENDED),
    "given_up": (_give_up, Standing.ENDED),
    "half_begun": (_half_begun, Standing.LEFTOVER),
    "never_begun": (lambda paths: paths.journal.unlink(), Standing.LEFTOVER),
}


@pytest.mark.parametrize("name", CASES)
def test_what_has_something_left_to_do_goes_only_when_that_is_said(state: Path, name: str) -> None:
    change, standing = CASES[name]
    paths = make(state, name)
    change(paths)
    age(paths, 40)
    (found, *_) = prune(state, OLD, NOW, dry_run=True).kept + prune(state, OLD, NOW, dry_run=True).deleted
    assert found.standing is standing
    goes = standing in (Standing.ENDED, Standing.LEFTOVER)
    prune(state, OLD, NOW)
    assert names(state) == (set() if goes else {name})
    prune(state, Limits(older_than=30 * DAY, unfinished=True), NOW)
    assert names(state) == set()


def test_what_begins_just_now_is_no_leftover(state: Path) -> None:
    paths = make(state, "now")
    paths.journal.unlink()
    age(paths, 0.5)
    prune(state, EVERYTHING, NOW)
    assert names(state) == {"now"}


def test_a_run_with_an_engine_stays(state: Path) -> None:
    paths = make(state, "busy")
    with (paths.root / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pruned = prune(state, EVERYTHING, NOW)
        assert names(state) == {"busy"} and pruned.kept[0].standing is Standing.RUNNING
    prune(state, EVERYTHING, NOW)
    assert names(state) == set()


def test_an_engine_that_begins_while_it_is_looked_at_wins(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make(state, "busy")
    lock = os.open(paths.root / "lock", os.O_RDWR)
    look = pruning._look

    def look_and_begin(root: Path) -> pruning.Found:
        found = look(root)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return found

    monkeypatch.setattr(pruning, "_look", look_and_begin)
    pruned = prune(state, EVERYTHING, NOW)
    os.close(lock)
    assert names(state) == {"busy"} and pruned.deleted == []


def test_one_that_was_gone_on_with_meanwhile_stays(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make(state, "again")
    look = pruning._look

    def look_and_go_on(root: Path) -> pruning.Found:
        found = look(root)
        with_worker(paths, WorkerState.WORKING)
        return found

    monkeypatch.setattr(pruning, "_look", look_and_go_on)
    assert prune(state, OLD, NOW).deleted == []
    assert names(state) == {"again"}


def test_links_are_not_followed(state: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    make(tmp_path, "elsewhere")
    mine.mkdir()
    (mine / "precious").write_text("keep")
    paths = make(state, "old")
    (paths.workers / "w1-1").mkdir()
    (paths.workers / "w1-1" / "link").symlink_to(mine)
    (state / "runs" / "link").symlink_to(tmp_path / "runs" / "elsewhere")
    prune(state, EVERYTHING, NOW)
    assert names(state) == {"link"}
    assert (mine / "precious").exists() and (tmp_path / "runs" / "elsewhere" / "journal.db").exists()


def test_what_a_killed_one_left_is_deleted_the_next_time(state: Path) -> None:
    make(state, "old")
    (state / "runs" / "old").rename(state / "runs" / ".pruned-old")
    prune(state, Limits(), NOW)
    assert names(state) == set()


def test_one_that_cannot_be_deleted_is_told_and_the_others_go(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad", "good"):
        make(state, name)
    rename = os.rename

    def refuse(source: str, *rest: Any, **options: Any) -> None:
        if source == "bad":
            raise PermissionError(13, "Permission denied")
        rename(source, *rest, **options)

    monkeypatch.setattr(os, "rename", refuse)
    assert prune(state, OLD, NOW).failed.keys() == {"bad"}
    assert names(state) == {"bad"}


def call(state: Path, *argv: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_STATE_HOME": str(state.parent)}
    command = [sys.executable, "-E", "-s", str(REPO / "python"), "prune", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=30)


def test_the_command_tells_what_it_does(tmp_path: Path, home: Path) -> None:
    state = tmp_path / "aiorch"
    make(state, "old")
    make(state, "busy")
    with_worker(RunPaths(state / "runs" / "busy"), WorkerState.WORKING)
    make(state, "new", days=1)
    said = call(state, "--dry-run", home=home).stdout.splitlines()
    assert said[0].startswith("old  ended, 40 days old, ")
    assert said[1].startswith("1 run would be deleted, ")
    assert said[2].startswith("2 runs kept (1 ended, 1 unfinished), ")
    found = json.loads(call(state, "--json", home=home).stdout)
    assert [one["run"] for one in found["deleted"]] == ["old"] and found["freed"] > 0
    assert {one["run"]: one["standing"] for one in found["kept"]} == {"new": "ended", "busy": "unfinished"}
    assert call(state, home=home).stdout.startswith("0 runs deleted, 0 KB came free\n2 runs kept")


def test_the_default_age_is_the_configurations(tmp_path: Path, home: Path) -> None:
    state = tmp_path / "aiorch"
    make(state, "old")
    folder = home / ".config" / "aiorch"
    folder.mkdir(parents=True)
    for days, left in ((0, {"old"}), (50, {"old"}), (35, set())):
        (folder / "config.toml").write_text(f"keep_runs_days = {days}\n")
        assert call(state, home=home).returncode == 0
        assert names(state) == left


@pytest.mark.parametrize("argv", [("--older-than", "30"), ("--older-than", "x"), ("--max-size", "5 MB")])
def test_an_amount_without_a_unit_is_refused(tmp_path: Path, home: Path, argv: tuple[str, str]) -> None:
    done = call(tmp_path / "aiorch", *argv, home=home)
    assert done.returncode == 2 and "is no such amount" in done.stderr


def test_a_run_that_begins_deletes_the_old_ones_later(lab: Lab) -> None:
    state = lab.home / ".local/state/aiorch"
    for name in ("old", "young"):
        make(state, name, days=40 if name == "old" else 2)
    make(state, "busy")
    with_worker(RunPaths(state / "runs" / "busy"), WorkerState.WORKING)
    age(RunPaths(state / "runs" / "busy"), 40)
    lab.start(STEP)
    assert "old" in names(state)
    left = {"young", "busy", lab.run.name}
    until(lambda: names(state) == left, "it is deleted")
    assert "run old was deleted" in (lab.run / "engine.log").read_text()
    lab.delegate(("a", "true"))
    lab.wait_state(a="done")
