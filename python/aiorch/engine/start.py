"""Starting an engine in the background, beside a guard that starts another when it is killed."""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from aiorch import disk
from aiorch.engine import daemon
from aiorch.engine.revive import revive
from aiorch.engine.target import Target
from aiorch.engine.update import Code
from aiorch.errors import AiorchError, EngineDiedError, EngineError
from aiorch.workers.profile_file import builtin_profiles

_MAX_DESCRIPTORS = 1 << 16


def start(target: Target, state: Path) -> Path:
    """Start an engine in the background and return its run's root once it listens.

    It is a fork of a fork of this process: a new interpreter would take as long again. Raises EngineError in
    the engine's own words when it does not come up, EngineDiedError when it has none.
    """
    sys.stdout.flush()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_guard(target, state, writer)
    os.close(writer)
    words = []
    with os.fdopen(reader, errors="surrogateescape") as lines:
        for line in lines:
            if line.startswith(daemon.READY):
                return Path(line[len(daemon.READY) :].rstrip("\n"))
            words.append(line)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = "".join(words).strip()
    # What Python says about an error that nobody expected is not for the user.
    if not text or code < 0 or text.startswith("Traceback"):
        raise EngineDiedError(
            f"the engine died while it began ({_died_of(code, text)}): start it again", text
        )
    raise EngineError(text)


def _become_guard(target: Target, state: Path, writer: int) -> NoReturn:
    """Start the engine and wait for its end, with all the code at hand that another one needs.

    A new interpreter needs 0.3 s for that. The hook of tmux that starts one comes second then, and finds
    nothing to do; it is there for all that a guard does not see to.
    """
    code = 1
    try:
        null = _leave(writer)
        ready, engine_writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            _become_engine(target, state, engine_writes)
        os.close(engine_writes)
        for descriptor in (1, 2):
            os.dup2(null, descriptor)
        has_begun = bool(os.read(ready, 1))
        if has_begun:
            builtin_profiles()
        plugin = Code()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code < 0 and not has_begun:
            # Whoever waits for us is told by what the engine died.
            os.kill(os.getpid(), -code)
        if code < 0 and plugin.is_same():
            _start_another(target)
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "surrogateescape"))
    finally:
        os._exit(max(code, 0))


def _start_another(target: Target) -> None:
    # What it cannot do, the hook of tmux tries as well, and says why.
    with suppress(AiorchError, OSError):
        revive(Target(target.socket, target.session))


def _leave(writer: int) -> int:
    """Keep nothing of the process that we come from but its environment; return where nothing goes to."""
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor, source in enumerate((null, writer, writer)):
        os.dup2(source, descriptor)
    os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), _MAX_DESCRIPTORS))
    for name in ("TMUX", "TMUX_PANE"):
        os.environ.pop(name, None)
    return 0


def _become_engine(target: Target, state: Path, ready: int) -> NoReturn:
    """Be the engine in a process of its own, which tells by `ready` that it has begun."""
    code = 1
    try:
        os.setsid()
        code = daemon.main(target, state, ready)
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


def _died_of(code: int, text: str) -> str:
    """Return in a few words what ended an engine: a signal, or the last line of what Python said."""
    return f"signal {-code}" if code < 0 else text.rpartition("\n")[2] or f"exit {code}"
