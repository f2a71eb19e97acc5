"""Which session and which run a command means: the one it is called in, or one that is named."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from aiorch import paths
from aiorch.errors import AiorchError, EngineError, TmuxError, UsageError
from aiorch.tmux.once import ask_once
from aiorch.ui.terminal import printable

NO_RUN = "this session has no run: press prefix + O in the lead's pane, or `aiorch start`"


class Place(NamedTuple):
    """Where in tmux a command was called or is meant for."""

    socket: str
    session: str
    pane: str
    run: str


def locate(socket: str | None, session: str | None, pane: str | None) -> Place:
    """Return the session meant by the options, else the one we are called in.

    A program that was started without tmux's variables is in the pane of whoever started it. Where tmux
    cannot be reached, as from the sandbox of an agent, what the engines wrote down says which run it is.

    Raises UsageError outside of tmux when nothing was named, TmuxError when tmux does not know it.
    """
    env = _variables(os.environ)
    inside = env.get("TMUX", "")
    where = socket or inside.split(",")[0]
    target = pane or session or env.get("TMUX_PANE", "")
    if not target and inside.count(",") == 2:
        # A command run by a key has a session, but no pane of its own.
        target = f"${inside.rsplit(',', 1)[1]}"
    if not where and not target:
        raise UsageError("not inside tmux: name the session with --session, or start one with `aiorch up`")
    argv = ["-u", *(["-S", where] if where else []), "display-message", "-p"]
    argv += ["-t", f"={target}:" if target and target == session else target] if target else []
    done = ask_once([*argv, "#{socket_path}\t#{session_id}\t#{pane_id}\t#{@aiorch_run}"])
    if done.code == 0:
        return Place(*done.text.rstrip("\n").split("\t"))
    noted = _noted(inside) if not (socket or session or pane) else None
    if noted is None:
        raise TmuxError(f"tmux does not know it: {done.text.strip()}")
    return noted


def root_of(options: argparse.Namespace) -> Path:
    """Return the directory of the run that the options mean. Raises EngineError when there is none."""
    if options.run:
        return Path(options.run)
    place = locate(options.socket, options.session, None)
    if not place.run:
        raise EngineError(NO_RUN)
    return Path(place.run)


def named_root(options: argparse.Namespace) -> Path:
    """Return the run that is named, else that of the options. Raises UsageError when there is none."""
    if options.run_name is None:
        return root_of(options)
    runs = paths.state_dir() / "runs"
    root = runs / str(options.run_name)
    if root.parent != runs or root.name.startswith(".") or not root.is_dir():
        raise UsageError(f"there is no run {printable(options.run_name)} in {runs}")
    return root


def run_here(options: argparse.Namespace) -> Path | None:
    """Return the run of the session that the options mean, None when it has none."""
    try:
        place = locate(options.socket, options.session, None)
    except AiorchError:
        return None
    return Path(place.run) if place.run else None


def socket_of(options: argparse.Namespace) -> str:
    """Return the tmux socket that is meant, '' for the one we are called in."""
    return options.socket or _variables(os.environ).get("TMUX", "").partition(",")[0]


def _variables(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return tmux's variables, those of whoever started us where we got none.

    Codex 0.144 starts MCP servers with an environment of a few names.
    """
    if "TMUX" in env or "TMUX_PANE" in env:
        return env
    from aiorch import process

    for pid in process.ancestry(os.getppid()):
        theirs = process.environment(pid)
        if "TMUX" in theirs:
            return theirs
    return env


def _noted(inside: str) -> Place | None:
    """Return the place of the run that has an engine in the session of `TMUX`, None when none is known."""
    from aiorch.runs import has_engine

    socket, _, rest = inside.partition(",")
    server, _, session = rest.partition(",")
    for root, note in _notes(paths.state_dir() / "runs"):
        known = (note.get("socket"), note.get("server"), note.get("session"))
        if socket and known == (socket, server, f"${session}") and has_engine(root):
            return Place(socket, f"${session}", "", str(root))
    return None


def _notes(runs: Path) -> Iterator[tuple[Path, Mapping[str, object]]]:
    for path in runs.glob("*/place"):
        try:
            note = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(note, dict):
            yield path.parent, note
