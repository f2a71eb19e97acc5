"""Going on with a run that lost its tmux: `aiorch resume`, and the offer that the key makes."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from aiorch import paths
from aiorch.engine.start import start
from aiorch.engine.target import Target
from aiorch.errors import EngineError
from aiorch.places import Place, locate
from aiorch.runs import CutOff, choose, cut_off_runs, described, drop
from aiorch.tmux.ask import Ask
from aiorch.tmux.menu import open_menu
from aiorch.ui.menu import offer_arguments
from aiorch.ui.terminal import printable


def resume(options: argparse.Namespace) -> int:
    """Go on with a run around the pane we are called in, or list the runs there are; return the exit code."""
    runs = [run for run in cut_off_runs(paths.state_dir()) if not _has_session(run)]
    if options.list:
        _list(runs, as_json=options.json)
        return 0
    place = locate(options.socket, options.session, options.pane)
    if options.drop:
        chosen = choose(runs, options.which, _directory(place))
        drop(chosen)
        print(printable(f"given up: {described(chosen)}"))  # noqa: T201
        return 0
    if place.run:
        raise EngineError("this session has a run already: `aiorch stop` ends it first")
    chosen = choose(runs, options.which, _directory(place))
    target = Target(
        place.socket, place.session, place.pane, options.agent,
        options.config.resolve() if options.config else None, chosen.root, options.rerun,
    )  # fmt: skip
    start(target, chosen.root.parent.parent)
    said = f"{chosen.root.name}, whose journal was damaged: see `aiorch log`"
    print(printable(f"pane {place.pane} goes on with run {said if chosen.fault else described(chosen)}"))  # noqa: T201
    return 0


def offer(place: Place, client: str) -> bool:
    """Show a menu on the client when a run of this directory was cut off; return whether there is one."""
    directory = _directory(place)
    runs = [run for run in cut_off_runs(paths.state_dir()) if run.is_open and run.directory == directory]
    open_runs = [run for run in runs if not _has_session(run)]
    if not open_runs:
        return False
    run = open_runs[0]
    when = time.strftime("%b %d %H:%M", time.localtime(run.changed))
    words = f"{when}, {run.unfinished} unfinished, {run.asking} asking, {run.done} done"
    items = offer_arguments(paths.own_command(), place.pane, client, run.root.name, words)
    # It stays open until it is answered; nobody waits for that.
    open_menu(place.socket, client, "aiorch: a run was cut off", items)
    return True


def _list(runs: list[CutOff], *, as_json: bool) -> None:
    if as_json:
        names = ("directory", "changed", "unfinished", "asking", "done", "fault")
        rows = [{"run": run.root.name, **{name: getattr(run, name) for name in names}} for run in runs]
        print(json.dumps(rows, indent=1))  # noqa: T201
        return
    for run in runs:
        print(printable(described(run)))  # noqa: T201
    if not runs:
        print("no run was cut off")  # noqa: T201


def _has_session(run: CutOff) -> bool:
    """Say whether the session of a run is still there: then it is taken up there, by the key."""
    return Ask(run.socket).look("show-options", "-qv", "-t", run.session, "@aiorch_run") == str(run.root)


def _directory(place: Place) -> str:
    """Return the directory of a pane as the system spells it, ours when tmux cannot tell."""
    path = Ask(place.socket).look("display-message", "-p", "-t", place.pane, "#{pane_current_path}")
    return str(Path(path).resolve()) if path else os.getcwd()  # noqa: PTH109 - as tmux tells it
