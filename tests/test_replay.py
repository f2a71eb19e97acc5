"""`aiorch replay`: what it prints for a log, sizes and session files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiorch.capture.directive import Directive, Rejected
from aiorch.capture.fuse import NOT_IN_FILE
from aiorch.capture.pane import PaneReader
from aiorch.capture.played import Resize, play
from aiorch.cli import main
from capture_corpus import gutter_of

CORPUS = Path(__file__).parent / "corpus"
LINE = '[ORCHESTRATE] {"task": "Build a REST API with auth"}'


def run(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> tuple[list[dict[str, object]], str]:
    assert main(["replay", *argv]) == code
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


def log(tmp_path: Path, text: str) -> str:
    path = tmp_path / "raw.log"
    path.write_bytes(text.encode())
    return str(path)


def test_lines_of_a_plain_pane_are_unverified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = run(capsys, log(tmp_path, f"hello\r\n{LINE}\r\n"), "--cols", "80", "--rows", "24", "--json")
    assert found == [
        {
            "payload": {"task": "Build a REST API with auth"},
            "source": "plain",
            "provenance": "a line of output",
            "offset": 7,
            "unverified": True,
        }
    ]


def test_a_known_agents_screen_is_unverified(capsys: pytest.CaptureFixture[str]) -> None:
    case = CORPUS / "claude" / "five-classic-80x24"
    found, _ = run(capsys, str(case / "raw.log"), "--agent", "claude", "--json")
    assert [entry["payload"] for entry in found] == json.loads((case / "meta.json").read_text())["expected"]
    assert {entry["source"] for entry in found} == {"screen"}
    assert all(entry["unverified"] is True and "altered" not in entry for entry in found)


def test_what_does_not_count_is_shown_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = log(tmp_path, f"I say {LINE}\r\n[ORCHESTRATE] {{broken}}\r\n")
    assert run(capsys, path, "--json")[0] == []
    near, broken = run(capsys, path, "--json", "--all")[0]
    assert near["ignored"] == "it is not the first thing on its line"
    assert near["payload"] == {"task": "Build a REST API with auth"}
    assert str(broken["ignored"]).startswith("invalid JSON")
    assert broken["payload"] is None
    assert broken["received_as"] == "[ORCHESTRATE] {broken}"


def test_a_readable_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", log(tmp_path, f"{LINE}\r\nso {LINE}\r\n"), "--all"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == '[RECEIVED] at 0 (plain, unverified): {"task": "Build a REST API with auth"}'
    assert second.startswith(
        "[IGNORED]  at 57 (plain, unverified): it is not the first thing on its line: [ORCH"
    )


def test_sizes_change_where_they_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CORPUS / "claude" / "resize-classic-80x24"
    if not case.exists():
        case = next(path for path in CORPUS.glob("claude/resize*classic*"))
    meta = json.loads((case / "meta.json").read_text())
    sizes = tmp_path / "sizes.json"
    sizes.write_text(json.dumps(meta["resizes"]))
    place = ("--cols", str(meta["cols"]), "--rows", str(meta["rows"]), "--resizes", str(sizes))
    found, _ = run(capsys, str(case / "raw.log"), "--agent", "claude", *place, "--json")
    payloads = [entry["payload"] for entry in found]
    assert all(payload in meta["expected"] for payload in payloads)
    assert len({json.dumps(payload) for payload in payloads}) == len(payloads)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["/nowhere/raw.log"], "cannot be read"),
        (["{log}", "--agent", "nobody"], "--agent nobody is unknown; known: claude"),
        (["{log}", "--cols", "0"], "--cols and --rows go from 1 to 10000"),
        (["{log}", "--resizes", "/nowhere/sizes"], "cannot be read"),
        (["{log}", "--resizes", "{log}"], "holds no JSON"),
        (["{log}", "--resizes", "{sizes}"], "must be a list"),
        (["{log}", "--session", "/nowhere/session.jsonl"], "cannot be read"),
        (["{log}", "--session", "{log}"], "is no session file of an agent"),
    ],
)
def test_a_mistake_is_one_sentence(
    argv: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = tmp_path / "sizes.json"
    sizes.write_text('[{"offset": -1, "cols": 80, "rows": 24}]')
    places = {"log": log(tmp_path, "[ORCHESTRATE] x"), "sizes": str(sizes)}
    found, err = run(capsys, *(word.format(**places) for word in argv), "--json", code=2)
    assert found == []
    assert err.startswith("aiorch: ")
    assert words in err
    assert err.count("\n") == 1


CLAUDE_LINE = {
    "type": "assistant",
    "uuid": "u1",
    "sessionId": "s1",
    "timestamp": "2026-11-22T16:00:00Z",
    "message": {"id": "m1", "role": "assistant", "content": [{"type": "text", "text": f"Go:\n\n{LINE}"}]},
}


def session(tmp_path: Path, name: str, text: str) -> str:
    line = json.loads(json.dumps(CLAUDE_LINE))
    line["message"]["content"][0]["text"] = text
    line["uuid"] = line["message"]["id"] = name
    path = tmp_path / f"{name}.jsonl"
    path.write_text(json.dumps(line) + "\n")
    return str(path)


def test_several_session_files_are_read_in_the_order_of_the_conversation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = CORPUS / "claude" / "clear-fullscreen-100x35"
    expected = json.loads((case / "meta.json").read_text())["expected"]
    for names in (["session.jsonl", "session2.jsonl"], ["session2.jsonl", "session.jsonl"]):
        files = [word for name in names for word in ("--session", str(case / name))]
        found, _ = run(
            capsys,
            str(case / "raw.log"),
            "--cols",
            "100",
            "--rows",
            "35",
            "--agent",
            "claude",
            "--json",
            *files,
        )
        assert [entry["payload"] for entry in found] == expected


def test_the_session_file_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = '[ORCHESTRATE] {"task": "only drawn"}'
    drawn = log(tmp_path, f"\x1b[2J\x1b[H● Go:\r\n\r\n  {LINE}\r\n  {other}\r\n")
    said = session(tmp_path, "m1", f"Go:\n\n{LINE}")
    more = session(tmp_path, "m2", LINE)
    argv = (drawn, "--agent", "claude", "--json", "--session", said, "--session", said)
    (found,), _ = run(capsys, *argv)
    assert found["source"] == "transcript"
    assert "unverified" not in found
    assert found["payload"] == {"task": "Build a REST API with auth"}
    # Said again in another message, it is meant again; the same file read twice is no second time.
    assert len(run(capsys, *argv, "--session", more)[0]) == 2
    listed, _ = run(capsys, *argv, "--all")
    assert [entry.get("ignored") for entry in listed] == [None, NOT_IN_FILE]


def test_without_words_of_the_assistant_in_the_file_the_screen_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = log(tmp_path, f"\x1b[2J\x1b[H● Go:\r\n\r\n  {LINE}\r\n")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    argv = (drawn, "--agent", "claude", "--json", "--session")
    assert [entry["source"] for entry in run(capsys, *argv, str(empty))[0]] == ["screen"]
    # Words without any directive are words.
    assert run(capsys, *argv, session(tmp_path, "m1", "I say nothing of the kind."))[0] == []


def test_the_history_of_aider_is_unverified(capsys: pytest.CaptureFixture[str]) -> None:
    case = CORPUS / "aider" / "tool-80x24"
    found, _ = run(capsys, str(case / "raw.log"), "--session", str(case / "session.md"), "--json")
    expected = json.loads((case / "meta.json").read_text())["expected"]
    assert [entry["payload"] for entry in found] == expected
    assert all(entry["unverified"] for entry in found)


@pytest.mark.parametrize("erase", ["\x1b[2J", "\x1b[?1049l", "\x1b[H\x1b[J", "\x1bc", "\x1b[2K\x1b[1A" * 9])
def test_what_is_drawn_and_erased_between_is_found(erase: str) -> None:
    drawn = f"\x1b[?1049h\x1b[H● Go:\r\n\r\n  {LINE}\r\n\r\nmore{erase}"
    for length in (1, 7, 1 << 20):
        data = drawn.encode() + b"\x1b[2J\x1b[Hnothing"
        reader = PaneReader(80, 24, gutter_of("claude"))
        found = list(play(reader, (data[at : at + length] for at in range(0, len(data), length))))
        assert [type(sighting) for sighting in found] == [Directive]


def test_a_size_may_change_within_an_escape_sequence() -> None:
    data = f"\x1b[2J\x1b[H● Go:\r\n\r\n  {LINE}\r\n\x1b[20;1Hend".encode()
    for at in range(len(data) + 1):
        reader = PaneReader(100, 24, gutter_of("claude"))
        found = list(play(reader, [data], [Resize(at, 90, 30), Resize(at, 100, 24)]))
        assert [sighting.payload for sighting in found if isinstance(sighting, Directive)] == [
            {"task": "Build a REST API with auth"}
        ]
        assert not any(isinstance(sighting, Rejected) for sighting in found)
