"""Which session an engine is for, which run that has, and whether an engine looks after it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from aiorch.errors import EngineError
from aiorch.tmux.ask import Ask

# A server that is busy for long is none that is gone.
_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """The session an engine is for; `pane` is the primary, empty when the session's own run is taken up.

    `root` is the directory of a run that lost its tmux and goes on around `pane`, with `rerun` all of its
    workers that were cut off once more.
    """

    socket: str
    session: str
    pane: str = ""
    agent: str | None = None
    config: Path | None = None
    root: Path | None = None
    rerun: bool = False


def run_root(target: Target) -> Path | None:
    """Return the root of the run that the session has now, None when it has none."""
    text = tmux(target.socket, "show-options", "-qv", "-t", target.session, "@aiorch_run")
    # Its journal may be gone: then that is what the next engine looks after.
    return Path(text) if text and (Path(text) / "lock").exists() else None


def is_running(target: Target, state: Path) -> bool:
    """Return whether an engine holds the session's lock."""
    try:
        os.close(session_lock(target, state))
    except EngineError:
        return True
    return False


def session_lock(target: Target, state: Path) -> int:
    """Take the session for this process and return the descriptor; raises EngineError when it is taken."""
    folder = state / "sessions"
    # parents=True would make the folder above with the user's mask.
    for path in (state, folder):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = tmux(target.socket, "display-message", "-p", "#{pid}")
    key = hashlib.sha256(os.fsencode(target.socket)).hexdigest()[:12]
    path = folder / f"{key}-{server}-{target.session.lstrip('$')}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise EngineError("an engine already runs for this session") from error
    return descriptor


def tmux(socket: str, *argv: str) -> str:
    """Run one tmux command without a control client; raises TmuxError in tmux's own words."""
    return Ask(socket, _ANSWER_SECONDS).run(*argv)
