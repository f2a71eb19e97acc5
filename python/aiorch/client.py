"""One request to the engine of a run, and its answer."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from aiorch.errors import EngineError, RequestError, UsageError
from aiorch.paths import RunPaths
from aiorch.whole_file import write_whole

ANSWER_SECONDS = 10.0
_LOOK_SECONDS = (0.002, 0.01)
_SOON_SECONDS = 0.1
_SHUT = (errno.EROFS, errno.EACCES, errno.EPERM)


def request(root: Path, body: Mapping[str, object], timeout: float = ANSWER_SECONDS) -> dict[str, object]:
    """Hand the engine one request and return its answer; it goes with our pid: workers may not ask for all.

    From an agent's sandbox, where the run's own folder cannot be written, it goes through the run's door.

    Raises UsageError when it holds text that is no UTF-8, RequestError when the engine refuses it,
    EngineError when the run's directory is gone or the engine does not answer in time; the request is
    kept then and carried out when an engine is back.
    """
    run = RunPaths(root)
    name = f"{time.time_ns()}-{os.urandom(4).hex()}.json"
    text = _as_json({**body, "pid": os.getpid()})
    try:
        answer = run.answers / _post(run, name, text)
    except OSError as error:
        raise EngineError(f"the run cannot be reached, start another: {error}") from error
    begin = time.monotonic()
    while (waited := time.monotonic() - begin) < timeout:
        if answer.exists():
            return _taken(answer)
        time.sleep(_LOOK_SECONDS[waited > _SOON_SECONDS])
    raise EngineError(f"the engine does not answer; request {name} is queued and carried out when it is back")


def _post(run: RunPaths, name: str, text: str) -> str:
    """Leave a request and return the name that its answer will have."""
    try:
        write_whole(run.inbox / name, text)
    except OSError as error:
        door = _door(run) if error.errno in _SHUT else None
        if door is None:
            raise
        write_whole(door / name, text)
        return f"door-{name}"
    return name


def _door(run: RunPaths) -> Path | None:
    try:
        note = json.loads(run.place.read_text())
        return Path(note["door"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _taken(answer: Path) -> dict[str, object]:
    reply: dict[str, object] = json.loads(answer.read_text())
    try:
        answer.unlink(missing_ok=True)
    except OSError as error:
        # In a sandbox it stays where it is: the engine tidies up.
        if error.errno not in _SHUT:
            raise
    if not reply.get("ok"):
        raise RequestError(str(reply.get("error")))
    return reply


def _as_json(body: Mapping[str, object]) -> str:
    try:
        # An argument that is no UTF-8 arrives with surrogates, which no database takes.
        json.dumps(body, ensure_ascii=False).encode()
        return json.dumps(body)
    except UnicodeEncodeError as error:
        raise UsageError("what was given is not valid UTF-8: write it in UTF-8") from error
    except RecursionError as error:
        raise UsageError("what was given is nested too deep") from error
