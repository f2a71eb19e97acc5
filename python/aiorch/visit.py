"""Going to a worker's pane: from within tmux, or from a terminal outside."""

from __future__ import annotations

import argparse
import json
import os
import sys

from aiorch.errors import RequestError, TmuxError, UsageError
from aiorch.paths import RunPaths
from aiorch.places import locate, root_of, socket_of
from aiorch.tmux.once import ask_once
from aiorch.ui.terminal import say
from aiorch.words import worker_named


def visit(options: argparse.Namespace) -> int:
    """Show a tmux client the pane of a worker, or attach this terminal there; return the exit code.

    Raises RequestError when its pane is closed, UsageError when there is no terminal to attach.
    """
    run = RunPaths(root_of(options))
    row = worker_named(run, options.name)
    socket = socket_of(options)
    where = ["-u", *(["-S", socket] if socket else [])]
    asked = [*where, "display-message", "-p", "-t", row.pane, "#{@aiorch_name}"]
    if not row.pane or ask_once(asked).text.rstrip("\n") != row.name:
        raise RequestError(f"the pane of {row.name} is closed: `aiorch show {row.name}` has what is left")
    if _is_inside(socket):
        client = ["-c", options.client] if options.client else []
        done = ask_once([*where, "switch-client", *client, "-t", row.pane])
        if done.code != 0:
            raise TmuxError(f"tmux shows no client that pane: {done.text.strip()}")
        if options.json:
            say(json.dumps({"name": row.name, "pane": row.pane}))
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("attaching needs a terminal; from inside tmux `aiorch jump` switches to the pane")
    session = locate(socket or None, None, row.pane).session
    argv = ["tmux", *where, "select-window", "-t", row.pane, ";", "select-pane", "-t", row.pane]
    # tmux becomes this process: the terminal is its own until the user detaches.
    os.execvp("tmux", [*argv, ";", "attach-session", "-t", session])
    return 0


def _is_inside(socket: str) -> bool:
    """Say whether we are in a client of the server that is meant."""
    here = os.environ.get("TMUX", "").partition(",")[0]
    return bool(here) and (not socket or os.path.realpath(here) == os.path.realpath(socket))
