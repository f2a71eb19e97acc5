"""What a worker says, read from its agent's own session file: all of it, once, from where one was on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from aiorch.capture.transcript.follow import FORMATS, open_transcript
from aiorch.journal import WorkerRow, WorkerState
from aiorch.paths import RunPaths
from aiorch.words import TRANSCRIPT, Words, read_words

CORPUS = Path(__file__).parent / "corpus"


def row_of(agent: str, file: Path) -> WorkerRow:
    record = json.dumps({"format": agent, "path": str(file), "session": ""})
    return WorkerRow(
        1, 1, "api", agent, agent, "task", (), WorkerState.WORKING, "", 1, 0.0, "%1", 1, None, "", 0.0, 0.0,
        None, record=record,
    )  # fmt: skip


def words_of(agent: str, file: Path, cursor: object = None) -> Words:
    return read_words(RunPaths(Path("/nowhere")), "", row_of(agent, file), cursor)


@pytest.mark.parametrize("agent", FORMATS)
def test_every_agents_session_file_is_read_whole_and_once(agent: str) -> None:
    files = sorted(CORPUS.glob(f"{agent}/*/session*"))
    assert files
    said = 0
    for file in files:
        found = words_of(agent, file)
        assert found.source == TRANSCRIPT
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", found.text)
        marked = open_transcript(agent, file).read()
        for one in marked:
            lines = [line.strip() for line in one.text.splitlines() if line.isprintable()]
            assert all(line in found.text for line in lines), file
        said += bool(found.text)
        # As a program hands it back: what it has read does not come again.
        cursor = json.loads(json.dumps(found.cursor))
        again = words_of(agent, file, cursor)
        assert not again.text or agent == "aider", file
    assert said > len(files) / 2


def test_what_is_written_later_comes_from_the_cursor_on(tmp_path: Path) -> None:
    source = next(iter(sorted(CORPUS.glob("claude/short-*/session*"))))
    lines = source.read_bytes().splitlines(keepends=True)
    file = tmp_path / source.name
    file.write_bytes(b"".join(lines[: len(lines) // 2]))
    first = words_of("claude", file)
    file.write_bytes(b"".join(lines))
    second = words_of("claude", file, json.loads(json.dumps(first.cursor)))
    whole = words_of("claude", file)
    assert "\n\n".join(filter(None, (first.text, second.text))) == whole.text
    assert whole.text


def test_a_file_that_is_gone_says_nothing(tmp_path: Path) -> None:
    assert words_of("claude", tmp_path / "none.jsonl").text == ""
