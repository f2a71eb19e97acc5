"""Looks at workers' panes whenever they have something new to show, and judges what is seen."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from aiorch.engine.pulse import Looked, Pulse
from aiorch.errors import AiorchError
from aiorch.tmux.glance import glances
from aiorch.tmux.session import Session
from aiorch.workers.state import Glance, Verdict, screen_verdict, title_verdict
from aiorch.workers.state_rules import StateRules

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subject:
    """One worker to look at: its number, its pane and terminal, and how its agent's screen is read."""

    worker: int
    pane: str
    tty: str
    rules: StateRules


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look at a worker showed; `time` is seconds since the epoch."""

    worker: int
    verdicts: tuple[Verdict, ...]
    time: float


class Lookout:
    """Calls `wake` when sights are there to `take`; it looks on a thread of its own.

    Only what differs from the last look at the same worker is handed on.
    """

    def __init__(self, session: Session, wake: Callable[[], None]) -> None:
        self._session, self._wake = session, wake
        self._subjects: dict[str, Subject] = {}
        self._last: dict[str, tuple[Verdict, ...]] = {}
        self._seen: dict[str, object] = {}
        self._sights: deque[Sight] = deque()
        self._pulse = Pulse(self._look)

    def tty_of(self, pane: str) -> str:
        """Return the terminal of a pane, '' when tmux does not tell."""
        told = self._session.control.try_run("display-message", "-p", "-t", pane, "#{pane_tty}")
        return told[0] if told else ""

    def watch(self, subject: Subject, *, at_once: bool = False) -> None:
        """Look at a worker from now on; the first look is handed on in any case."""
        for kept in (self._last, self._seen):
            kept.pop(subject.tty, None)
        self._subjects[subject.tty] = subject
        self._pulse.watch(subject.tty, at_once=at_once)

    def forget(self, worker: int) -> None:
        """Look at a worker no more."""
        for tty, subject in list(self._subjects.items()):
            if subject.worker == worker:
                self._pulse.forget(tty)
                self._subjects.pop(tty, None)

    def look_anew(self) -> None:
        """Look at all of them soon."""
        for tty in list(self._subjects):
            self._pulse.watch(tty)

    def look_at(self, worker: int, *, at_once: bool) -> None:
        """Look at one of them soon, or now although it still draws; what is seen is handed on in any case."""
        for subject in list(self._subjects.values()):
            if subject.worker == worker:
                self.watch(subject, at_once=at_once)

    def take(self) -> list[Sight]:
        """Return what was seen since the last call."""
        return [self._sights.popleft() for _ in range(len(self._sights))]

    def close(self) -> None:
        """End the thread."""
        self._pulse.close()

    def _look(self, ttys: Collection[str]) -> Looked:
        """Look at the workers on these terminals."""
        subjects = [subject for tty in ttys if (subject := self._subjects.get(tty)) is not None]
        try:
            shown = glances(self._session.control, [subject.pane for subject in subjects])
        except AiorchError:
            # Whoever decides meets it, too, and opens another connection.
            log.debug("panes cannot be looked at", exc_info=True)
            shown = {}
        except Exception:
            # Without this thread no state would ever be seen again.
            log.exception("panes cannot be looked at")
            shown = {}
        news = {one.tty for one in subjects if one.pane in shown and self._has_news(one, shown[one.pane])}
        if news:
            self._wake()
        return Looked(news, {one.tty for one in subjects if one.pane not in shown})

    def _has_news(self, subject: Subject, glance: Glance) -> bool:
        """Judge what one worker shows; return whether that is something else than before."""
        if self._seen.get(subject.tty) == glance:
            return False
        self._seen[subject.tty] = glance
        try:
            title = title_verdict(subject.rules, glance.title)
            verdicts = (*([title] if title else []), screen_verdict(subject.rules, glance))
        except Exception:
            log.exception("the pane %s cannot be judged", subject.pane)
            return False
        if verdicts == self._last.get(subject.tty):
            return False
        self._last[subject.tty] = verdicts
        self._sights.append(Sight(subject.worker, verdicts, time.time()))
        return True
