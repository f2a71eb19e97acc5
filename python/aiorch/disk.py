"""Whether the disk takes what has to be written."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

_REASONS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})
_SQLITE = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_BUSY")
ROOM = 1 << 20
"""Bytes that must be free before anything is begun again: less would be full at once."""


def is_refusal(error: BaseException) -> bool:
    """Return whether an error says that the disk is full, read-only or broken, whatever was written."""
    if isinstance(error, OSError):
        return error.errno in _REASONS
    name = getattr(error, "sqlite_errorname", "") if isinstance(error, sqlite3.Error) else ""
    return name.startswith(_SQLITE)


def trouble(folder: Path) -> str:
    """Return in the system's own words why nothing can be written in a folder now, or ''."""
    probe = folder / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(b"x" * 4096)
        facts = os.statvfs(folder)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        with suppress(OSError):
            probe.unlink()
    return os.strerror(errno.ENOSPC) if facts.f_bavail * facts.f_frsize < ROOM else ""
