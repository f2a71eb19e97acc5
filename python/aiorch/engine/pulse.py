"""Tells which terminals are worth a look: those that fell silent after a write, or write on and on."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from aiorch.engine.witness import Terminals

TICK = 0.05
QUIET = 0.16
"""Seconds of silence after which a screen counts as drawn: spinners turn every 0.1 s, dialogs keep still."""

SHORT, LONG = 1.0, 8.0
"""After how many seconds one that writes on and on is looked at: at first, and at most."""

_BLIND_SECONDS = 1.0


@dataclass(slots=True)
class _Beat:
    """One terminal; `since` is when what was not looked at yet began, None when there is nothing."""

    since: float | None
    last: float
    watch: int = -1
    armed: bool = False
    patience: float = SHORT
    at_once: bool = False


class Pulse:
    """Calls `due` on a thread of its own with the terminals to look at; it returns those that had news.

    A terminal is due when it was silent for QUIET after a write, and every so often while it goes on writing:
    each time that nothing was new, after twice as long. While all are silent nothing is woken. Where the
    kernel does not tell of writes, all are due once a second.
    """

    def __init__(self, due: Callable[[Collection[str]], Collection[str]]) -> None:
        self._due = due
        self._terminals = Terminals()
        self._beats: dict[str, _Beat] = {}
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def watch(self, tty: str, *, at_once: bool = False) -> None:
        """Look at a terminal soon, and from then on whenever it is due.

        One that is due sooner stays so. With `at_once` it is not waited until it is silent.
        """
        with self._lock:
            now, beat = time.monotonic(), self._beats.get(tty)
            if beat is None or beat.since is None or not beat.armed:
                self._beats[tty] = beat = _Beat(since=now, last=now)
            beat.at_once = beat.at_once or at_once
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
                self._thread.start()
        self._wake()

    def forget(self, tty: str) -> None:
        """Look at a terminal no more."""
        with self._lock:
            self._beats.pop(tty, None)

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._wake()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def _run(self) -> None:
        while not self._is_closed:
            self._wait()
            with self._lock:
                due = self._take_due(time.monotonic())
            if due:
                news = self._due(due)
                with self._lock:
                    self._note_news(due, news)

    def _wait(self) -> None:
        """Wait for a tick while something goes on, else until it does."""
        with self._lock:
            going_on = any(beat.since is not None for beat in self._beats.values())
            blind = self._terminals.descriptor < 0 and bool(self._beats)
        if blind:
            select.select([self._wake_read], [], [], _BLIND_SECONDS)
        elif going_on:
            time.sleep(TICK)
        else:
            select.select([self._wake_read, self._terminals.descriptor], [], [])
        if select.select([self._wake_read], [], [], 0)[0]:
            os.read(self._wake_read, 4096)

    def _take_due(self, now: float) -> list[str]:
        wrote = set(self._written())
        due = []
        for tty, beat in self._beats.items():
            if beat.watch in wrote and beat.armed:
                beat.armed = False
                beat.since = now if beat.since is None else beat.since
            if not beat.armed:
                # What it writes until it is watched again is not told: it counts as writing till now.
                beat.watch = self._terminals.watch(tty)
                beat.armed, beat.last = beat.watch >= 0, now
            if self._is_due(beat, now):
                due.append(tty)
                beat.since, beat.at_once = None, False
        for tty in due:
            if not self._beats[tty].armed and self._terminals.descriptor >= 0:
                # It is not there any more.
                del self._beats[tty]
        return due

    def _is_due(self, beat: _Beat, now: float) -> bool:
        if self._terminals.descriptor < 0:
            return True
        if beat.since is None:
            return False
        return beat.at_once or now - beat.last >= QUIET or now - beat.since >= beat.patience

    def _written(self) -> list[int]:
        descriptor = self._terminals.descriptor
        if descriptor < 0 or not select.select([descriptor], [], [], 0)[0]:
            return []
        return self._terminals.read()

    def _note_news(self, due: Collection[str], news: Collection[str]) -> None:
        for tty in due:
            beat = self._beats.get(tty)
            if beat is not None:
                beat.patience = SHORT if tty in news else min(LONG, 2 * beat.patience)
