"""The local Messages API by itself; with the real program: test_real_claude."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from support.mock_claude import ClaudeUnavailableError, MockClaude, claude_env, install_claude, prepare_home
from support.mock_model import Answer


def post(mock: MockClaude, body: dict[str, object], path: str = "/v1/messages") -> str:
    request = urllib.request.Request(mock.url + path, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


def streamed_text(stream: str) -> str:
    events = [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line[:5] == "data:"]
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")
    return "".join(event.get("delta", {}).get("text", "") for event in events)


def test_first_answer_of_a_conversation_is_the_reply_then_it_is_over() -> None:
    user = {"role": "user", "content": [{"type": "text", "text": "build it"}]}
    body: dict[str, object] = {"model": "m", "stream": True, "tools": [{"name": "Bash"}], "messages": [user]}
    with MockClaude(Answer('[ORCHESTRATE] {"task": "ü"}')) as mock:
        assert streamed_text(post(mock, body)) == '[ORCHESTRATE] {"task": "ü"}'
        body["messages"] = [user, {"role": "assistant", "content": "x"}, {"role": "user", "content": "more"}]
        assert "ORCHESTRATE" not in streamed_text(post(mock, body))
        assert mock.prompts == ["build it", "build it", "more"]


def test_side_requests_get_a_short_answer() -> None:
    with MockClaude(Answer("reply")) as mock:
        body: dict[str, object] = {"messages": [{"role": "user", "content": "title?"}]}
        assert json.loads(post(mock, body))["content"][0]["text"] == "ok"
        assert json.loads(post(mock, body, "/v1/messages/count_tokens"))["input_tokens"] == 10
        assert mock.prompts == []


def test_home_answers_the_questions_of_a_first_start(tmp_path: Path) -> None:
    prepare_home(tmp_path, tmp_path / "project")
    settings = json.loads((tmp_path / ".claude.json").read_text())
    env = claude_env(tmp_path, "http://127.0.0.1:1")
    assert settings["customApiKeyResponses"]["approved"] == [env["ANTHROPIC_API_KEY"][-20:]]
    assert settings["projects"][str(tmp_path / "project")]["hasTrustDialogAccepted"]


def test_no_npm_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIORCH_TEST_CACHE", str(tmp_path))
    monkeypatch.setattr("support.npm.shutil.which", lambda _: None)
    with pytest.raises(ClaudeUnavailableError, match="npm is not installed"):
        install_claude()
