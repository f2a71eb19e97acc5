"""Journals that cannot be read: a sentence for people, in every command, and never a traceback."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aiorch.errors import JournalDamagedError, JournalError
from aiorch.journal import Journal, Tag
from aiorch.journal.fault import find_fault
from aiorch.journal.reading import reading
from aiorch.journal.repair import repair
from aiorch.journal.schema import VERSION
from aiorch.paths import RunPaths
from aiorch.runs import cut_off_runs
from support.damage import overwrite, pages_of
from support.journals import fill, new_run
from support.lab import REPO

READERS = (["status"], ["status", "--json"], ["log"], ["show", "1"])


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    paths = new_run(tmp_path / "state" / "runs" / "run")
    journal = Journal(paths.journal)
    fill(journal, 12)
    journal.close()
    return paths


def call(run: RunPaths, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-E", "-s", str(REPO / "python"), "--run", str(run.root), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def _foreign(path: Path) -> None:
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE cats (name TEXT)")
    database.close()


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(5000)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _wrong_text(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"SPAWNED", b"SP\xff\xfeNED").replace(b"done", b"dxne"))


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "has no journal"),
    "text": (lambda path: path.write_text("no database" * 500), "is damaged (file is not a database)"),
    "empty": (lambda path: path.write_bytes(b""), "is not a journal of aiorch"),
    "truncated": (_truncate, "is damaged"),
    "pages": (lambda path: overwrite(path, range(1, pages_of(path))), "is damaged"),
    "foreign": (_foreign, "is not a journal of aiorch"),
    "directory": (_directory, "cannot be read"),
    "values": (_wrong_text, "is damaged"),
}


@pytest.mark.parametrize("name", CASES)
def test_commands_that_read_say_what_is_wrong(run: RunPaths, name: str) -> None:
    damage, words = CASES[name]
    damage(run.journal)
    for argv in READERS:
        done = call(run, *argv)
        if name == "values" and argv[0] == "show":
            continue
        assert (done.returncode, done.stdout) == (1, ""), argv
        assert done.stderr.startswith("aiorch: ") and words in done.stderr, argv
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["missing", "text", "truncated", "pages", "directory"])
def test_a_run_whose_journal_cannot_be_read_is_listed_as_such(run: RunPaths, name: str) -> None:
    CASES[name][0](run.journal)
    (listed,) = cut_off_runs(run.root.parents[1])
    assert listed.fault and listed.is_open


@pytest.mark.parametrize("name", ["missing", "text", "empty", "truncated", "pages", "directory", "values"])
def test_a_damaged_journal_is_saved_and_is_whole_then(run: RunPaths, name: str) -> None:
    CASES[name][0](run.journal)
    assert find_fault(run.journal, {}) is not None
    repair(run)
    assert find_fault(run.journal, {}) is None
    with reading(run.journal) as journal:
        assert "the journal was damaged (" in journal.events()[-1].text
    assert run.journal.stat().st_mode & 0o777 == 0o600
    kept = [path for path in run.root.glob("journal.damaged-*") if not path.name.endswith("-wal")]
    assert len(kept) == (name != "missing")
    # What is well is left alone.
    before = run.journal.read_bytes()
    repair(run)
    assert run.journal.read_bytes() == before


def test_what_is_not_ours_is_told_and_left_alone(run: RunPaths) -> None:
    _foreign(run.journal)
    before = run.journal.read_bytes()
    with pytest.raises(JournalError, match="another program"):
        repair(run)
    database = sqlite3.connect(run.journal)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(JournalError, match="update the plugin"):
        repair(run)
    assert run.journal.read_bytes()[200:] == before[200:]
    assert [path.name for path in run.root.glob("journal.*-*")] == []


def test_one_that_may_not_be_read_is_left_alone(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(JournalError, match="chmod 600"):
        repair(run)


def test_a_second_damage_is_kept_beside_the_first(run: RunPaths) -> None:
    for _ in range(2):
        CASES["text"][0](run.journal)
        repair(run)
    assert len(list(run.root.glob("journal.damaged-*"))) == 2


def test_a_row_that_makes_no_sense_is_damage(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.add_event(Tag.DONE, "a")
    journal._db.execute("UPDATE events SET tag = 'NONSENSE'")
    with pytest.raises(JournalDamagedError, match="makes no sense"):
        journal.events()
    journal.close()
