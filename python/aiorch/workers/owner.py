"""Whose worktree one is: it stands in git's own directory for it from the moment that git begins it."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiorch.errors import WorkError

_FILE = "aiorch"
_LIMIT = 4096


def mark_of(workers: Path, number: int) -> str:
    """Return what names a worker in all places that runs share; `workers` is a directory of its run."""
    return f"{workers.parent.name}/w{number}"


def lock_file(workers: Path, number: int) -> Path:
    """Return the path of the file that is locked while a worker's worktree is made or removed."""
    return workers / f"w{number}.setup.lock"


def beginning(mark: str) -> str:
    """Return why git locks a worktree until it is whole."""
    return f"aiorch makes it for {mark}"


def claim(admin: str, mark: str) -> None:
    """Write down whose worktree it is, and that git is through with it."""
    path = Path(admin, _FILE)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.fsencode(f"{mark}\n"))
    Path(admin, "locked").unlink(missing_ok=True)


def owner_of(admin: str) -> str:
    """Return the mark of the worker whose worktree it is, '' when none is known."""
    return _read(Path(admin, _FILE))


def is_half(admin: str, mark: str) -> bool:
    """Say whether git began a worktree for that worker and did not get through."""
    return _read(Path(admin, "locked")) == beginning(mark)


def is_locked(admin: str) -> bool:
    """Say whether somebody has locked a worktree: git, which is just making it, or the user."""
    return os.path.lexists(f"{admin}/locked")


@contextmanager
def held(lock: Path, *, wait: bool = True) -> Iterator[None]:
    """Keep others from making or removing the worktree that a lock file is for.

    Raises WorkError when somebody else does and there is to be no waiting.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise WorkError("its worktree is still being made, or removed: try again in a moment") from error
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    """Return the line in a file that a worker may have put there: it may be a link or a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(_LIMIT) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return ""
    return os.fsdecode(data.removesuffix(b"\n"))
