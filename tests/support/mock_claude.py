"""Real Claude Code with nobody's model behind it: a local Messages API that answers by script.

`install_claude` gets the program from the npm registry into a cache outside of the repository,
`MockClaude` is the server, `prepare_home` and `claude_env` give the program a HOME and an
environment in which it starts without a question. Seen to work with 2.1.330.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

VERSION = "2.1.330"
KEY = "sk-ant-dummy-key-of-the-test-suite-0000000000000000"
CHUNK = 5


class ClaudeUnavailableError(Exception):
    """Claude Code cannot be had here; the message says why."""


def install_claude(cache: Path) -> Path:
    """Return the path of the `claude` program, installed by npm at first use (370 MB).

    The platform's package holds a native program: no Node is needed to run it and no install script
    to get it. Raises ClaudeUnavailableError without npm or registry.
    """
    folder = cache / f"claude-code-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _program(folder) or _npm_install(folder)


def _program(folder: Path) -> Path | None:
    found = sorted(folder.glob("node_modules/@anthropic-ai/claude-code-*/claude"))
    return next(
        (path for path in found if (folder / ".complete").exists() and os.access(path, os.X_OK)), None
    )


def _npm_install(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ClaudeUnavailableError("npm is not installed")
    argv = [
        npm,
        "install",
        "--prefix",
        str(folder),
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-save",
        "--fetch-retries=1",
        f"@anthropic-ai/claude-code@{VERSION}",
    ]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)
    except subprocess.TimeoutExpired:
        raise ClaudeUnavailableError("npm did not finish within 240 s") from None
    if done.returncode:
        raise ClaudeUnavailableError(f"npm failed: {done.stderr.strip()[-300:]}")
    (folder / ".complete").touch()
    program = _program(folder)
    if program is None:
        (folder / ".complete").unlink()
        raise ClaudeUnavailableError("npm brought no native program for this platform")
    return program


def prepare_home(home: Path, project: Path) -> None:
    """Write what the program would have asked at its first start; without it, it exits when offline."""
    settings = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
        "projects": {str(project): {"hasTrustDialogAccepted": True}},
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


class MockClaude:
    """A Messages API on loopback: the first answer of a conversation is `reply`, all others are short.

    Requests without tools (titles, probes) are not the conversation. `prompts` collects what the user
    said, for the assertions of a test. Nobody is answered while `may_answer` is not set.
    """

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.prompts: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.mock = self  # type: ignore[attr-defined]  # the handler finds us through its server
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, at: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: dict[str, Any]) -> str:
        """Return the assistant's text for one request."""
        messages = request.get("messages", [])
        if not request.get("tools") or not messages:
            return "ok"
        self.prompts += [
            text for message in messages if message["role"] == "user" for text in _texts(message)
        ]
        self.may_answer.wait(60)
        return "Nothing more." if any(message["role"] == "assistant" for message in messages) else self.reply


def _texts(message: dict[str, Any]) -> list[str]:
    content = message["content"]
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content if block.get("type") == "text"]


def _message(text: str, model: str, stop: str | None) -> dict[str, Any]:
    return {
        "id": "msg_mock",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }


def _events(text: str, model: str) -> Iterator[dict[str, Any]]:
    """Yield one answer as the stream of events of the Messages API."""
    yield {"type": "message_start", "message": _message("", model, None)}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for at in range(0, len(text), CHUNK):
        delta = {"type": "text_delta", "text": text[at : at + CHUNK]}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": 10}}
    yield {"type": "message_stop"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the test's output is no place for an access log."""

    def do_HEAD(self) -> None:
        self._send(b"", "application/json")

    def do_GET(self) -> None:
        self._json({"data": [], "has_more": False})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        if "count_tokens" in self.path:
            self._json({"input_tokens": 10})
            return
        mock: MockClaude = self.server.mock  # type: ignore[attr-defined]
        text, model = mock.answer(request), str(request.get("model"))
        if not request.get("stream"):
            self._json(_message(text, model, "end_turn"))
            return
        events = _events(text, model)
        stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        self._send(stream.encode(), "text/event-stream")

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
