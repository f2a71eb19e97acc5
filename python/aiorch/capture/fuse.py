"""One directive, two witnesses: what a pane shows, and what the agent's own session file says (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import SequenceMatcher
from enum import StrEnum

from aiorch.capture.directive import Directive, Rejected, Sighting, Source
from aiorch.capture.grammar import canonical

FIND_SECONDS = 1.0
"""How long a screen waits for the session file of an agent that keeps one, when none was found yet.

Claude Code 2.1.330 writes its file at the first prompt, others when the first answer is complete.
"""

QUIET_SECONDS = 5.0
"""Silence of pane and file after which a directive on the screen will not come to the file any more."""

_MAX_WAITING = 256
_MAX_REMEMBERED = 512
_COMPARED = 4000
_ALIKE, _SAME, _EQUAL = 0.85, 1.5, 2.0


class Serving(StrEnum):
    """What decides about the directives of a pane."""

    SCREEN = "screen"
    LOOKING = "looking"
    MISSING = "missing"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A directive of the file that is to be noted, so that it never runs, and why."""

    directive: Directive
    reason: str


Outcome = Sighting | Repeat
Payload = Mapping[str, object]


@dataclass(slots=True)
class Fusion:
    """Holds what a pane shows until it is clear whether the agent's session file decides.

    Times are seconds of any one clock. With `Serving.FILE` the file alone yields directives, and what the
    screen shows is a hint that they come; with `Serving.LOOKING` the screen waits FIND_SECONDS for a file;
    with `Serving.MISSING` it is believed at once, but a file may still come; with `Serving.SCREEN` none
    will. What was on the screen and never comes to the file is yielded as uncertain (`altered`), so that
    nothing is lost and nothing of it runs unasked.
    `changed` says that `state` is to be written down.
    """

    serving: Serving = Serving.SCREEN
    changed: bool = False
    _waiting: list[Directive] = field(default_factory=list)
    _near: list[Rejected] = field(default_factory=list)
    _believed: list[Payload] = field(default_factory=list)
    _said: list[Payload] = field(default_factory=list)
    _active: float = 0.0

    @property
    def state(self) -> object:
        """Return what has to survive a restart, as a JSON value."""
        waiting = [asdict(directive) for directive in self._waiting]
        return {"waiting": waiting, "believed": self._believed, "said": self._said}

    def restore(self, state: object, now: float) -> None:
        """Take up the `state` of an earlier engine."""
        if isinstance(state, dict):
            self._waiting = [
                Directive(**{**one, "source": Source(one["source"])}) for one in state["waiting"]
            ]
            self._believed, self._said = state["believed"], state["said"]
            self._active = now

    def shows(self, payload: Payload) -> bool:
        """Return whether the screen showed this, and no file has said it."""
        return best_match(payload, [*(one.payload for one in self._waiting), *self._believed]) is not None

    @property
    def due(self) -> float | None:
        """Return when `expire` has something to decide, None when nothing waits."""
        if not (self._waiting or self._near):
            return None
        return self._active + (QUIET_SECONDS if self.serving is Serving.FILE else FIND_SECONDS)

    def touch(self, now: float) -> None:
        """Note that the pane showed something or the file has grown."""
        if self.serving is Serving.FILE:
            self._active = now

    def remember(self, payloads: Iterable[Payload]) -> None:
        """Take note of what the file said and nobody is to run: a screen that shows it again is no news."""
        self._said = [*self._said, *payloads][-_MAX_REMEMBERED:]
        self._waiting = [one for one in self._waiting if best_match(one.payload, self._said) is None]
        self.changed = True

    def screen(self, sightings: Iterable[Sighting], now: float) -> list[Sighting]:
        """Take what the pane shows; return what may be taken at once."""
        found = list(sightings)
        if self.serving is Serving.SCREEN:
            return found
        if self.serving is Serving.MISSING:
            return [one for one in found if isinstance(one, Rejected) or self._is_news(one)]
        for sighting in found:
            self._hold(sighting, now)
        return []

    def exact(self, sightings: Iterable[Sighting], now: float) -> list[Outcome]:
        """Take what the session file says, in its order."""
        self.touch(now)
        return [self._match(one) if isinstance(one, Directive) else one for one in sightings]

    def expire(self, now: float) -> list[Sighting]:
        """Return what waited long enough."""
        due = self.due
        if due is None or due > now:
            return []
        doubtful = self.serving is Serving.FILE
        found: list[Sighting] = [*self._near]
        found += [replace(one, altered=True) if doubtful else one for one in self._waiting]
        self._believe(self._waiting)
        self._waiting, self._near = [], []
        return found

    def _is_news(self, directive: Directive) -> bool:
        if best_match(directive.payload, self._said, self._least) is not None:
            return False
        self._believe([directive])
        return True

    def _believe(self, directives: Sequence[Directive]) -> None:
        self._believed = [*self._believed, *(one.payload for one in directives)][-_MAX_REMEMBERED:]
        self.changed = True

    @property
    def _least(self) -> float:
        """Return how like the file's words a screen must be to be no news: without the file, the same."""
        return _ALIKE if self.serving is Serving.FILE else _SAME

    def _hold(self, sighting: Sighting, now: float) -> None:
        if isinstance(sighting, Rejected):
            # The file has its own, and its words are exact.
            if self.serving is Serving.LOOKING:
                self._near = [*self._near, sighting][-_MAX_WAITING:]
        elif any(one.key == sighting.key for one in self._waiting):
            # Read anew by an engine that took over.
            return
        elif best_match(sighting.payload, self._said, self._least) is None:
            self._waiting = [*self._waiting, sighting][-_MAX_WAITING:]
        else:
            return
        self._active = now
        self.changed = True

    def _match(self, directive: Directive) -> Outcome:
        """Strike out what the screen showed of this directive; one that was believed is not run again."""
        waiting = best_match(directive.payload, [one.payload for one in self._waiting])
        believed = best_match(directive.payload, self._believed)
        self.changed = True
        if waiting is None and believed is not None:
            del self._believed[believed]
            self.remember([directive.payload])
            return Repeat(directive, "it was taken from the screen already")
        if waiting is not None:
            del self._waiting[waiting]
        self._said = [*self._said, directive.payload][-_MAX_REMEMBERED:]
        return directive


def best_match(payload: Payload, others: Sequence[Payload], least: float = _ALIKE) -> int | None:
    """Return the index of the payload most like this one, None when none is another drawing of it.

    Rendering eats punctuation and blanks and re-draws the rest: letters and digits are compared.
    """
    mine = _letters(payload)
    best, found = least, None
    for index, other in enumerate(others):
        likeness = _likeness(payload, mine, other)
        if likeness >= best and (found is None or likeness > best):
            best, found = likeness, index
    return found


def _likeness(payload: Payload, mine: str, other: Payload) -> float:
    theirs = _letters(other)
    if mine == theirs:
        return _EQUAL if payload == other else _SAME
    if "id" in payload and "id" in other and payload["id"] != other["id"]:
        return 0.0
    matcher = SequenceMatcher(None, mine, theirs, autojunk=False)
    # Cheap bounds first: the ratio itself is quadratic.
    if matcher.real_quick_ratio() < _ALIKE or matcher.quick_ratio() < _ALIKE:
        return 0.0
    return matcher.ratio()


def _letters(payload: Payload) -> str:
    return "".join(char for char in canonical(payload)[:_COMPARED].casefold() if char.isalnum())
