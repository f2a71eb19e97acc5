"""Real Codex with nobody's model behind it: a local Responses API that answers by script.

`install_codex` gets the program, `MockCodex` is the server, `prepare_home` and `codex_env` give it
a HOME and an environment in which it starts without a question. Seen to work with 0.169.0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import npm
from support.mock_model import Answer, Handler, MockModel, chunks

VERSION = "0.169.0"
_CONFIG = """model = "mock-model"
model_provider = "mock"
check_for_update_on_startup = false
[model_providers.mock]
name = "mock"
base_url = "{url}/v1"
env_key = "MOCK_KEY"
wire_api = "responses"
request_max_retries = 2
stream_max_retries = 1
[analytics]
enabled = false
[feedback]
enabled = false
"""
_TRUST = '[projects."{project}"]\ntrust_level = "trusted"\n'
_USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 150,
}


class CodexUnavailableError(Exception):
    """Codex cannot be had here; the message says why."""


def install_codex() -> Path:
    """Return the path of the `codex` program, installed by npm at first use (400 MB).

    Raises CodexUnavailableError without npm or registry.
    """
    try:
        return npm.install("@openai/codex", VERSION, "@openai/codex-*/vendor/*/bin/codex")
    except npm.NpmError as error:
        raise CodexUnavailableError(str(error)) from error


def prepare_home(home: Path, project: Path, url: str, *, trusts: bool = True) -> None:
    """Write which service the program is to use; unless it `trusts` the project, it asks about that."""
    folder = home / ".codex"
    folder.mkdir(parents=True, exist_ok=True)
    trust = _TRUST.format(project=project) if trusts else ""
    (folder / "config.toml").write_text(_CONFIG.format(url=url) + trust, encoding="utf-8")


def codex_env(home: Path) -> dict[str, str]:
    """Return the whole environment for the program."""
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
        "MOCK_KEY": "dummy",
    }


class MockCodex(MockModel):
    """A Responses API on loopback."""

    @staticmethod
    def handler() -> type[Handler]:
        return _Handler

    def said(self, request: dict[str, Any]) -> list[str]:
        items = request.get("input") or []
        if isinstance(items, str):
            return [items]
        said = [item for item in items if item.get("role") == "user"]
        return [str(part.get("text", "")) for item in said for part in item["content"]]


class _Handler(Handler):
    path_of_answers = "/responses"

    def first_events(self, answer: Answer, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"type": "response.created", "response": _response(request, "in_progress", [])}
        if not answer.text:
            return
        item, where = _text_item(answer.text), {"item_id": "msg_mock", "output_index": 0, "content_index": 0}
        empty = {**item, "status": "in_progress", "content": []}
        yield {"type": "response.output_item.added", "output_index": 0, "item": empty}
        for part in chunks(answer.text):
            yield {"type": "response.output_text.delta", **where, "delta": part}

    def last_events(self, answer: Answer, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        items = _items(answer)
        for index, item in enumerate(items):
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
        yield {"type": "response.completed", "response": _response(request, "completed", items)}

    def whole(self, answer: Answer, request: dict[str, Any]) -> dict[str, Any]:
        return _response(request, "completed", _items(answer))


def _items(answer: Answer) -> list[dict[str, Any]]:
    return [
        *([_text_item(answer.text)] if answer.text else []),
        *([_tool_item(answer.run)] if answer.run else []),
        *([_call_item(answer)] if answer.call else []),
    ]


def _response(request: dict[str, Any], status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "resp_mock",
        "object": "response",
        "status": status,
        "model": request.get("model"),
        "output": output,
        "usage": _USAGE if status == "completed" else None,
    }


def _text_item(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "id": "msg_mock",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def _tool_item(command: str) -> dict[str, Any]:
    # Outside of its sandbox: that is what it must ask for.
    wanted = {"cmd": command, "sandbox_permissions": "require_escalated", "justification": "May I do that?"}
    return {
        "id": f"fc_{os.urandom(8).hex()}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{os.urandom(8).hex()}",
        "name": "exec_command",
        "arguments": json.dumps(wanted),
    }


def _call_item(answer: Answer) -> dict[str, Any]:
    """Return the use of an MCP server's tool, called `namespace/name`."""
    namespace, _, name = answer.call.rpartition("/")
    ident = os.urandom(8).hex()
    return {
        "id": f"fc_{ident}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{ident}",
        "namespace": namespace,
        "name": name,
        "arguments": json.dumps(answer.arguments),
    }
