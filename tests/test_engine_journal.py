"""A journal that is damaged or taken away: the engine saves what can be read, and nothing runs twice."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aiorch.journal.schema import VERSION
from support.crashes import CONFIG as CRASHES
from support.crashes import Crashes, Rounds
from support.damage import overwrite, pages_of, settle_log
from support.lab import STEP, Lab, alive, until

CONFIG = f'default_type = "step"\nmax_workers = 3\n[trust.plain]\nroles = "run"\n{STEP}'
STATES = {"early": "done", "a": "done", "b": "done", "c": "done"}


def ran(lab: Lab) -> list[str]:
    path = lab.project / "ran"
    return sorted(path.read_text().split()) if path.exists() else []


def gated(lab: Lab, name: str) -> tuple[str, str]:
    return name, f"echo {name} >>ran; while [ ! -e {lab.root / name} ]; do sleep 0.05; done"


def busy_run(lab: Lab) -> Path:
    """Bring a run to where it has done, working and queued workers, and return its journal."""
    lab.start(CONFIG)
    lab.say({"task": "echo said >>ran"})
    until(lambda: ran(lab) == ["said"], "the first")
    lab.delegate(("early", "echo early >>ran"), *(gated(lab, name) for name in "abc"))
    lab.wait_state(early="done", a="working", b="working", c="working")
    lab.delegate(("late", "echo late >>ran"))
    lab.wait_state(late="queued")
    return lab.run / "journal.db"


def check_goes_on(lab: Lab) -> None:
    """Let what works come to its end, delegate once more, and see that nothing ran twice."""
    for name in "abc":
        (lab.root / name).touch()
    lab.delegate(("after", "echo after >>ran"))
    lab.wait_state(after="done")
    until(lambda: lab.workers_by_state("starting", "working", "queued") == [], "all have ended")
    assert sorted(set(ran(lab))) == ran(lab)
    assert {"a", "b", "c", "early", "said", "after"} <= set(ran(lab))


def kill(lab: Lab) -> None:
    """Let the engine die, and keep it from coming back by itself."""
    restarts = lab.run / "restarts"
    restarts.write_text(f"{time.time() + 3600}\n" * 5)
    # Two would take turns in giving it up.
    lab.kill_guard()
    lab.kill_engine()
    status = ("display-message", "-p", "-t", "m", "#{AIORCH_STATUS}")
    until(lambda: "engine died" in lab.tmux(*status), "it stays down")
    restarts.unlink()


def test_pages_overwritten_under_an_engine_are_saved_by_the_next_one(lab: Lab) -> None:
    journal = busy_run(lab)
    (pid,) = lab.engine_pids()
    settle_log(journal)
    overwrite(journal, range(2, pages_of(journal), 3))
    # What it asks for may have been carried out: it is told so, and may be asked for again.
    assert "may have been carried out" in lab.aiorch("run", "echo new >>ran", check=False).stderr
    until(lambda: lab.engine_pids() not in ([], [pid]), "another engine")
    lab.wait_told("ERROR", "rows were saved, the old file is kept in journal.damaged-")
    check_goes_on(lab)


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db*"])
def test_a_journal_that_is_removed_under_an_engine_is_written_anew(lab: Lab, name: str) -> None:
    journal = busy_run(lab)
    (pid,) = lab.engine_pids()
    for path in journal.parent.glob(name):
        path.unlink()
    lab.delegate(("new", "echo new >>ran"))
    until(lambda: lab.engine_pids() not in ([], [pid]), "another engine")
    assert lab.told("ERROR", "it was written anew, nothing is lost")
    check_goes_on(lab)
    lab.wait_state(**STATES, new="done", late="done")
    assert not list(journal.parent.glob("journal.damaged-*"))


def test_a_journal_that_is_replaced_under_an_engine_is_kept_aside(lab: Lab) -> None:
    journal = busy_run(lab)
    (pid,) = lab.engine_pids()
    journal.with_name("other").write_text("another file")
    journal.with_name("other").rename(journal)
    lab.delegate(("new", "echo new >>ran"))
    until(lambda: lab.engine_pids() not in ([], [pid]), "another engine")
    check_goes_on(lab)
    (aside,) = journal.parent.glob("journal.damaged-*")
    assert aside.read_text() == "another file" and aside.stat().st_mode & 0o777 == 0o600


def zero(journal: Path) -> None:
    journal.write_bytes(b"")


def text(journal: Path) -> None:
    journal.write_text("this is no database\n" * 1000)


def half(journal: Path) -> None:
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size // 2 + 7)


def first_page(journal: Path) -> None:
    overwrite(journal, [0])


def some_pages(journal: Path) -> None:
    overwrite(journal, range(1, pages_of(journal), 4))


def all_pages(journal: Path) -> None:
    overwrite(journal, range(pages_of(journal)))


def directory(journal: Path) -> None:
    journal.unlink()
    journal.mkdir()


DAMAGES = [zero, text, half, first_page, some_pages, all_pages, directory, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_journal_that_was_damaged_while_no_engine_ran(lab: Lab, damage: Callable[[Path], None]) -> None:
    journal = busy_run(lab)
    kill(lab)
    settle_log(journal)
    damage(journal)
    lab.aiorch("start", "--pane", "%0")
    assert lab.told("ERROR", "the journal was damaged (")
    check_goes_on(lab)


@pytest.mark.parametrize("part", [[0], range(2, 40), range(0, 4000, 8)], ids=["head", "frames", "many"])
def test_a_log_that_was_damaged_while_no_engine_ran(lab: Lab, part: list[int]) -> None:
    journal = busy_run(lab)
    kill(lab)
    wal = journal.with_name("journal.db-wal")
    frames = wal.stat().st_size // 4120
    overwrite(wal, [frame for frame in part if frame < frames], size=4120, start=0)
    lab.aiorch("start", "--pane", "%0")
    assert lab.told("ERROR", "the journal was damaged (")
    check_goes_on(lab)


def test_a_log_that_was_removed_while_no_engine_ran_is_missed(lab: Lab) -> None:
    journal = busy_run(lab)
    kill(lab)
    for path in journal.parent.glob("journal.db-*"):
        path.unlink()
    lab.aiorch("start", "--pane", "%0")
    assert lab.told("ERROR", "the journal was damaged (")
    check_goes_on(lab)
    # It stood in the log alone, and nobody knows of it any more.
    assert "late" not in ran(lab)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE TABLE cats (name TEXT)", "is a database of another program"),
        (f"PRAGMA user_version = {VERSION + 1}", "update the plugin"),
    ],
)
def test_a_file_that_is_not_ours_is_left_as_it_is(lab: Lab, statement: str, words: str) -> None:
    journal = busy_run(lab)
    kill(lab)
    for path in journal.parent.glob("journal.db*"):
        path.unlink()
    database = sqlite3.connect(journal)
    with database:
        database.execute(statement)
        database.execute("CREATE TABLE dogs (name TEXT)")
    database.close()
    before = journal.read_bytes()
    done = lab.aiorch("start", "--pane", "%0", check=False)
    assert words in done.stderr and "Traceback" not in done.stderr
    lab.tmux("run-shell", "-b", lab.tmux("show-options", "-v", "-t", "m", "@aiorch_revive"))
    status = ("display-message", "-p", "-t", "m", "#{AIORCH_STATUS}")
    until(lambda: "engine lost: " in lab.tmux(*status), "the status bar says so")
    assert journal.read_bytes() == before and not list(journal.parent.glob("journal.*-*"))


@pytest.mark.parametrize("stride", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_an_engine_killed_while_it_saves_a_journal_is_followed_by_one_that_goes_on(
    lab: Lab, stride: int
) -> None:
    crashes = Crashes(lab)
    lab.start(CRASHES)
    rounds = Rounds(crashes, stride)
    for number in rounds:
        token = f"t{number}"
        lab.delegate((f"w{number}", f"{crashes.note(token)}; exec sleep 60"))
        crashes.wait_noted(token)
        lab.wait_state(**{f"w{number}": "working"})
        kill(lab)
        journal = lab.run / "journal.db"
        settle_log(journal)
        overwrite(journal, [2 + number % (pages_of(journal) - 2)])
        rounds.arm()
        lab.aiorch("start", "--pane", "%0", check=False)
        rounds.disarm()
        until(lambda: any(alive(pid) for pid in lab.engine_pids()) or _start(lab), "an engine")
        lab.wait_told("LISTENING", "again, after its journal was damaged")
        lab.aiorch("kill", f"w{number}")
        until(lambda: lab.workers_by_state("working") == [], "it has ended")
        noted = crashes.ledger.read_text().split()
        assert sorted(noted) == sorted(f"t{n}" for n in range(number + 1))


def _start(lab: Lab) -> bool:
    lab.aiorch("start", "--pane", "%0", check=False)
    return False


def test_a_run_whose_journal_is_damaged_goes_on_after_the_loss_of_tmux(lab: Lab) -> None:
    journal = busy_run(lab)
    kill(lab)
    name = lab.run.name
    pids = [row.pid for row in lab.workers().values() if row.state == "working"]
    lab.tmux("kill-server")
    until(lambda: not any(alive(pid) for pid in pids), "the workers are gone")
    settle_log(journal)
    overwrite(journal, [0, 5])
    lab.__enter__()
    assert "is damaged" in lab.aiorch("resume", "--list").stdout
    assert f"{name}, whose journal was damaged" in lab.aiorch("resume").stdout
    assert lab.told("ERROR", "the journal was damaged (")
    lab.delegate(("after", "echo after >>ran"))
    lab.wait_state(after="done")
    assert sorted(set(ran(lab))) == ran(lab)
