"""Real Claude Code with nobody's model behind it: a local Messages API that answers by script.

`install_claude` gets the program, `MockClaude` is the server, `prepare_home` and `claude_env` give it
a HOME and an environment in which it starts without a question. Seen to work with 2.1.330.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import npm
from support.mock_model import Answer, Handler, MockModel, chunks

VERSION = "2.1.330"
KEY = "sk-ant-dummy-key-of-the-test-suite-0000000000000000"


class ClaudeUnavailableError(Exception):
    """Claude Code cannot be had here; the message says why."""


def install_claude() -> Path:
    """Return the path of the `claude` program, installed by npm at first use (370 MB).

    Raises ClaudeUnavailableError without npm or registry.
    """
    try:
        return npm.install("@anthropic-ai/claude-code", VERSION, "@anthropic-ai/claude-code-*/claude")
    except npm.NpmError as error:
        raise ClaudeUnavailableError(str(error)) from error


def prepare_home(home: Path, project: Path, *, trusts: bool = True) -> None:
    """Write what the program would have asked at its first start; without it, it exits when offline.

    Unless it `trusts` the project, it asks about that.
    """
    settings: dict[str, object] = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
        "projects": {str(project): {"hasTrustDialogAccepted": True}} if trusts else {},
    }
    (home / ".claude.json").write_text(json.dumps(settings), encoding="utf-8")


def claude_env(home: Path, url: str) -> dict[str, str]:
    """Return the whole environment for the program (tmux adds TMUX and TMUX_PANE, which it needs)."""
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


class MockClaude(MockModel):
    """A Messages API on loopback."""

    @staticmethod
    def handler() -> type[Handler]:
        return _Handler

    def said(self, request: dict[str, Any]) -> list[str]:
        messages = [message for message in request.get("messages", []) if message["role"] == "user"]
        return [text for message in messages for text in _texts(message)]


def _texts(message: dict[str, Any]) -> list[str]:
    content = message["content"]
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content if block.get("type") == "text"]


def _message(content: list[dict[str, Any]], model: object, stop: str | None) -> dict[str, Any]:
    return {
        "id": "msg_mock",
        "type": "message",
        "role": "assistant",
        "model": str(model),
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }


def _tools(answer: Answer) -> list[dict[str, Any]]:
    """Return the use of a tool in an answer, if there is one."""
    calls: list[tuple[str, dict[str, object]]] = [("Bash", {"command": answer.run})] if answer.run else []
    calls += [(answer.call, dict(answer.arguments))] if answer.call else []
    # An id of its own: a program takes what it did once for done.
    return [
        {"type": "tool_use", "id": f"toolu_{os.urandom(8).hex()}", "name": name, "input": given}
        for name, given in calls
    ]


def _block(index: int, block: dict[str, Any], deltas: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield {"type": "content_block_start", "index": index, "content_block": block}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


class _Handler(Handler):
    path_of_answers = "/messages"

    def first_events(self, answer: Answer, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"type": "message_start", "message": _message([], request.get("model"), None)}
        if answer.text:
            deltas = [{"type": "text_delta", "text": part} for part in chunks(answer.text)]
            yield from _block(0, {"type": "text", "text": ""}, deltas)

    def last_events(self, answer: Answer, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for tool in _tools(answer):
            delta = {"type": "input_json_delta", "partial_json": json.dumps(tool["input"])}
            yield from _block(1 if answer.text else 0, {**tool, "input": {}}, [delta])
        end = {"stop_reason": "tool_use" if _tools(answer) else "end_turn", "stop_sequence": None}
        yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": 10}}
        yield {"type": "message_stop"}

    def whole(self, answer: Answer, request: dict[str, Any]) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": answer.text}] if answer.text else []
        tools = _tools(answer)
        return _message(content + tools, request.get("model"), "tool_use" if tools else "end_turn")
