"""A model that answers by a test's script, behind a server on loopback: what all mock services share."""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

CHUNK = 5
HOLD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: a text, then the use of the shell tool for `run`, or of the tool `call` with `arguments`.

    A `status` other than 200 makes it an error instead.

    With `held` what follows the text is not sent before that is set.
    """

    text: str = ""
    run: str = ""
    call: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    status: int = 200
    held: threading.Event | None = None


class MockModel:
    """A service on loopback that gives the answers of its script in turn, then `last`; a context manager.

    Requests without tools (titles, probes) are not the conversation. `prompts` collects what was said to it.
    """

    def __init__(self, *script: Answer, last: str = "Nothing more.") -> None:
        self.script, self.last = list(script), Answer(last)
        self.prompts: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self._server.daemon_threads = True
        self._server.mock = self  # type: ignore[attr-defined]  # the handler finds us through its server
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @staticmethod
    @abstractmethod
    def handler() -> type[Handler]:
        """Return what handles a request."""

    @abstractmethod
    def said(self, request: dict[str, Any]) -> list[str]:
        """Return what the user said in a request."""

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

    def answer(self, request: dict[str, Any]) -> Answer:
        """Return the answer to one request."""
        if not request.get("tools"):
            return Answer("ok")
        self.prompts += self.said(request)
        return self.script.pop(0) if self.script else self.last


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP; the class for a service says where answers are asked for, and how they look."""

    protocol_version = "HTTP/1.1"
    path_of_answers = "/"

    @abstractmethod
    def first_events(self, answer: Answer, request: dict[str, Any]) -> Iterable[dict[str, Any]]:
        """Return the events of a stream up to the end of the text."""

    @abstractmethod
    def last_events(self, answer: Answer, request: dict[str, Any]) -> Iterable[dict[str, Any]]:
        """Return the events after the text."""

    @abstractmethod
    def whole(self, answer: Answer, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request that wants no stream."""

    def error(self, status: int) -> dict[str, Any]:
        """Return what comes with an error."""
        return {"type": "error", "error": {"type": "mock_error", "message": f"scripted failure {status}"}}

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the test's output is no place for an access log."""

    def do_HEAD(self) -> None:
        self._send(b"", "application/json")

    def do_GET(self) -> None:
        self.json({"data": [], "has_more": False})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        if not self.path.partition("?")[0].endswith(self.path_of_answers):
            self.json({"input_tokens": 10})
            return
        mock: MockModel = self.server.mock  # type: ignore[attr-defined]
        answer = mock.answer(request)
        if answer.status != 200:
            self.json(self.error(answer.status), answer.status)
        elif request.get("stream"):
            self._stream(answer, request)
        else:
            _wait(answer)
            self.json(self.whole(answer, request))

    def json(self, value: object, status: int = 200) -> None:
        """Send a value."""
        self._send(json.dumps(value).encode(), "application/json", status)

    def _stream(self, answer: Answer, request: dict[str, Any]) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        try:
            for events in (self.first_events(answer, request), self.last_events(answer, request)):
                text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
                self.wfile.write(text.encode())
                self.wfile.flush()
                _wait(answer)
        except (BrokenPipeError, ConnectionResetError):
            # Whoever was interrupted reads no more.
            pass

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def chunks(text: str) -> Iterator[str]:
    """Yield the parts in which a text is streamed."""
    for at in range(0, len(text), CHUNK):
        yield text[at : at + CHUNK]


def _wait(answer: Answer) -> None:
    if answer.held is not None:
        answer.held.wait(HOLD_SECONDS)
