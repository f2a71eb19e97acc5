"""Following session files while they grow, and through all that can happen to a file."""

from __future__ import annotations

import json
import os
import tracemalloc
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiorch.capture.transcript.follow import Transcript, guess_format, open_transcript
from aiorch.capture.transcript.line_file import MAX_LINE, LineFile
from aiorch.capture.transcript.said import Said
from aiorch.errors import TranscriptError
from test_transcript_corpus import CORPUS, session_files

GROWING = ("claude", "codex", "gemini", "qwen", "copilot", "aider")
RECORDS = GROWING[:-1]
MANY = {"claude": "five-ax-100x35", "aider": "fence-80x24", "copilot": "scroll-140x45"}


def sample(agent: str) -> bytes:
    """Return a session with directives in it, and behind it one that begins anew."""
    files = session_files(agent)
    first = [file for file in files if file.parent.name == MANY.get(agent, "three-80x24")]
    second = [file for file in files if file.parent.name == "short-80x24"]
    return b"".join(file.read_bytes() for file in first + second)


def record(text: str, uuid: str = "u1", **more: object) -> bytes:
    """Return a line of Claude's."""
    message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
    line = {"type": "assistant", "uuid": uuid, "sessionId": "s", "message": message, **more}
    return json.dumps(line).encode() + b"\n"


def directive(task: str) -> str:
    return f'[ORCHESTRATE] {{"task": "{task}"}}'


def again(transcript: Transcript, agent: str) -> Transcript:
    return open_transcript(agent, transcript.path, json.loads(json.dumps(transcript.cursor)))


@pytest.mark.parametrize("agent", GROWING)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_split_and_any_restart_give_the_same(agent: str, data: st.DataObject) -> None:
    whole = sample(agent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    restart = data.draw(st.booleans())
    with TemporaryDirectory() as folder:
        path = Path(folder) / "session"
        path.write_bytes(whole)
        expected = open_transcript(agent, path).read()
        path.unlink()
        transcript = open_transcript(agent, path)
        found: list[Said] = []
        for start, end in pairwise([0, *cuts, len(whole)]):
            with path.open("ab") as file:
                file.write(whole[start:end])
            found += transcript.read()
            if restart:
                transcript = again(transcript, agent)
    assert expected
    assert found == expected


@pytest.mark.parametrize("agent", RECORDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_lines_that_are_no_records_change_nothing(agent: str, data: st.DataObject) -> None:
    lines = sample(agent).splitlines(keepends=True)
    junk = st.one_of(
        st.binary(max_size=40).filter(lambda raw: b"\n" not in raw),
        st.sampled_from(
            [b"[]", b"null", b'{"type":', b'{"type": 7}', b"[" * 5000, b"\xff[ORCHESTRATE]", b""]
        ),
        st.sampled_from([b'{"type": "assistant", "message": "[ORCHESTRATE] {}"}', b'{"payload": [1]}']),
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "session"
        path.write_bytes(b"".join(lines))
        expected = [(one.text, one.message) for one in open_transcript(agent, path).read()]
        path.write_bytes(b"".join(line + data.draw(junk) + b"\n" for line in lines))
        found = [(one.text, one.message) for one in open_transcript(agent, path).read()]
    assert found == expected


def test_half_a_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    line = record(directive("one"))
    path.write_bytes(line[:-1])
    transcript = open_transcript("claude", path)
    assert transcript.read() == []
    path.write_bytes(line)
    assert [one.text for one in transcript.read()] == [directive("one")]
    assert transcript.read() == []


def test_a_file_that_grows_no_more_gives_its_last_line_too(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(record(directive("one")) + record(directive("two"), "u2")[:-1])
    assert [one.message for one in open_transcript("claude", path).finish()] == ["u1/0", "u2/0"]


def test_a_file_may_come_late_vanish_and_be_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "later" / "s.jsonl"
    transcript = open_transcript("claude", path)
    assert transcript.read() == []
    path.parent.mkdir()
    path.mkdir()
    assert transcript.read() == []
    path.rmdir()
    os.mkfifo(path)
    assert transcript.read() == []
    path.unlink()
    path.write_bytes(record(directive("one")))
    assert len(transcript.read()) == 1
    path.rename(path.with_suffix(".away"))
    assert transcript.read() == []
    path.with_suffix(".away").rename(path)
    with path.open("ab") as file:
        file.write(record(directive("two"), "u2"))
    assert [one.message for one in transcript.read()] == ["u2/0"]
    assert open_transcript("claude", Path("a\0b")).read() == []


@pytest.mark.parametrize("how", ["truncated", "replaced", "overwritten"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_file_that_began_anew_is_read_from_its_start(tmp_path: Path, how: str, restarted: bool) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(record(directive("one")) + record(directive("two"), "u2"))
    transcript = open_transcript("claude", path)
    before = transcript.read()
    if restarted:
        transcript = again(transcript, "claude")
    new = record(directive("two"), "u2") + record(directive("three, which is longer"), "u3")
    if how == "truncated":
        path.write_bytes(b"")
        assert transcript.read() == []
        path.write_bytes(new)
    elif how == "replaced":
        other = tmp_path / "other"
        other.write_bytes(record(directive("one")) + new)
        other.replace(path)
    else:
        path.write_bytes(new)
    messages = [one.message for one in transcript.read()]
    assert messages[-2:] == ["u2/0", "u3/0"]
    assert before[1].message == "u2/0"


def test_the_state_of_a_file_that_began_anew_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    first, second = (CORPUS / "codex" / name / "session.jsonl" for name in ("three-80x24", "short-80x24"))
    path.write_bytes(first.read_bytes())
    transcript = open_transcript("codex", path)
    old = {one.conversation for one in transcript.read()}
    path.write_bytes(b"")
    transcript.read()
    path.write_bytes(second.read_bytes())
    new = {one.conversation for one in transcript.read()}
    assert len(new) == 1
    assert new.isdisjoint(old)


def test_a_huge_line_costs_neither_time_nor_memory_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(record(directive("one")))
    transcript = open_transcript("claude", path)
    assert len(transcript.read()) == 1
    piece = b"x" * 65536
    tracemalloc.start()
    with path.open("ab", buffering=0) as file:
        file.write(b'{"type": "file-history-snapshot", "blob": "')
        for _ in range(160):
            file.write(piece)
            assert transcript.read() == []
        most = tracemalloc.get_traced_memory()[1]
        file.write(b'"}\n' + record(directive("two"), "u2"))
        assert [one.message for one in transcript.read()] == ["u2/0"]
        left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert most < 2 << 20
    assert left < 1 << 20


def test_no_byte_of_an_unfinished_line_is_searched_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.jsonl"
    read = 0
    real = os.pread

    def count(descriptor: int, length: int, offset: int) -> bytes:
        nonlocal read
        data = real(descriptor, length, offset)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", count)
    lines = LineFile(path)
    with path.open("ab", buffering=0) as file:
        for _ in range(500):
            file.write(b"y" * 2000)
            assert list(lines.read()) == []
    assert read == 500 * 2000


def test_a_line_above_the_limit_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with path.open("wb") as file:
        file.truncate(MAX_LINE + 1)
        file.seek(0, os.SEEK_END)
        file.write(directive("no").encode() + b"\n" + record(directive("yes")))
    transcript = open_transcript("claude", path)
    assert [one.text for one in transcript.read()] == [directive("yes")]
    assert again(transcript, "claude").read() == []


def test_a_silent_file_costs_one_stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(record(directive("one")))
    transcript = open_transcript("claude", path)
    transcript.read()
    monkeypatch.setattr(os, "open", None)
    assert transcript.read() == []


@pytest.mark.parametrize(
    "cursor", [None, 7, [], {}, {"file": {"offset": -1}}, {"file": {"offset": 10**9, "inode": 1, "tail": ""}}]
)
@pytest.mark.parametrize("agent", ["claude", "aider", "opencode"])
def test_a_cursor_that_does_not_fit_is_as_none(agent: str, cursor: object) -> None:
    file = session_files(agent)[-1]
    assert open_transcript(agent, file, cursor).read() == open_transcript(agent, file).read()


def test_an_unknown_format_says_which_are_known(tmp_path: Path) -> None:
    with pytest.raises(TranscriptError, match="claude"):
        open_transcript("vim", tmp_path)
    (tmp_path / "x").write_text("nothing\n{}\n")
    with pytest.raises(TranscriptError, match="no session file"):
        guess_format(tmp_path / "x")
    with pytest.raises(TranscriptError, match="cannot read"):
        guess_format(tmp_path / "y")
    assert guess_format(tmp_path / "y", "codex") == "codex"
