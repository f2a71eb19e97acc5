"""Life of an engine process: started in the background, alone in its session, back after a crash."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import sqlite3
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from aiorch import disk
from aiorch.engine.loop import Engine, serve_logged
from aiorch.engine.run import Origin, Run, check_pane
from aiorch.engine.settings import UserSettings
from aiorch.errors import AiorchError, EngineDiedError, EngineError
from aiorch.journal import Journal
from aiorch.journal.repair import repair
from aiorch.launch.exits import ExitWatcher
from aiorch.paths import RunPaths
from aiorch.prune import prune_later
from aiorch.tmux.ask import Ask
from aiorch.tmux.control import ControlClient
from aiorch.tmux.session import Session

log = logging.getLogger(__name__)

READY = "ready "
_MAX_DESCRIPTORS = 1 << 16
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


def start(target: Target, state: Path) -> Path:
    """Start an engine in the background and return its run's root once it listens.

    It is a fork of this process: a new interpreter would take as long again. Raises EngineError with the
    engine's own words when it does not come up, EngineDiedError when it has none.
    """
    sys.stdout.flush()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_engine(target, state, writer)
    os.close(writer)
    words = []
    with os.fdopen(reader, errors="surrogateescape") as lines:
        for line in lines:
            if line.startswith(READY):
                return Path(line[len(READY) :].rstrip("\n"))
            words.append(line)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = "".join(words).strip()
    # What Python says about an error that nobody expected is not for the user.
    if not text or code < 0 or text.startswith("Traceback"):
        raise EngineDiedError(
            f"the engine died while it began ({_died_of(code, text)}): start it again", text
        )
    raise EngineError(text)


def _become_engine(target: Target, state: Path, writer: int) -> NoReturn:
    """Be the engine in a forked process, with nothing of the one it came from but its environment."""
    code = 1
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor, source in enumerate((null, writer, writer)):
            os.dup2(source, descriptor)
        os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), _MAX_DESCRIPTORS))
        for name in ("TMUX", "TMUX_PANE"):
            os.environ.pop(name, None)
        code = main(target, state)
    except AiorchError as error:
        code = error.exit_code
        os.write(2, str(error).encode("utf-8", "surrogateescape"))
    except (OSError, sqlite3.OperationalError) as error:
        reason = f"the run's directory cannot be written ({error})" if disk.is_refusal(error) else ""
        os.write(2, (reason or traceback.format_exc()).encode("utf-8", "surrogateescape"))
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "surrogateescape"))
    finally:
        os._exit(code)


def main(target: Target, state: Path) -> int:
    """Be the engine: take the session's lock, begin or resume its run, serve until it is over."""
    os.umask(0o077)
    lock = _lock(target, state)
    engine = Engine()
    exits = ExitWatcher(engine.notify_exit)
    control = ControlClient(target.socket, target.session, engine.notify_tmux)
    try:
        run = _run(target, state, control, exits)
        os.write(1, os.fsencode(f"{READY}{run.paths.root}\n"))
        _detach_output(run.paths.engine_log)
        code = serve_logged(engine, run)
        run.close()
    finally:
        control.close()
        os.close(lock)
    return code


def run_root(target: Target) -> Path | None:
    """Return the root of the run that the session has now, None when it has none."""
    text = tmux(target.socket, "show-options", "-qv", "-t", target.session, "@aiorch_run")
    # Its journal may be gone: then that is what the next engine looks after.
    return Path(text) if text and (Path(text) / "lock").exists() else None


def is_running(target: Target, state: Path) -> bool:
    """Return whether an engine holds the session's lock."""
    try:
        os.close(_lock(target, state))
    except EngineError:
        return True
    return False


def _died_of(code: int, text: str) -> str:
    """Return in a few words what ended an engine: a signal, or the last line of what Python said."""
    return f"signal {-code}" if code < 0 else text.rpartition("\n")[2] or f"exit {code}"


def _lock(target: Target, state: Path) -> int:
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


def _lock_run(root: Path) -> None:
    """Take the run for this process; callers with another state directory find the same lock here."""
    try:
        descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise EngineError(f"the run in {root} is gone") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise EngineError("an engine already runs for this session") from error


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
    _lock_run(root)
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
    _lock_run(root)
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
    _lock_run(root)
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


def tmux(socket: str, *argv: str) -> str:
    """Run one tmux command without a control client; raises TmuxError in tmux's own words."""
    return Ask(socket, _ANSWER_SECONDS).run(*argv)
