"""Tells when worker processes end: by pidfd on Linux, by asking once a second elsewhere."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable

_POLL_SECONDS = 1.0


class ExitWatcher:
    """Watches pids on a thread of its own and calls `ended(pid)` there, once for each."""

    def __init__(self, ended: Callable[[int], None]) -> None:
        self._ended = ended
        self._pids: dict[int, int | None] = {}
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        self._stopped = False
        self._thread = threading.Thread(target=self._watch, name="exits", daemon=True)
        self._thread.start()

    def add(self, pid: int) -> None:
        """Watch one more pid, once however often it is added; one that is gone already counts as ended."""
        with self._lock:
            if pid in self._pids:
                return
        descriptor: int | None = None
        if hasattr(os, "pidfd_open"):
            try:
                descriptor = os.pidfd_open(pid)
            except OSError:
                self._ended(pid)
                return
        with self._lock:
            self._pids[pid] = descriptor
        self._wake()

    def close(self) -> None:
        """Stop watching and end the thread."""
        self._stopped = True
        self._wake()
        self._thread.join(timeout=2)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def _watch(self) -> None:
        while not self._stopped:
            with self._lock:
                watched = dict(self._pids)
            for pid in self._wait(watched):
                with self._lock:
                    descriptor = self._pids.pop(pid, None)
                if descriptor is not None:
                    os.close(descriptor)
                self._ended(pid)

    def _wait(self, watched: dict[int, int | None]) -> list[int]:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        by_descriptor = {fd: pid for pid, fd in watched.items() if fd is not None}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        unwatched = [pid for pid, fd in watched.items() if fd is None]
        ready = poll.poll(_POLL_SECONDS * 1000 if unwatched else None)
        if any(descriptor == self._wake_read for descriptor, _ in ready):
            os.read(self._wake_read, 4096)
        ended = [by_descriptor[descriptor] for descriptor, _ in ready if descriptor in by_descriptor]
        return ended + [pid for pid in unwatched if not _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
