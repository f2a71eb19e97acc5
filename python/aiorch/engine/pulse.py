"""Tells which terminals are worth a look: those that fell silent after a write, or write on and on."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from aiorch.engine.witness import Terminals

TICK = 0.05
QUIET = 0.16
"""Seconds of silence after which a screen counts as drawn: spinners turn every 0.1 s, dialogs keep still."""

SHORT, LONG = 1.0, 8.0
"""After how many seconds one that writes on and on is looked at: at first, and at most."""

AGAIN = 1.0
"""Seconds after which a look is made good: tmux may answer it before it has taken in what was written."""

REST, RESTS = 0.25, 100
"""How long all are not looked at again after that: at least seconds, and times as long as it took."""

_ANY = "/dev/tty"


@dataclass(frozen=True, slots=True)
class Looked:
    """What looks gave: the terminals with `news`, and those that were `missed`, since tmux did not answer."""

    news: Collection[str] = ()
    missed: Collection[str] = ()


@dataclass(slots=True)
class _Beat:
    """One terminal; `since` is when what was not looked at yet began, None when there is nothing.

    `again` is when it is looked at once more although nothing is written, None when it is not. All times are
    of the monotonic clock.
    """

    since: float | None
    last: float
    watch: int = -1
    armed: bool = False
    patience: float = SHORT
    at_once: bool = False
    again: float | None = None
    pause: float = AGAIN

    def take(self, now: float) -> bool:
        """Return whether it is to be looked at now, and count that as done."""
        if self.since is not None:
            due = self.at_once or now - self.last >= QUIET or now - self.since >= self.patience
        else:
            due = self.again is not None and now >= self.again
        if due:
            # One that cannot be watched is looked at again and again.
            self.again = now + AGAIN if self.since is not None or not self.armed else None
            self.since, self.at_once = None, False
        return due

    def note(self, now: float, *, has_news: bool) -> None:
        """Take note of what a look gave: while nothing is new, the next one is longer in coming."""
        self.pause = AGAIN
        if has_news:
            self.patience, self.again = SHORT, now + AGAIN
        elif self.again is not None:
            self.patience, self.again = min(LONG, 2 * self.patience), now + AGAIN

    def miss(self, now: float) -> None:
        """Take note that a look was not answered: there is another one, each time twice as late."""
        self.again = now + self.pause
        self.pause = min(LONG, 2 * self.pause)


class Pulse:
    """Calls `due` on a thread of its own with the terminals to look at.

    A terminal is due when it was silent for QUIET after a write, and every so often while it goes on writing:
    each time that nothing was new, after twice as long. AGAIN later it is due once more. What a program
    writes through /dev/tty may be for any of them: all are due then, in the same way. While all are silent
    nothing is woken. Where the kernel does not tell of writes, or has no room for it, they are due once a
    second.
    """

    def __init__(self, due: Callable[[Collection[str]], Looked]) -> None:
        self._due = due
        self._terminals = Terminals()
        self._beats: dict[str, _Beat] = {}
        self._any, self._rest_until = _Beat(since=None, last=0.0), 0.0
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
                own, everywhere = self._take_due(time.monotonic())
                due = list(self._beats) if everywhere else own
            if due:
                began = time.monotonic()
                looked = self._due(due)
                with self._lock:
                    self._note(own, everywhere, looked)
                    if everywhere:
                        took = time.monotonic() - began
                        self._rest_until = began + min(LONG, max(REST, took * RESTS))

    def _wait(self) -> None:
        """Wait for a tick while something goes on, else until it does or it is time for another look."""
        with self._lock:
            beats = [*self._beats.values(), self._any] if self._beats else []
            going_on = any(beat.since is not None for beat in beats)
            again = min((beat.again for beat in beats if beat.again is not None), default=None)
        if going_on:
            time.sleep(TICK)
        else:
            descriptors = [one for one in (self._wake_read, self._terminals.descriptor) if one >= 0]
            select.select(descriptors, [], [], None if again is None else max(0.0, again - time.monotonic()))
        if select.select([self._wake_read], [], [], 0)[0]:
            os.read(self._wake_read, 4096)

    def _take_due(self, now: float) -> tuple[list[str], bool]:
        """Return the terminals that are due themselves, and whether all are."""
        wrote = set(self._written())
        due = []
        for tty, beat in self._beats.items():
            self._follow(tty, beat, wrote, now)
            if beat.take(now):
                due.append(tty)
        everywhere = self._take_any(wrote, now)
        for tty in due:
            if not Path(tty).exists():
                del self._beats[tty]
        return due, everywhere

    def _take_any(self, wrote: Collection[int], now: float) -> bool:
        """Return whether all are to be looked at, since something was written through /dev/tty."""
        if not self._beats:
            self._any = _Beat(since=None, last=now)
            return False
        self._follow(_ANY, self._any, wrote, now)
        if not self._any.armed:
            self._any.again = None
        return now >= self._rest_until and self._any.take(now)

    def _follow(self, tty: str, beat: _Beat, wrote: Collection[int], now: float) -> None:
        """Take note of a write, and ask for the next one."""
        if beat.watch in wrote and beat.armed:
            beat.armed = False
            beat.since = now if beat.since is None else beat.since
        if not beat.armed:
            # What it writes until it is watched again is not told: it counts as writing till now.
            beat.watch = self._terminals.watch(tty)
            beat.armed = beat.watch >= 0
            beat.last = now if beat.armed else beat.last

    def _written(self) -> list[int]:
        descriptor = self._terminals.descriptor
        if descriptor < 0 or not select.select([descriptor], [], [], 0)[0]:
            return []
        return self._terminals.read()

    def _note(self, own: Collection[str], everywhere: bool, looked: Looked) -> None:
        now = time.monotonic()
        if everywhere:
            self._any.note(now, has_news=bool(looked.news))
        for tty in {*own, *looked.missed} & self._beats.keys():
            if tty in looked.missed:
                self._beats[tty].miss(now)
            else:
                self._beats[tty].note(now, has_news=tty in looked.news)
