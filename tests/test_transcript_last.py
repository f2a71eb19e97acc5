"""How a session ended: the last message of every recorded session, and the tools that were refused."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from aiorch.capture.transcript.aider import endings
from aiorch.capture.transcript.follow import FORMATS
from aiorch.capture.transcript.last import HEAD, TAIL, Last, read_last
from support.lab import REPO

CORPUS = REPO / "tests/corpus"
SAID = {
    "short": "Waiting for the workers",
    "md": "As `inline`: done.",
    "fencelong": "Done.",
    "three": "",
}


def session_of(folder: Path) -> tuple[Path, str]:
    path = next(folder.glob("session.*"))
    if path.suffix != ".db":
        return path, ""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    (session,) = database.execute("SELECT id FROM session WHERE parent_id IS NULL").fetchone()
    database.close()
    return path, session


@pytest.mark.parametrize("agent", FORMATS)
@pytest.mark.parametrize("case", ["short", "md", "fencelong"])
def test_last_message_is_the_end_of_what_was_said(agent: str, case: str) -> None:
    name = f"{case}-fullscreen-80x24" if agent == "claude" else f"{case}-80x24"
    folder = CORPUS / agent / {"md-fullscreen-80x24": "mda-fullscreen-80x24"}.get(name, name)
    path, session = session_of(folder)
    found = read_last(agent, path, session=session)
    expected = json.loads((folder / "meta.json").read_text())["expected"]
    assert found.text and found.text == found.text.strip()
    assert f'"task": {json.dumps(expected[-1]["task"], ensure_ascii=False)[:20]}' in found.text
    if agent != "claude":
        assert found.text.rstrip(".").endswith(SAID[case].rstrip("."))
    assert (found.failed, found.denied) == ((), ())


def test_every_recorded_session_can_be_read_and_has_its_answers() -> None:
    silent = []
    for agent in FORMATS:
        for folder in sorted((CORPUS / agent).iterdir()):
            if not any(folder.glob("session.*")):
                continue
            path, session = session_of(folder)
            found = read_last(agent, path, session=session)
            if not found.text and json.loads((folder / "meta.json").read_text())["expected"]:
                silent.append(folder.name)
    assert silent == []


def test_what_was_said_before_does_not_count() -> None:
    path, _ = session_of(CORPUS / "codex/short-80x24")
    assert read_last("codex", path, since=2e9) == Last()


def test_tool_that_was_denied_is_told_by_the_field_of_its_own() -> None:
    path = REPO / "tests/data/claude-denied.jsonl"
    found = read_last("claude", path)
    assert found.text == "It was not possible."
    assert len(found.denied) == 1 and found.denied[0].startswith("This Bash command contains multiple")


def test_person_who_refuses_and_goes_on_is_no_denial(tmp_path: Path) -> None:
    lines = (
        (REPO / "tests/data/claude-denied.jsonl").read_text().replace('"sdk-cli"', '"cli"').splitlines(True)
    )
    session = tmp_path / "session.jsonl"
    session.write_text("".join(lines))
    assert read_last("claude", session).denied == ()
    # The last line is what was said after it.
    session.write_text("".join(lines[:-1]))
    assert len(read_last("claude", session).denied) == 1
    session.write_text("".join(lines[:-1]).replace('"user-rejected"', '"interrupted"'))
    assert read_last("claude", session).denied == ()


def test_refused_tool_is_told_where_nothing_names_it() -> None:
    path, _ = session_of(CORPUS / "claude/permdeny-classic-100x35")
    found = read_last("claude", path)
    assert found.failed == found.failed_last
    assert found.failed[0].startswith("The user doesn't want to proceed with this tool use.")


def test_long_session_is_read_in_part(tmp_path: Path) -> None:
    path, _ = session_of(CORPUS / "codex/short-80x24")
    head, *rest = path.read_text().splitlines(True)
    session = tmp_path / "session.jsonl"
    filler = json.dumps({"timestamp": "2026-01-01T00:00:00Z", "type": "noise", "payload": "x" * 4000}) + "\n"
    session.write_text(head + filler * ((HEAD + TAIL) // len(filler) + 10) + "".join(rest))
    assert read_last("codex", session).text == read_last("codex", path).text != ""


@pytest.mark.parametrize("agent", FORMATS)
def test_file_that_is_none_says_nothing(agent: str, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\x00\xff{\n[]\n{}\n")
    for path in (tmp_path, tmp_path / "none", tmp_path / "noise", Path("/dev/null")):
        assert read_last(agent, path) == Last()


def test_aiders_chats_are_told_apart_by_time_and_task(tmp_path: Path) -> None:
    chats = []
    for second, case in enumerate(("short", "err400", "md")):
        text = (CORPUS / f"aider/{case}-80x24/session.md").read_text()
        chats.append(text.replace(text.split("started at ")[1][:19], f"2026-11-22 12:00:0{second}"))
    history = tmp_path / "history.md"
    history.write_text("".join(chats))
    first = endings(history.read_text())[0].began or 0.0
    assert read_last("aider", history, since=first, task="CASE=md please go on.").text.endswith("done.")
    failed = read_last("aider", history, since=first, task="CASE=err400 please go on.")
    assert (failed.text, failed.notes[0][:24]) == ("", "litellm.BadRequestError:")
    # Two that could be it are none.
    assert read_last("aider", history, since=first, task="something else") == Last()
    assert read_last("aider", history, since=first + 3.0, task="something else").text.endswith("done.")
