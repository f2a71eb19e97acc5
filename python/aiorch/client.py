"""What commands and keys need to reach a run: which session, which run, one request and its answer."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiorch.errors import EngineError, RequestError, TmuxError, UsageError
from aiorch.paths import RunPaths

ANSWER_SECONDS = 10.0
_LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Place:
    """Where in tmux a command was called or is meant for."""

    socket: str
    session: str
    pane: str
    run: str


def locate(socket: str | None, session: str | None, pane: str | None) -> Place:
    """Return the session meant by the options, else the one we are called in.

    Raises UsageError outside of tmux when nothing was named, TmuxError when tmux does not know it.
    """
    inside = os.environ.get("TMUX", "")
    where = socket or inside.split(",")[0]
    target = pane or session or os.environ.get("TMUX_PANE", "")
    if not target and inside.count(",") == 2:
        # A command run by a key has a session, but no pane of its own.
        target = f"${inside.rsplit(',', 1)[1]}"
    if not where and not target:
        raise UsageError("not inside tmux: name the session with --session, or start one with `aiorch up`")
    argv = ["tmux", *(["-S", where] if where else []), "display-message", "-p"]
    argv += ["-t", f"={target}:" if target and target == session else target] if target else []
    done = subprocess.run(
        [*argv, "#{socket_path}\t#{session_id}\t#{pane_id}\t#{@aiorch_run}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise TmuxError(f"tmux does not know it: {done.stderr.strip()}")
    return Place(*done.stdout.rstrip("\n").split("\t"))


def request(root: Path, body: Mapping[str, object], timeout: float = ANSWER_SECONDS) -> dict[str, object]:
    """Hand the engine one request and return its answer; it goes with our pid: workers may not ask for all.

    Raises UsageError when it holds text that is no UTF-8, RequestError when the engine refuses it,
    EngineError when the run's directory is gone or the engine does not answer in time; the request is
    kept then and carried out when an engine is back.
    """
    run = RunPaths(root)
    name = f"{time.time_ns()}-{secrets.token_hex(4)}.json"
    temporary = run.inbox / f".{name}"
    text = _as_json({**body, "pid": os.getpid()})
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.rename(run.inbox / name)
    except OSError as error:
        raise EngineError(f"the run cannot be reached, start another: {error}") from error
    answer = run.answers / name
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if answer.exists():
            reply: dict[str, object] = json.loads(answer.read_text())
            answer.unlink(missing_ok=True)
            if not reply.get("ok"):
                raise RequestError(str(reply.get("error")))
            return reply
        time.sleep(_LOOK_SECONDS)
    raise EngineError(f"the engine does not answer; request {name} is kept and carried out when it is back")


def _as_json(body: Mapping[str, object]) -> str:
    try:
        # An argument that is no UTF-8 arrives with surrogates, which no database takes.
        json.dumps(body, ensure_ascii=False).encode()
        return json.dumps(body)
    except UnicodeEncodeError as error:
        raise UsageError("what was given is not valid UTF-8: write it in UTF-8") from error
    except RecursionError as error:
        raise UsageError("what was given is nested too deep") from error
