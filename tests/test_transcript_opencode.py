"""OpenCode's database: read while its owner writes, in parts, and without leaving a trace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiorch.capture.transcript.database import Database
from aiorch.capture.transcript.follow import Transcript, open_transcript

SCHEMA = """
CREATE TABLE session (id text PRIMARY KEY, parent_id text, directory text NOT NULL);
CREATE TABLE message (id text PRIMARY KEY, session_id text NOT NULL, data text NOT NULL);
CREATE TABLE part (id text PRIMARY KEY, message_id text NOT NULL, session_id text NOT NULL,
  time_updated integer NOT NULL, data text NOT NULL);
CREATE INDEX part_session_idx ON part (session_id);
"""
OWNERS: list[Owner] = []
SAY = '[ORCHESTRATE] {"task": "t"}'


class Owner:
    """Writes as OpenCode does."""

    def __init__(self, path: Path, journal: str = "wal") -> None:
        self.path = path
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute(f"PRAGMA journal_mode={journal}")
        self.db.executescript(SCHEMA)
        self.session("ses")
        OWNERS.append(self)

    def session(self, name: str, parent: str | None = None, directory: str = "/p") -> None:
        self.db.execute("INSERT INTO session VALUES (?, ?, ?)", (name, parent, directory))
        self.message(f"msg_{name}", name)

    def message(self, name: str, session: str = "ses", role: str = "assistant", **more: object) -> None:
        data = json.dumps({"role": role, "time": {"created": 5}, **more})
        self.db.execute("INSERT OR REPLACE INTO message VALUES (?, ?, ?)", (name, session, data))

    def part(self, name: str, text: str, start: int, end: int | None, **more: object) -> None:
        session = str(more.pop("session", "ses"))
        message = str(more.pop("message", f"msg_{session}"))
        time = {"start": start} if end is None else {"start": start, "end": end}
        data = json.dumps({"type": "text", "text": text, "time": time, **more})
        values = (name, message, session, 0, data)
        self.db.execute("INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, ?)", values)
        self.db.execute("UPDATE part SET data = ? WHERE id = ?", (data, name))


@pytest.fixture(autouse=True)
def _no_owner_is_left() -> Iterator[None]:
    yield
    while OWNERS:
        OWNERS.pop().db.close()


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path / "open code?%23.db")


def texts(transcript: Transcript) -> list[str]:
    return [one.text for one in transcript.read()]


def again(transcript: Transcript) -> Transcript:
    return open_transcript("opencode", transcript.path, json.loads(json.dumps(transcript.cursor)))


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_text_counts_when_it_is_finished(tmp_path: Path, journal: str) -> None:
    owner = Owner(tmp_path / "o.db", journal)
    transcript = open_transcript("opencode", owner.path)
    assert texts(transcript) == []
    owner.part("p1", "", 1, None)
    assert texts(transcript) == []
    owner.part("p1", SAY, 1, None)
    assert texts(transcript) == []
    owner.part("p2", f"{SAY} ", 2, 3)
    assert texts(transcript) == [f"{SAY} "]
    owner.part("p1", f"{SAY}\nDone.", 1, 4500)
    assert [(one.text, one.time) for one in transcript.read()] == [(f"{SAY}\nDone.", 4.5)]
    assert texts(transcript) == []


def test_an_aborted_text_counts_when_its_message_is_finished(owner: Owner) -> None:
    transcript = open_transcript("opencode", owner.path)
    owner.part("p1", SAY, 1, None)
    assert texts(transcript) == []
    transcript = again(transcript)
    owner.message("msg_ses", time={"created": 5, "completed": 9})
    assert texts(transcript) == [SAY]
    assert texts(again(transcript)) == []


def test_what_others_say_does_not_count(owner: Owner) -> None:
    owner.session("child", parent="ses")
    owner.message("user", role="user")
    owner.message("summary", summary=True)
    owner.message("compaction", mode="compaction")
    owner.part("p1", SAY, 1, 2, session="child")
    for number, name in enumerate(("user", "summary", "compaction", "missing")):
        owner.part(f"q{number}", SAY, 1, 2, message=name)
    owner.part("r1", SAY, 1, 2, synthetic=True)
    owner.part("r2", SAY, 1, 2, type="reasoning")
    owner.part("r3", "", 1, 2, type="tool", state={"output": SAY, "text": SAY})
    owner.db.execute("INSERT INTO part VALUES ('r4', 'msg_ses', 'ses', 0, ?)", (f'"text" {SAY}',))
    assert texts(open_transcript("opencode", owner.path)) == []


def test_one_session_is_read_alone(owner: Owner) -> None:
    owner.session("other")
    owner.part("p1", SAY, 1, 2, session="other")
    ours = open_transcript("opencode", owner.path, session="ses")
    theirs = open_transcript("opencode", owner.path, session="other")
    assert (texts(ours), texts(theirs)) == ([], [SAY])
    owner.part("p2", SAY, 3, 4)
    owner.part("p3", f"{SAY}\n", 5, 6, session="other")
    assert (texts(ours), texts(theirs)) == ([SAY], [f"{SAY}\n"])


def test_a_fork_keeps_the_identity(owner: Owner) -> None:
    owner.part("p1", SAY, 1, 2)
    owner.session("fork")
    owner.part("p2", SAY, 1, 2, session="fork")
    owner.part("p3", SAY, 7, 8, session="fork")
    said = open_transcript("opencode", owner.path).read()
    assert [one.conversation for one in said] == ["ses", "fork", "fork"]
    assert [one.message for one in said].index(said[2].message) == 2
    assert said[0].message == said[1].message


def test_rows_that_take_the_place_of_deleted_ones_are_read(owner: Owner) -> None:
    transcript = open_transcript("opencode", owner.path)
    owner.part("p1", "one", 1, 2)
    owner.part("p2", "two", 3, 4)
    assert texts(transcript) == []
    owner.db.execute("DELETE FROM part WHERE id = 'p2'")
    owner.part("p3", SAY, 5, 6)
    assert texts(transcript) == [SAY]
    owner.db.execute("DELETE FROM part WHERE id = 'p1'")
    owner.db.execute("VACUUM")
    owner.part("p4", f"{SAY}\n", 7, 8)
    assert texts(transcript)[-1] == f"{SAY}\n"


def test_each_wake_up_reads_only_what_is_new(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    owner.db.execute("BEGIN")
    for number in range(3000):
        owner.part(f"p{number}", "some words" * 20, number, number)
    owner.db.execute("COMMIT")
    transcript = open_transcript("opencode", owner.path, session="ses")
    assert texts(transcript) == []
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    real = sqlite3.connect

    def connect(*args: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*args, **options)  # type: ignore[call-overload]
        connection.set_progress_handler(count, 1)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    owner.part("new", SAY, 9000, 9001)
    assert texts(transcript) == [SAY]
    assert 0 < steps < 300


def test_a_busy_half_made_or_strange_database_waits(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    transcript = open_transcript("opencode", path)
    assert transcript.read() == []
    os.mkfifo(path)
    assert transcript.read() == []
    path.unlink()
    path.write_bytes(b"")
    assert transcript.read() == []
    path.write_bytes(b"no database " * 100)
    assert transcript.read() == []
    path.unlink()
    owner = Owner(path, "delete")
    owner.part("p1", SAY, 1, 2)
    owner.db.execute("BEGIN EXCLUSIVE")
    assert transcript.read() == []
    owner.db.execute("COMMIT")
    assert texts(transcript) == [SAY]
    owner.db.execute("ALTER TABLE part RENAME TO parts")
    assert transcript.read() == []


def test_a_replaced_database_is_read_from_its_start(owner: Owner, tmp_path: Path) -> None:
    owner.part("p1", "one", 1, 2)
    owner.part("p2", SAY, 3, 4)
    transcript = open_transcript("opencode", owner.path)
    first = transcript.read()
    other = Owner(tmp_path / "other.db", "delete")
    other.part("q1", SAY, 3, 4)
    owner.db.close()
    other.db.close()
    other.path.replace(owner.path)
    assert [one.message for one in transcript.read()] == [one.message for one in first]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def at_rest(owner: Owner) -> None:
    owner.db.close()


def in_use(owner: Owner) -> None:
    pass


def without_shm(owner: Owner) -> None:
    copies = owner.path.parent / "copies"
    copies.mkdir()
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{owner.path}{suffix}", f"{copies / owner.path.name}{suffix}")
    owner.db.close()
    owner.path.unlink()
    for path in copies.iterdir():
        path.rename(owner.path.with_name(path.name))
    copies.rmdir()


@pytest.mark.parametrize("state", [at_rest, in_use, without_shm])
def test_reading_leaves_no_trace(tmp_path: Path, state: Callable[[Owner], None]) -> None:
    owner = Owner(tmp_path / "o.db")
    owner.part("p1", SAY, 1, 2)
    state(owner)
    before = contents(tmp_path)
    assert texts(open_transcript("opencode", owner.path)) == [SAY]
    assert contents(tmp_path) == before
    if state is in_use:
        owner.part("p2", SAY, 3, 4)
        owner.db.close()
        assert contents(tmp_path).keys() == {"o.db"}


def test_a_killed_owners_log_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    script = (
        "import signal, sqlite3, sys\n"
        "from pathlib import Path\n"
        "from test_transcript_opencode import Owner, SAY\n"
        "owner = Owner(Path(sys.argv[1])); owner.part('p1', SAY, 1, 2)\n"
        "print('ready', flush=True); signal.pause()\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    environment = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    before = contents(tmp_path)
    assert set(before) == {"o.db", "o.db-wal", "o.db-shm"}
    assert texts(open_transcript("opencode", path)) == [SAY]
    assert contents(tmp_path) == before


def test_what_was_read_while_the_file_changed_at_rest_is_thrown_away(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.part("p1", SAY, 1, 2)
    owner.db.close()
    transcript = open_transcript("opencode", owner.path)
    answers = iter([((1,), ()), ((1,), ()), ((2,), (3,))])
    with monkeypatch.context() as patch:
        patch.setattr(Database, "_signature", lambda self: next(answers))
        assert transcript.read() == []
    assert texts(transcript) == [SAY]


def test_a_writer_at_work_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from test_transcript_opencode import Owner, SAY\n"
        "owner = Owner(Path(sys.argv[1]))\n"
        "owner.db.execute('PRAGMA wal_autocheckpoint=20')\n"
        "for n in range(300):\n"
        "    owner.part(f'p{n}', '', n, None)\n"
        "    owner.part(f'p{n}', SAY + str(n), n, None)\n"
        "    owner.part(f'p{n}', SAY + '\\n' + str(n), n, n + 1)\n"
    )
    environment = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}
    transcript = open_transcript("opencode", path)
    found: list[str] = []
    with subprocess.Popen([sys.executable, "-c", script, str(path)], env=environment) as process:
        while process.poll() is None:
            found += texts(transcript)
            transcript = again(transcript)
    found += texts(transcript)
    assert process.returncode == 0
    assert sorted(found) == sorted(f"{SAY}\n{number}" for number in range(300))
