"""Life of an engine process: alone in its session, with a new run or with the one that is there."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from aiorch.engine.loop import Engine, serve_logged
from aiorch.engine.run import Origin, Run, check_pane
from aiorch.engine.settings import UserSettings
from aiorch.engine.target import Target, run_root, session_lock
from aiorch.errors import AiorchError, EngineError
from aiorch.journal import Journal
from aiorch.journal.repair import repair
from aiorch.launch.exits import ExitWatcher
from aiorch.paths import RunPaths
from aiorch.prune import prune_later
from aiorch.tmux.control import ControlClient
from aiorch.tmux.session import Session

_LOCK_TRIES, _LOCK_SECONDS = 10, 0.01

log = logging.getLogger(__name__)

READY = "ready "


def main(target: Target, state: Path, ready: int) -> int:
    """Be the engine: take the session's lock, begin or resume its run, serve until it is over.

    `ready` is the end of a pipe that is written to once it has begun.
    """
    os.umask(0o077)
    lock = session_lock(target, state)
    engine = Engine()
    exits = ExitWatcher(engine.notify_exit)
    control = ControlClient(target.socket, target.session, engine.notify_tmux)
    try:
        run = _run(target, state, control, exits)
        os.write(1, os.fsencode(f"{READY}{run.paths.root}\n"))
        _detach_output(run.paths.engine_log)
        os.write(ready, b"1")
        os.close(ready)
        code = serve_logged(engine, run)
        run.close()
    finally:
        control.close()
        os.close(lock)
    return code


def lock_run(root: Path) -> None:
    """Take the run for this process; callers with another state directory find the same lock here."""
    try:
        descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise EngineError(f"the run in {root} is gone") from error
    for left in range(_LOCK_TRIES, -1, -1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            # Whoever looks whether there is an engine holds it for a moment.
            if not left:
                os.close(descriptor)
                raise EngineError("an engine already runs for this session") from error
            time.sleep(_LOCK_SECONDS)


def _run(target: Target, state: Path, control: ControlClient, exits: ExitWatcher) -> Run:
    found = run_root(target)
    if found is not None and target.root not in (None, found):
        raise EngineError("this session has a run already: `aiorch stop` ends it first")
    if found is not None:
        return _resumed(found, target, control, exits)
    if not target.pane:
        raise EngineError("this session has no run to resume")
    check_pane(Session(control, target.session), target.pane)
    if target.root is not None:
        return _taken_over(target.root, target, control, exits)
    root = state / "runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    origin = _origin(control, target, root)
    run = Run(origin, root, control, exits)
    lock_run(root)
    run.journal.set_meta("target", _facts(target))
    try:
        run.begin()
    except AiorchError:
        run.stop()
        run.close()
        # A run that never began has nothing to tell.
        shutil.rmtree(root, ignore_errors=True)
        raise
    prune_later(state, origin.settings.config.keep_runs_days)
    return run


def _resumed(root: Path, target: Target, control: ControlClient, exits: ExitWatcher) -> Run:
    lock_run(root)
    _log_to(root / "engine.log")
    repair(RunPaths(root))
    facts = _noted_facts(root, Session(control, target.session))
    config = Path(facts["config"]) if facts["config"] else None
    was = Target(target.socket, target.session, facts["pane"], facts["agent"], config)
    try:
        run = Run(_origin(control, was, root), root, control, exits)
        run.resume()
    except Exception:
        # Whoever started this engine may be a hook: nobody reads what it prints.
        log.exception("the run cannot be resumed")
        raise
    return run


def _taken_over(root: Path, target: Target, control: ControlClient, exits: ExitWatcher) -> Run:
    """Go on with a run whose tmux is gone, around another pane."""
    lock_run(root)
    _log_to(root / "engine.log")
    repair(RunPaths(root))
    run = Run(_origin(control, target, root), root, control, exits)
    run.journal.set_meta("target", _facts(target))
    try:
        run.take_over(rerun=target.rerun)
    except Exception:
        log.exception("the run cannot be taken over")
        raise
    return run


def _noted_facts(root: Path, session: Session) -> dict[str, Any]:
    """Return what the last engine noted of where it was; what a damaged journal lost of it, tmux knows."""
    journal = Journal(root / "journal.db")
    facts = journal.meta("target")
    if not isinstance(facts, dict):
        pane = next((info.pane for info in session.panes() if info.role == "primary"), None)
        if pane is None:
            raise EngineError(f"the run in {root} cannot be resumed: its journal does not say where it was")
        facts = {"pane": pane, "agent": None, "config": None}
        journal.set_meta("target", facts)
    journal.close()
    return facts


def _facts(target: Target) -> dict[str, str | None]:
    """Return what another engine needs to know of where this one is."""
    config = str(target.config) if target.config else None
    names = ("socket", "session", "pane", "agent")
    return {name: getattr(target, name) for name in names} | {"config": config}


def _origin(control: ControlClient, target: Target, root: Path) -> Origin:
    """Return what a run in `root` goes by; raises EngineError for what the user has to put right first."""
    user = UserSettings(target.config, root / "settings")
    settings = user.read(control, target.session)
    if target.agent and target.agent not in settings.profiles:
        known = ", ".join(sorted(settings.profiles))
        raise EngineError(f'there is no agent "{target.agent}"; known are {known}')
    return Origin(target.socket, target.session, target.pane, user, settings, target.agent)


def _log_to(path: Path) -> None:
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(filename=path, level=logging.INFO, format=form)


def _detach_output(path: Path) -> None:
    """From here on, what the engine says goes into its log."""
    _log_to(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
