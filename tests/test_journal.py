"""Journals of other versions: an older one is taken over with all it holds, a newer one is left alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from aiorch.errors import JournalError
from aiorch.journal import Journal, WorkerState
from aiorch.journal.schema import VERSION
from aiorch.plan.schema import WorkerSpec
from support.lives import check_lives


def _version(path: Path) -> int:
    database = sqlite3.connect(path)
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    database.close()
    return version


def _make_old(path: Path) -> None:
    """Write a journal as the first engines did: no version, no marks of processes, one worker."""
    Journal(path).close()
    database = sqlite3.connect(path)
    with database:
        for column in ("ticks", "idempotent", "session", "resumes", "paused", "held", "depth"):
            database.execute(f"ALTER TABLE workers DROP COLUMN {column}")
        database.execute("DROP TABLE transitions")
        database.execute("DROP TABLE decisions")
        database.execute("PRAGMA user_version = 0")
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
