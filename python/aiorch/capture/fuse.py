"""One directive, two witnesses: what a pane shows, and what the agent's own session file says (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from aiorch.capture.directive import Directive, Rejected, Sighting, Source
from aiorch.capture.grammar import canonical
from aiorch.capture.heard import Heard, Payload

FIND_SECONDS = 1.0
"""How long a screen waits for the session file of an agent that keeps one, when none was found yet.

Counted from when the pane is silent: an agent that writes only when its first answer is complete has
done so by then. Claude Code 2.1.330 and Codex 0.169.0 write theirs at the first prompt, or earlier.
"""

LONGEST_LOOK_SECONDS = 10.0
"""Longest wait for a file to be found while the pane goes on."""

QUIET_SECONDS = 5.0
"""Silence of pane and file after which a directive on the screen will not come to the file any more."""

LONGEST_SECONDS = 300.0
"""Longest wait for a file while the pane goes on: an agent may draw a clock for ever."""

NOT_IN_FILE = "it is shown, but the agent's session file does not say that the agent said it"
_MAX_WAITING = 64
_TOO_MANY = Rejected(
    f"more than {_MAX_WAITING} directives are shown that the session file has not said: the rest is dropped",
    Source.SCREEN, "", "", "",
)  # fmt: skip
_MAX_BELIEVED = 64
_MAX_SAID = 4096
_JOINER = "\u200d"


class Serving(StrEnum):
    """What decides about the directives of a pane."""

    SCREEN = "screen"
    LOOKING = "looking"
    MISSING = "missing"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A directive of the file that is to be noted, so that it never runs, and why.

    `shown` is the key of the screen's own that was taken in its place, if there was one.
    """

    directive: Directive
    reason: str
    shown: str = ""


Outcome = Sighting | Repeat


class Fusion:
    """Holds what a pane shows until it is clear whether the agent's session file decides.

    Times are seconds of any one clock. With `Serving.FILE` the file alone yields directives, and what the
    screen shows is a hint that they come; with `Serving.LOOKING` the screen waits FIND_SECONDS for a file;
    with `Serving.MISSING` it is believed at once, but a file may still come; with `Serving.SCREEN` none
    will. What was on the screen and never comes to the file is told as ignored when the file went on without
    it; when the file is silent, it is yielded as uncertain (`altered`), so that nothing of it runs unasked.
    `changed` says that `state` is to be written down.
    """

    def __init__(self, serving: Serving = Serving.SCREEN) -> None:
        self.serving = serving
        self.changed = False
        self._full = False
        self._active = self._since = 0.0
        self._waiting: list[Directive] = []
        self._near: list[Rejected] = []
        self._outlived: set[str] = set()
        self._shown = Heard(_MAX_WAITING)
        self._believed = Heard(_MAX_BELIEVED)
        self._said = Heard(_MAX_SAID)

    @property
    def state(self) -> object:
        """Return what has to survive a restart, as a JSON value; what the file said is in the journal."""
        return {
            "waiting": [_record(directive) for directive in self._waiting],
            "believed": self._believed.pairs,
            "outlived": sorted(self._outlived),
        }

    def restore(self, state: object, said: Iterable[Payload], now: float) -> None:
        """Take up the `state` of an earlier engine, and what the file had `said` to it.

        Raises ValueError, TypeError or KeyError for what is no such state.
        """
        self._said = Heard(_MAX_SAID, said)
        if not isinstance(state, dict):
            return
        for payload, key in state["believed"]:
            self._believed.add(payload, key)
        for one in state["waiting"]:
            self._wait_for(Directive(**{**one, "source": Source(one["source"])}))
        self._outlived = set(state["outlived"])
        self._active = self._since = now

    def shows(self, payload: Payload) -> bool:
        """Return whether the screen showed this and waits for a file to say it."""
        return self._shown.same(payload) is not None

    @property
    def due(self) -> float | None:
        """Return when `expire` has something to decide, None when nothing waits."""
        if not (self._waiting or self._near):
            return None
        if self.serving is Serving.FILE:
            return min(self._active + QUIET_SECONDS, self._since + LONGEST_SECONDS)
        return min(self._active + FIND_SECONDS, self._since + LONGEST_LOOK_SECONDS)

    def touch(self, now: float) -> None:
        """Note that the pane showed something or the file has grown."""
        self._active = now

    def grew(self, now: float) -> None:
        """Note that the file has something new, with or without directives, and that those were matched."""
        self.touch(now)
        new = {one.key for one in self._waiting} - self._outlived
        self._outlived |= new
        self.changed = self.changed or bool(new)

    def remember(self, payloads: Iterable[Payload]) -> None:
        """Take note of what the file said and nobody is to run: a screen that shows it again is no news."""
        for payload in payloads:
            self._said.add(payload)
            self._strike(payload, alike=True)

    def screen(self, sightings: Iterable[Sighting], now: float) -> list[Sighting]:
        """Take what the pane shows; return what may be taken at once."""
        if self.serving is Serving.SCREEN:
            return [one for one in sightings if not self._waits_already(one)]
        if self.serving is Serving.MISSING:
            return [one for one in sightings if isinstance(one, Rejected) or self._is_news(one)]
        held = [self._hold(sighting, now) for sighting in sightings]
        return [one for one in held if one is not None]

    def exact(self, sightings: Sequence[Sighting], now: float) -> list[Outcome]:
        """Take what the session file says, in its order; those of one text together.

        What the screen showed of it is struck out: first what has the same letters, so that each finds
        its own, then what is merely alike.
        """
        self.touch(now)
        directives = [one for one in sightings if isinstance(one, Directive)]
        shown = {one.key: self._strike(one.payload, alike=False) for one in directives}
        for one in directives:
            shown[one.key] = shown[one.key] or self._strike(one.payload, alike=True)
        return [self._decide(one, shown[one.key]) if isinstance(one, Directive) else one for one in sightings]

    def expire(self, now: float) -> list[Sighting]:
        """Return what waited long enough."""
        due = self.due
        if due is None or due > now:
            return []
        by_file = self.serving is Serving.FILE
        found: list[Sighting] = [] if by_file else [*self._near]
        found += [self._left_over(one) if by_file else one for one in self._waiting]
        for one in found:
            if isinstance(one, Directive):
                self._believed.add(one.payload, one.key)
        self._near, self._full, self.changed = [], False, True
        self._waiting, self._shown = [], Heard(_MAX_WAITING)
        self._outlived.clear()
        return found

    def leave(self) -> None:
        """Note that another agent has the pane: what waits may be of either, and is uncertain from now on."""
        self._waiting = [replace(one, altered=True) for one in self._waiting]
        self._believed = Heard(_MAX_BELIEVED)
        self._outlived.clear()
        self.changed = True

    def _left_over(self, directive: Directive) -> Sighting:
        if directive.key not in self._outlived:
            return replace(directive, altered=True)
        position, text = directive.position, directive.received_as
        return Rejected(NOT_IN_FILE, directive.source, position, text, directive.key, is_error=False)

    def _hold(self, sighting: Sighting, now: float) -> Rejected | None:
        """Let a sighting wait; return what to tell when there are too many."""
        if isinstance(sighting, Rejected):
            # The file has its own, and its words are exact.
            if self.serving is not Serving.LOOKING:
                return None
            self._since = self._since if self._waiting or self._near else now
            self._near = [*self._near, sighting][-_MAX_WAITING:]
        elif self._waits_already(sighting) or self._is_known(sighting):
            # Read anew by an engine that took over, or drawn again.
            return None
        elif len(self._waiting) >= _MAX_WAITING:
            told, self._full = self._full, True
            return None if told else replace(_TOO_MANY, position=sighting.position, key=sighting.key)
        else:
            self._since = self._since if self._waiting or self._near else now
            self._wait_for(sighting)
        self._active = now
        return None

    def _wait_for(self, directive: Directive) -> None:
        self._waiting.append(directive)
        self._shown.add(directive.payload, directive.key)
        self.changed = True

    def _waits_already(self, sighting: Sighting) -> bool:
        return isinstance(sighting, Directive) and any(one.key == sighting.key for one in self._waiting)

    def _is_known(self, directive: Directive) -> bool:
        """Say whether the file said this; while none is read, what an earlier one said proves nothing."""
        return self.serving is Serving.FILE and self._said.alike(directive.payload) is not None

    def _is_news(self, directive: Directive) -> bool:
        if self._is_known(directive):
            return False
        self._believed.add(directive.payload, directive.key)
        self.changed = True
        return True

    def _strike(self, payload: Payload, *, alike: bool) -> Directive | None:
        """Let what the screen showed of a payload wait no more, and return it."""
        index = self._shown.alike(payload) if alike else self._shown.same(payload)
        if index is None:
            return None
        self._shown.take(index)
        self.changed = True
        return self._waiting.pop(index)

    def _decide(self, directive: Directive, shown: Directive | None) -> Outcome:
        """Return the directive; one that was believed already is not to run again."""
        self._said.add(directive.payload)
        if shown is not None:
            return _with_joiners(directive, shown.payload)
        believed = self._believed.same(directive.payload)
        if believed is None:
            return directive
        self.changed = True
        return Repeat(directive, "it was taken from the screen already", self._believed.take(believed))


def _record(directive: Directive) -> dict[str, object]:
    return {name: getattr(directive, name) for name in Directive.__slots__}


def _with_joiners(directive: Directive, shown: Payload) -> Directive:
    """Return the directive with the emoji of several parts that the screen had, where only they differ.

    Gemini CLI 0.61.0 drops the joiners in its session files.
    """
    text = canonical(shown)
    differs = _JOINER in text and text.replace(_JOINER, "") == canonical(directive.payload)
    return replace(directive, payload=shown) if differs else directive
