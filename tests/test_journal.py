"""Journals of other versions: an older one is taken over with all it holds, a newer one is left alone."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from aiorch.capture.directive import Rejected, Source
from aiorch.errors import JournalError
from aiorch.journal import DirectiveState, Journal, Tag, WorkerState
from aiorch.journal.reading import reading
from aiorch.journal.schema import STEPS, VERSION
from aiorch.plan.schema import WorkerSpec
from aiorch.tree import Tree, TreeState
from support.lives import check_lives


def _version(path: Path) -> int:
    database = sqlite3.connect(path)
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    database.close()
    return version


def _of_version(path: Path, version: int) -> sqlite3.Connection:
    """Write an empty journal as the engines of a version did."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    for step in STEPS[: max(1, version)]:
        database.executescript(step)
    database.execute(f"PRAGMA user_version = {version}")
    return database


def _make_old(path: Path) -> None:
    """Write a journal as the first engines did: no version, no marks of processes, one worker."""
    database = _of_version(path, 0)
    with database:
        database.execute(
            "INSERT INTO workers (directive, name, type, task, state, pid, created)"
            " VALUES (1, 'a', 'simple', 'do it', 'working', 7, 1.5)"
        )
    database.close()


def test_an_older_journal_is_taken_over_with_all_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    _make_old(path)
    journal = Journal(path)
    (row,) = journal.workers()
    assert (row.name, row.state, row.pid, row.ticks) == ("a", WorkerState.WORKING, 7, 0)
    journal.set_worker(row.number, ticks=12)
    journal.close()
    assert _version(path) == VERSION


def test_an_older_journal_can_be_read_while_its_engine_runs(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    _make_old(path)
    journal = Journal(path, read_only=True)
    assert [row.name for row in journal.workers()] == ["a"]
    journal.close()
    assert _version(path) == 0


def test_columns_of_a_newer_journal_are_passed_over_by_who_reads(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    _make_old(path)
    database = sqlite3.connect(path)
    with database:
        database.execute("ALTER TABLE workers ADD COLUMN mood TEXT NOT NULL DEFAULT 'fine'")
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    journal = Journal(path, read_only=True)
    assert [row.name for row in journal.workers()] == ["a"]
    journal.close()


def test_a_newer_journal_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    _make_old(path)
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="update the plugin"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    database = sqlite3.connect(path)
    with database:
        # Somebody else's table under a name of ours: it has no state that could be indexed.
        database.execute("CREATE TABLE directives (number INTEGER PRIMARY KEY)")
    database.close()
    with pytest.raises(sqlite3.DatabaseError):
        Journal(path)
    database = sqlite3.connect(path)
    tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    database.close()
    assert tables == ["directives"]


def test_the_steps_of_a_life_are_kept_with_what_showed_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    number = journal.add_worker(3, WorkerSpec("a", "simple", "do it"))
    journal.move_worker(number, WorkerState.STARTING, "a place is free")
    journal.move_worker(number, WorkerState.WORKING, "process 7 in pane %4", pid=7)
    journal.move_worker(number, WorkerState.QUEUED, "exit 2 by its record", attempt=2)
    with pytest.raises(RuntimeError), journal.transaction():
        journal.move_worker(number, WorkerState.DONE, "exit 0 by its record")
        raise RuntimeError
    steps = [(step.state, step.attempt, step.evidence) for step in journal.transitions()]
    assert steps == [
        (WorkerState.QUEUED, 1, "directive #3"),
        (WorkerState.STARTING, 1, "a place is free"),
        (WorkerState.WORKING, 1, "process 7 in pane %4"),
        (WorkerState.QUEUED, 2, "exit 2 by its record"),
    ]
    assert [step.number for step in journal.transitions(after=2)] == [3, 4]
    check_lives(journal)
    journal.close()


def test_what_is_durable_waits_for_the_disk_and_nothing_else_does(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")

    def level() -> int:
        return int(journal._db.execute("PRAGMA synchronous").fetchone()[0])

    normal, full = 1, 2
    assert level() == normal
    with journal.transaction(durable=True):
        journal.set_meta("a", 1)
        assert level() == full
    with pytest.raises(RuntimeError), journal.transaction(durable=True):
        raise RuntimeError
    with journal.transaction():
        assert level() == normal
    assert level() == normal
    journal.close()


def test_all_that_happens_is_numbered_together(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.add_event(Tag.DONE, "one")
    worker = journal.add_worker(1, WorkerSpec("a", "simple", "do it"))
    number = journal.add_rejected(Rejected("broken", Source.SCREEN, "here", "{", "key"), 1)
    journal.move_worker(worker, WorkerState.STARTING, "a place is free")
    assert [type(one).__name__ for one in journal.history()] == [
        "Event",
        "Transition",
        "Decision",
        "Transition",
    ]
    assert [one.number for one in journal.history()] == [1, 2, 3, 4] and journal.newest == 4
    assert [one.number for one in journal.history(after=2)] == [3, 4]
    # A directive that is not there has no fate.
    journal.set_directive(number + 1 if number else 0, DirectiveState.DONE)
    assert journal.newest == 4
    journal.close()


def test_steps_of_an_older_journal_get_numbers_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    version = next(n for n, step in enumerate(STEPS) if "CREATE TABLE decisions" in step)
    database = _of_version(path, version)
    with database:
        for number in (1, 2, 3):
            database.execute("INSERT INTO events VALUES (?, 1.5, 'DONE', 'x')", (number,))
        for number in (1, 2):
            database.execute("INSERT INTO transitions VALUES (?, 1.5, 1, 1, 'queued', 'x')", (number,))
    database.close()
    journal = Journal(path)
    assert [step.number for step in journal.transitions()] == [4, 5]
    journal.add_event(Tag.DONE, "four")
    assert journal.newest == 6
    journal.close()


@pytest.mark.parametrize("part", ["", "-wal"])
@pytest.mark.parametrize("is_read", [False, True])
def test_a_journal_knows_whether_others_find_it_at_its_place(
    tmp_path: Path, part: str, is_read: bool
) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.add_event(Tag.DONE, "one")
    # As a file system does that numbers its files anew.
    journal.place._identities = [(0, 0)] * 2
    assert not journal.place.is_kept and journal.is_in_place() and journal.place.is_kept
    path.with_name(f"{path.name}{part}").unlink()
    if is_read and part:
        # Who reads makes other files there.
        Journal(path, read_only=True).workers()
    assert not journal.is_in_place()
    journal.close()


def test_a_copy_in_the_place_of_a_journal_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.add_event(Tag.DONE, "one")
    journal.copy_to(tmp_path / "copy")
    (tmp_path / "copy").rename(path)
    assert not journal.is_in_place()
    journal.close()


def test_worktrees_are_kept_whatever_their_places_are_called(tmp_path: Path) -> None:
    tree = Tree(os.fsdecode(b"/x/l\xe9\n"), "aiorch/a", "0" * 40, "/x", "/x/.git", "sub")
    journal = Journal(tmp_path / "journal.db")
    journal.set_tree(3, tree)
    journal.set_tree_state(3, TreeState.READY)
    assert journal.trees() == {3: tree._replace(state=TreeState.READY)}
    assert journal.tree(4) is None


def test_overlaps_are_remembered_by_pair(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.add_overlap(1, 2, ["a"])
    journal.add_overlap(1, 3, ["b"])
    journal.add_overlap(1, 2, ["a", "c"])
    assert journal.overlaps() == {(1, 2): ["a", "c"], (1, 3): ["b"]}


def test_nobody_finds_a_journal_without_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"

    def cut_off(database: sqlite3.Connection) -> None:
        database.execute("CREATE TABLE half (made)")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("aiorch.journal.schema.upgrade", cut_off)
        Journal(path)
    assert not path.exists()
    Journal(path).close()
    with reading(path) as journal:
        assert journal.workers() == []
    assert not list(tmp_path.glob("*.new*"))


def test_text_that_is_no_utf8_is_kept_as_its_escape(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    number = journal.add_worker(1, WorkerSpec("a", "simple", "do \ud83d"))
    journal.move_worker(number, WorkerState.FAILED, "caf\udce9", directory="/caf\udce9")
    row = journal.worker(number)
    assert (row.task, row.directory) == (r"do \ud83d", r"/caf\udce9")
    assert [step.evidence for step in journal.transitions()][1:] == [r"caf\udce9"]
    assert [row.number for row in journal.named(["a", "\udce9"]).values()] == [number]
    journal.close()
