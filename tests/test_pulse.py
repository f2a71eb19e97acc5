"""Which terminals are worth a look: those that fell silent after a write, and those that write on and on."""

from __future__ import annotations

import os
import pty
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aiorch.engine.pulse import AGAIN, QUIET, REST, SHORT, TICK, Looked, Pulse
from aiorch.engine.witness import Terminals
from support.lab import until


@dataclass
class Looks:
    """Notes when which terminal was due; it says that those that were written to had news."""

    written: set[str] = field(default_factory=set)
    missed: Collection[str] = ()
    times: list[tuple[str, float]] = field(default_factory=list)

    def __call__(self, ttys: Collection[str]) -> Looked:
        self.times += [(tty, time.monotonic()) for tty in ttys]
        news, self.written = self.written, set()
        return Looked(news, self.missed)

    def of(self, tty: str) -> list[float]:
        return [at for name, at in self.times if name == tty]


class Terminal:
    """A terminal that can be written to."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        self.name = os.ttyname(self._slave)

    def write(self) -> float:
        os.write(self._slave, b"x")
        os.read(self._master, 1)
        return time.monotonic()

    def close(self) -> None:
        for descriptor in (self._slave, self._master):
            os.close(descriptor)


@contextmanager
def pulse(looks: Looks) -> Iterator[Pulse]:
    found = Pulse(looks)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    found = Terminal()
    yield found
    found.close()


def test_one_that_falls_silent_is_looked_at_after_each_burst_and_once_more(terminal: Terminal) -> None:
    looks = Looks()
    with pulse(looks) as beat:
        beat.watch(terminal.name)
        until(lambda: len(looks.of(terminal.name)) == 1, "the first look")
        for number in range(2, 5):
            last = [terminal.write() for _ in range(3)][-1]
            until(lambda number=number: len(looks.of(terminal.name)) == number, "a look")  # type: ignore[misc]
            assert looks.of(terminal.name)[-1] - last >= QUIET
        until(lambda: len(looks.of(terminal.name)) == 5, "another look")
        before, again = looks.of(terminal.name)[-2:]
        assert again - before >= AGAIN
        until(lambda: time.monotonic() - again > 2 * AGAIN, "some time")
    assert len(looks.of(terminal.name)) == 5


def test_what_another_look_shows_is_made_sure_of_too_and_a_look_that_was_missed_is_made_good(
    terminal: Terminal,
) -> None:
    looks = Looks(missed=[terminal.name])
    with pulse(looks) as beat:
        beat.watch(terminal.name)
        until(lambda: len(looks.of(terminal.name)) == 3, "it is tried again")
        looks.written, looks.missed = {terminal.name}, ()
        until(lambda: len(looks.of(terminal.name)) == 5, "it is seen, and looked at once more")


def test_one_that_cannot_be_watched_is_looked_at_every_second(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks()
    monkeypatch.setattr(Terminals, "watch", lambda *_: -1)
    with pulse(looks) as beat:
        beat.watch(terminal.name)
        beat.watch("/dev/pts/gone")
        until(lambda: len(looks.of(terminal.name)) == 4, "looks")
    assert len(looks.of("/dev/pts/gone")) == 1


def test_what_is_written_through_dev_tty_may_be_for_any_of_them(terminal: Terminal) -> None:
    looks, (writer, master) = Looks(), pty.fork()
    if writer == 0:
        os.execvp("sh", ["sh", "-c", "while read times; do while [ $times -gt 0 ]; do"
                         " printf x >/dev/tty; times=$((times - 1)); done; done"])  # fmt: skip
    with pulse(looks) as beat:
        beat.watch(terminal.name)
        until(lambda: len(looks.of(terminal.name)) == 2, "the first looks")
        os.write(master, b"1\n")
        until(lambda: len(looks.of(terminal.name)) == 4, "a look at all, and another one")
        os.write(master, b"2000000\n")
        began = time.monotonic()
        while time.monotonic() - began < 3 * SHORT:
            os.read(master, 1 << 16)
        times = looks.of(terminal.name)[4:]
        # All are looked at while it writes on and on, and not all the time.
        assert 1 <= len(times) <= 3 * SHORT / REST
    os.close(master)
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)


def test_one_that_writes_on_and_on_is_looked_at_less_and_less(terminal: Terminal) -> None:
    looks = Looks()
    with pulse(looks) as beat:
        beat.watch(terminal.name)
        began = time.monotonic()
        while time.monotonic() - began < 5 * SHORT:
            terminal.write()
            time.sleep(TICK)
    times = looks.of(terminal.name)
    # A machine under load makes pauses of its own; without any there are two or three.
    assert 2 <= len(times) < 5 * SHORT / QUIET / 2, [at - began for at in times]


def test_what_is_forgotten_or_gone_is_not_looked_at(terminal: Terminal) -> None:
    looks, gone = Looks(), Terminal()
    with pulse(looks) as beat:
        beat.watch(terminal.name)
        beat.watch(gone.name)
        until(lambda: len(looks.times) == 2, "the first looks")
        beat.forget(terminal.name)
        gone.close()
        terminal.write()
        other = Terminal()
        beat.watch(other.name)
        until(lambda: looks.of(other.name), "the other one")
        other.write()
        until(lambda: len(looks.of(other.name)) == 2, "the other one again")
        other.close()
    assert len(looks.of(terminal.name)) == 1


def test_it_sleeps_while_all_are_silent(terminal: Terminal) -> None:
    looks = Looks()
    with pulse(looks) as beat:
        beat.watch(terminal.name)
        until(lambda: looks.times, "the first look")
        thread = next(one for one in threading.enumerate() if one.name == "pulse")
        until(lambda: _switches(thread) == _after_a_moment(thread), "it is not woken")


def _switches(thread: threading.Thread) -> str:
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return next(line for line in status.splitlines() if line.startswith("voluntary"))


def _after_a_moment(thread: threading.Thread) -> str:
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 10 * TICK, "some ticks")
    return _switches(thread)
