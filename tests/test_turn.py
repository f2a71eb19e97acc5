"""What the end of a session file says of the last turn (records of Claude Code 2.1.330, Codex 0.169.0)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.capture.transcript.locate import files
from aiorch.engine.turn_end import TurnFile
from aiorch.workers.turn import unfinished_turn


def claude(kind: str, content: object, **more: object) -> dict[str, object]:
    return {"type": kind, "isSidechain": False, "message": {"role": kind, "content": content}, **more}


def codex(kind: str, **more: object) -> dict[str, object]:
    return {"type": "event_msg", "payload": {"type": kind, **more}}


def text(words: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": words}]


ASKED, SAID = claude("user", "do it"), claude("assistant", text("It is done."))
BROKEN = claude("user", text("[Request interrupted by user]"))
REFUSED = claude("user", text("[Request interrupted by user for tool use]"))
FAILED = claude("assistant", text("API Error: 400 too\x1b[2J long"), isApiErrorMessage=True)
NOTE = {"type": "last-prompt", "lastPrompt": "do it"}
BEGUN, ENDED, ABORTED = codex("task_started"), codex("task_complete"), codex("turn_aborted")
WRONG = codex("task_complete", error={"message": "no such model"})


@pytest.mark.parametrize(
    ("format", "records", "told"),
    [
        ("claude", [ASKED, SAID, NOTE], None),
        ("claude", [ASKED, SAID, BROKEN, NOTE], ("waiting", "interrupted")),
        ("claude", [ASKED, REFUSED], ("waiting", "interrupted")),
        ("claude", [ASKED, BROKEN, ASKED, SAID], None),
        ("claude", [ASKED, FAILED], ("error", "API Error: 400 too[2J long")),
        ("claude", [SAID, {**BROKEN, "isSidechain": True}], None),
        ("codex", [BEGUN, ENDED], None),
        ("codex", [BEGUN, ABORTED], ("waiting", "interrupted")),
        ("codex", [BEGUN, ABORTED, BEGUN], ("working", "")),
        ("codex", [BEGUN, WRONG], ("error", "no such model")),
        ("codex", [], None),
        ("aider", [BEGUN], None),
    ],
)
def test_what_the_last_record_of_a_turn_means(
    format: str, records: list[dict[str, object]], told: tuple[str, str] | None
) -> None:
    verdict = unfinished_turn(format, "".join(json.dumps(record) + "\n" for record in records))
    assert told == (verdict and (str(verdict.state), verdict.reason))


@given(st.lists(st.text(alphabet='{}[]":,abc\n type')), st.sampled_from(["claude", "codex"]))
def test_what_is_no_record_says_nothing(lines: list[str], format: str) -> None:
    assert unfinished_turn(format, "\n".join(lines)) is None


def test_a_session_file_is_read_again_only_when_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reads = tmp_path / "x.jsonl", iter(range(2))
    monkeypatch.setattr(files, "end", lambda path: (next(reads), path.read_text())[1])
    path.write_text(json.dumps(ABORTED) + "\n")
    file = TurnFile("codex", path)
    assert file.read() and file.read()
    path.write_text(json.dumps(ABORTED) + "\n" + json.dumps(BEGUN) + "\n")
    verdict = file.read()
    assert verdict and verdict.state == "working" and not list(reads)
