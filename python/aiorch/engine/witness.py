"""Tells that a program wrote to its terminal, without reading anything of what it wrote."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from collections.abc import Callable

_MODIFY, _ONCE = 0x2, 0x80000000
_EVENT = struct.Struct("iIII")
_READ_BYTES = 65536


class Terminals:
    """Terminals whose next write the kernel tells of, by inotify on their own files (Linux 6.18).

    Nothing is woken while nothing is written. What a program writes through /dev/tty is told of that file,
    whichever terminal it is for.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
        self.descriptor = self._libc.inotify_init1(os.O_CLOEXEC) if self._libc else -1

    def watch(self, tty: str) -> int:
        """Ask for the next write to a terminal; return the number of this watch, -1 where none is had."""
        if self._libc is None or self.descriptor < 0 or not tty.startswith("/dev/"):
            return -1
        found = self._libc.inotify_add_watch(
            self.descriptor, os.fsencode(tty), ctypes.c_uint32(_MODIFY | _ONCE)
        )
        return int(found)

    def read(self) -> list[int]:
        """Wait for writes and return the numbers of their watches."""
        data = os.read(self.descriptor, _READ_BYTES)
        at, found = 0, []
        while at < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, at)
            if mask & _MODIFY:
                found.append(watch)
            at += _EVENT.size + length
        return found


class Witness:
    """Calls `wrote` on a thread of its own, once for each call of `watch`, with what that returned."""

    def __init__(self, wrote: Callable[[int], None]) -> None:
        self._wrote = wrote
        self._terminals = Terminals()
        if self._terminals.descriptor >= 0:
            threading.Thread(target=self._read, name="witness", daemon=True).start()

    def watch(self, tty: str) -> int:
        """Tell of the next write to a terminal; return the number of this watch, -1 where none is had."""
        return self._terminals.watch(tty)

    def _read(self) -> None:
        while True:
            for watch in self._terminals.read():
                self._wrote(watch)
