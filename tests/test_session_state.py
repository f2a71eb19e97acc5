"""What agents' session files say of their state, played as they grew."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.workers.growing_file import GrowingFile
from aiorch.workers.session_state import TAIL_BYTES, session_state
from aiorch.workers.state import AgentState

CORPUS = Path(__file__).parent / "corpus"
FILES = [path for agent in ("codex", "copilot") for path in sorted(CORPUS.glob(f"{agent}/*/session.jsonl"))]
DATABASES = sorted(CORPUS.glob("opencode/*/session.db"))


def grown(path: Path, folder: Path) -> list[str]:
    """Return the states that a file went through, each once, as its lines came."""
    agent, copy = path.parent.parent.name, folder / "session.jsonl"
    reader = session_state(agent, copy, "")
    assert reader is not None and reader.read() is None
    found = []
    with copy.open("w") as file:
        for line in path.read_text().splitlines(keepends=True):
            # Half a line says nothing.
            for part in (line[: len(line) // 2], line[len(line) // 2 :]):
                file.write(part)
                file.flush()
                verdict = reader.read()
                found.append(str(verdict.state) if verdict else "")
    return [state for state, _ in groupby(found) if state]


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_a_turn_is_under_way_from_its_start_to_its_end(path: Path, tmp_path: Path) -> None:
    states = grown(path, tmp_path)
    assert states[0] == "working" and {"idle", "exited"} & set(states[-2:]), states
    assert ("waiting" in states) is (path.parent.name + path.parts[-3] == "approve-80x24copilot")


@pytest.mark.parametrize("path", DATABASES, ids=lambda path: path.parent.name)
def test_the_last_message_of_a_database_tells(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "opencode.db"
    shutil.copy(path, copy)
    database = sqlite3.connect(copy)
    messages = database.execute("SELECT id, session_id, data FROM message ORDER BY time_created").fetchall()
    session = messages[-1][1]
    reader = session_state("opencode", copy, session)
    assert reader is not None
    ends = reader.read()
    failed = "error" in json.loads(messages[-1][2])
    assert ends and ends.state is (AgentState.ERROR if failed else AgentState.IDLE)
    for number, _, _ in reversed(messages[1:]):
        with database:
            database.execute("DELETE FROM message WHERE id = ?", (number,))
        before = reader.read()
        assert before and before.state is AgentState.WORKING, number
    database.close()


def test_words_of_a_turn_that_are_far_behind_still_count(tmp_path: Path) -> None:
    path = tmp_path / "rollout.jsonl"
    path.write_text('{"type": "event_msg", "payload": {"type": "task_started"}}\n')
    reader = session_state("codex", path, "")
    assert reader is not None and reader.read()
    with path.open("a") as file:
        file.write(json.dumps({"type": "response_item", "text": "x" * 2 * TAIL_BYTES}) + "\n")
    verdict = reader.read()
    assert verdict and verdict.state is AgentState.WORKING
    path.unlink()
    assert reader.read() == verdict


@given(st.binary(max_size=300))
def test_rubbish_says_nothing(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("x") / "session.jsonl"
    path.write_bytes(data)
    for agent in ("codex", "copilot"):
        reader = session_state(agent, path, "")
        assert reader is not None and reader.read() is None


def test_other_agents_files_say_nothing_of_their_state() -> None:
    for agent in ("claude", "gemini", "qwen", "aider", "shell"):
        assert session_state(agent, Path("/x"), "s") is None


def test_what_is_appended_is_read_once_and_a_file_that_is_written_anew_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "x"
    file = GrowingFile(path, 20)
    assert file.read() == []
    path.write_text("first\nha")
    assert file.read() == [b"first", b"ha"] and file.read() == []
    with path.open("a") as more:
        more.write("lf\nlast\n")
    assert file.read() == [b"half", b"last", b""]
    path.write_text("new\n")
    assert file.read() == [b"new", b""]
    path.write_text("other and longer\nend\n")
    assert file.read() == [b"ther and longer", b"end", b""]
    path.unlink()
    os.mkfifo(path)
    assert file.read() == []
