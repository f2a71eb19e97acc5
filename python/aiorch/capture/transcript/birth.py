"""When a file was made, which Python 3.11 does not tell on Linux."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

_AT_FDCWD = -100
_STATX_BTIME = 0x800
_SIZE = 256
_BTIME_OFFSET = 80


def birth(path: Path) -> float | None:
    """Return when a file was made (seconds since the epoch); None where the file system does not keep it.

    By `statx` (Linux 4.11, glibc 2.28, musl 1.2.5), by `st_birthtime` on macOS.
    """
    if not sys.platform.startswith("linux"):
        try:
            return getattr(path.stat(), "st_birthtime", None)
        except OSError:
            return None
    buffer = ctypes.create_string_buffer(_SIZE)
    try:
        statx = ctypes.CDLL(None, use_errno=True).statx
    except (AttributeError, OSError):
        return None
    if statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, buffer) != 0:
        return None
    (mask,) = struct.unpack_from("=I", buffer)
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _BTIME_OFFSET)
    return seconds + nanoseconds / 1e9 if mask & _STATX_BTIME else None
