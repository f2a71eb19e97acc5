"""One question to tmux from a command that is to end soon: without what `subprocess` would load."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from aiorch.errors import TmuxError


class Reply(NamedTuple):
    """What a program answered: its exit code, and all that it printed."""

    code: int
    text: str


def ask_once(argv: Sequence[str]) -> Reply:
    """Run tmux with these arguments and return its answer, errors among it.

    Raises TmuxError when there is no such program.
    """
    read, write = os.pipe2(os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, write, 1),
            (os.POSIX_SPAWN_DUP2, write, 2),
        ]
        pid = os.posix_spawnp("tmux", ["tmux", *argv], os.environ, file_actions=actions)
    except OSError as error:
        os.close(read)
        raise TmuxError(f"the program tmux cannot be run: {error.strerror}") from error
    finally:
        os.close(write)
    with os.fdopen(read, "rb") as answer:
        text = answer.read().decode("utf-8", "surrogateescape")
    _, status = os.waitpid(pid, 0)
    return Reply(os.waitstatus_to_exitcode(status), text)
