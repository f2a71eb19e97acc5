"""What is read of damaged journals: every row of every page that is whole, and none that was not written."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiorch.capture.directive import Rejected, Source
from aiorch.journal import Journal, WorkerState
from aiorch.journal.salvage import Salvage, salvage, shapes
from support.damage import PAGE
from support.journals import columns_since, fill, new_run

Truth = dict[str, dict[int, tuple[object, ...]]]


def truth(path: Path) -> Truth:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    tables = [shape.table for shape in shapes()]
    rows = {
        table: {row[0]: row[1:] for row in database.execute(f"SELECT rowid, * FROM {table}")}
        for table in tables
    }
    database.close()
    return rows


def values(found: Salvage) -> Truth:
    return {
        table: {rowid: tuple(row.values()) for rowid, row in rows.items()}
        for table, rows in found.rows.items()
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bytes, bytes, Truth]]:
    """Return the bytes of a journal and its log while an engine has it open, and its rows."""
    paths = new_run(tmp_path_factory.mktemp("runs") / "run")
    journal = Journal(paths.journal)
    fill(journal, 30)
    journal.add_rejected(Rejected("broken", Source.SCREEN, "here", "{", "key"), 1)
    journal.add_size("000001-aaaaa", 0, 80, 24)
    log = paths.journal.with_name("journal.db-wal").read_bytes()
    yield paths.journal.read_bytes(), log, truth(paths.journal)
    journal.close()


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Truth]:
    """Return the bytes of a journal that was closed, and its rows."""
    paths = new_run(tmp_path_factory.mktemp("runs") / "run")
    journal = Journal(paths.journal)
    fill(journal, 60)
    journal.close()
    return paths.journal.read_bytes(), truth(paths.journal)


def test_a_whole_journal_is_read_to_the_letter(run: tuple[bytes, bytes, Truth]) -> None:
    database, log, rows = run
    found = salvage(database, log)
    assert values(found) == rows
    assert found.is_whole and (found.lost, found.unread) == (0, 0)


def test_every_table_has_rows_that_are_told_from_all_others(run: tuple[bytes, bytes, Truth]) -> None:
    database, log, _ = run
    assert all(salvage(database, log).rows[shape.table] for shape in shapes())


def test_rows_of_an_older_version_have_what_came_later_by_default(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    Journal(path).close()
    database = sqlite3.connect(path)
    with database:
        for column in columns_since(0):
            database.execute(f"ALTER TABLE workers DROP COLUMN {column}")
        database.execute(
            "INSERT INTO workers (directive, name, type, task, state, created)"
            " VALUES (1, 'a', 'simple', 'do it', 'queued', 1.5)"
        )
    database.close()
    (row,) = salvage(path.read_bytes(), b"").rows["workers"].values()
    assert (row["name"], row["state"], row["ticks"], row["session"]) == ("a", WorkerState.QUEUED, 0, "")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_row_comes_out_that_did_not_go_in(settled: tuple[bytes, Truth], data: st.DataObject) -> None:
    database, rows = settled
    count = len(database) // PAGE
    damaged = bytearray(database)
    for page in data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True)):
        rubbish = random.Random(page).randbytes(PAGE) if data.draw(st.booleans()) else bytes(PAGE)
        damaged[page * PAGE : (page + 1) * PAGE] = rubbish
    found = salvage(bytes(damaged), b"")
    for table, those in values(found).items():
        assert those.items() <= rows[table].items()
    assert not found.is_whole


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3 * PAGE), st.binary(max_size=3 * PAGE))
def test_rubbish_gives_nothing_and_no_error(database: bytes, log: bytes) -> None:
    assert salvage(database, log).saved == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_bytes_give_no_error(settled: tuple[bytes, Truth], data: st.DataObject) -> None:
    damaged = bytearray(settled[0])
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=200)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    assert salvage(bytes(damaged), b"").saved > 0


def test_a_damaged_page_costs_what_stands_in_it_alone(settled: tuple[bytes, Truth]) -> None:
    database, rows = settled
    total, count = sum(map(len, rows.values())), len(database) // PAGE
    shares = []
    for page in range(count):
        damaged = bytearray(database)
        damaged[page * PAGE : (page + 1) * PAGE] = random.Random(page).randbytes(PAGE)
        shares.append(salvage(bytes(damaged), b"").saved / total)
    # SQLite alone reads nothing without its first page, and little without that of a tree's root.
    assert min(shares) > 0.9
    assert sum(shares) / count > 0.99


def test_what_a_cut_off_file_still_has_is_read(settled: tuple[bytes, Truth]) -> None:
    database, rows = settled
    found = salvage(database[: len(database) // 2 + 5], b"")
    assert 0.3 < found.saved / sum(map(len, rows.values())) < 0.7
    assert found.unread >= len(database) // PAGE // 2 - 1


@pytest.mark.parametrize("at", [0, 32 + 50, 32 + 4120 * 3 + 8, 32 + 4120 * 9 + 1000])
def test_a_broken_place_in_the_log_does_not_cost_what_follows(
    run: tuple[bytes, bytes, Truth], at: int
) -> None:
    database, log, rows = run
    damaged = bytearray(log)
    damaged[at : at + 16] = b"\xff" * 16
    found = salvage(database, bytes(damaged))
    assert found.is_behind and not found.is_whole
    assert found.saved > 0.98 * sum(map(len, rows.values()))


def test_what_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    for number in range(300):
        journal.keep_answer(f"{number}.json", {"ok": True, "text": "x" * 500})
    for number in range(299):
        journal.forget_answer(f"{number}.json")
    journal.close()
    (row,) = salvage(path.read_bytes(), b"").rows["answers"].values()
    assert row["request"] == "299.json"
