"""The engine of a run: whether it lives, answers, and what it costs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiorch import process
from aiorch.doctor.engine_log import Entry, parse, read_tail
from aiorch.doctor.words import Moment, Seconds, Size, Value
from aiorch.paths import RunPaths
from aiorch.runs import has_engine

PATIENCE = 10.0
"""Seconds after which a request that still waits says that the engine is stuck."""


@dataclass(frozen=True, slots=True)
class Health:
    """What can be seen of an engine from outside; times are seconds since the epoch.

    `waiting` is how many requests it has not taken, `oldest` since when. `is_locked` says that some engine
    works on the run.
    """

    pid: int = 0
    is_alive: bool = False
    is_locked: bool = False
    is_stopped: bool = False
    memory: int | None = None
    seconds: float | None = None
    started: float | None = None
    restarts: tuple[float, ...] = ()
    waiting: int = 0
    oldest: float | None = None
    bad: tuple[Entry, ...] = field(default=())

    @property
    def works(self) -> bool:
        """Return whether the process is there and is the run's engine."""
        return self.is_alive and self.is_locked

    def is_stuck(self, now: float) -> bool:
        """Return whether it leaves requests unanswered."""
        return self.works and self.oldest is not None and now - self.oldest > PATIENCE

    def facts(self) -> dict[str, Value]:
        """Return what is known, for people and programs."""
        if not self.works:
            return {"pid": self.pid or None, "runs": self.is_locked and not self.pid}
        return {
            "pid": self.pid,
            "runs": True,
            "memory": None if self.memory is None else Size(self.memory),
            "processor_time": None if self.seconds is None else Seconds(self.seconds),
            "since": None if self.started is None else Moment(self.started),
            "restarted": [Moment(at) for at in self.restarts],
            "waiting_requests": self.waiting,
        }


def examine(root: Path, pid: int) -> Health:
    """Return the health of a run's engine; `pid` is what tmux has of it, 0 for none."""
    run = RunPaths(root)
    usage = process.usage(pid) if pid else None
    times = _waiting_since(run.inbox)
    return Health(
        pid,
        pid > 0 and process.is_alive(pid),
        works_on(root),
        pid > 0 and process.is_stopped(pid),
        usage.memory if usage else None,
        usage.seconds if usage else None,
        process.started(pid) if pid else None,
        _restarts(root / "restarts"),
        len(times),
        min(times, default=None),
        tuple(entry for entry in _said(run.engine_log) if entry.is_bad),
    )


def works_on(root: Path) -> bool:
    """Return whether some engine works on a run; False when that cannot be told."""
    try:
        return has_engine(root)
    except OSError:
        return False


def _restarts(path: Path) -> tuple[float, ...]:
    with suppress(OSError, ValueError):
        return tuple(float(line) for line in path.read_text().splitlines())
    return ()


def _waiting_since(inbox: Path) -> list[float]:
    """Return when each request came that the engine has not taken."""
    times = []
    with suppress(OSError):
        for path in inbox.glob("[!.]*.json"):
            with suppress(OSError):
                times.append(path.stat().st_mtime)
    return times


def _said(path: Path) -> list[Entry]:
    with suppress(OSError):
        return parse(read_tail(path))
    return []
