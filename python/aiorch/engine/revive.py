"""Starting the engine of a session again after it was lost; called by a hook of tmux."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from aiorch import disk
from aiorch.engine.target import Target, is_running, run_root, tmux
from aiorch.errors import EngineDiedError, EngineError, TmuxError
from aiorch.paths import RunPaths
from aiorch.tmux import quote

MAX_RESTARTS = 5
RESTART_WINDOW = 60.0
_SHOWN = 80
_DISK_SECONDS = 1.0


def revive(target: Target) -> int:
    """Start the engine of a session again; one that dies at once is tried again until it makes no sense.

    What keeps it from coming back is shown in the status bar. Returns the exit code.
    """
    # The hook comes with the user's own.
    os.umask(0o077)
    found = run_root(target)
    if found is None:
        return 0
    # The engine that one of us starts may die before that one is done with it: the next takes its turn.
    lock = os.open(found / "revive.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    while run_root(target) == found and not is_running(target, found.parent.parent):
        _wait_for_disk(target, found)
        code = _try(target, found)
        if code is not None:
            return code
    return 0


def _wait_for_disk(target: Target, root: Path) -> None:
    """Wait until the run's directory can be written, and leave a note for the engine of how long it took."""
    began, reason = time.time(), ""
    while (trouble := disk.trouble(root)) and run_root(target) == root:
        reason = trouble
        _show(target, f"waits for the disk: {reason}")
        time.sleep(_DISK_SECONDS)
    if reason:
        words = f"nothing could be written for {time.time() - began:.0f} s ({reason})"
        RunPaths(root).trouble.write_text(f"{words}: all goes on from where it was\n")
        # That was no fault of the engine's.
        (root / "restarts").unlink(missing_ok=True)


def _try(target: Target, root: Path) -> int | None:
    """Start the engine once; return the exit code when that is all, None to look again."""
    restarts = root / "restarts"
    recent = [at for at in _times(restarts) if at > time.time() - RESTART_WINDOW]
    if len(recent) >= MAX_RESTARTS:
        _show(target, f"engine died {MAX_RESTARTS} times, see engine.log")
        return EngineError.exit_code
    # The first restart comes at once, the next after 1, 2, 4 … seconds.
    time.sleep(2.0 ** (len(recent) - 1) if recent else 0.0)
    restarts.write_text("".join(f"{at}\n" for at in [*recent, time.time()]))
    # Most often another one has done it by now: all the code of an engine is loaded only when it is needed.
    from aiorch.engine.start import start

    try:
        start(target, root.parent.parent)
    except EngineDiedError as error:
        with (root / "engine.log").open("a") as log:
            log.write(f"{error}\n{error.details}\n")
        return None
    except EngineError as error:
        if disk.trouble(root):
            return None
        # The user may have pressed the key meanwhile.
        if is_running(target, root.parent.parent):
            return 0
        _show(target, f"engine lost: {error}")
        raise
    return 0


def _show(target: Target, text: str) -> None:
    line = " ".join(text.split())
    short = quote.literal(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…")
    tmux(target.socket, "set-environment", "-h", "-t", target.session, "AIORCH_STATUS", f" aiorch: {short} ")
    form = "#{?client_control_mode,,#{client_name}}"
    for client in tmux(target.socket, "list-clients", "-t", target.session, "-F", form).split("\n"):
        with suppress(TmuxError):
            tmux(target.socket, "refresh-client", "-S", "-t", client)


def _times(path: Path) -> list[float]:
    with suppress(OSError, ValueError):
        return [float(line) for line in path.read_text().splitlines()]
    return []
