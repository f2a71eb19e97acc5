"""One directive, two witnesses: what a pane shows, and what the agent's own session file says (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
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

LONGEST_SECONDS = 300.0
"""Longest wait for a file while the pane goes on: an agent may draw a clock for ever."""

NOT_IN_FILE = "it is shown, but the agent's session file does not say that the agent said it"
_MAX_WAITING = 256
_TOO_MANY = Rejected(
    f"more than {_MAX_WAITING} directives are shown that the session file has not said: the rest is dropped",
    Source.SCREEN, "", "", "",
)  # fmt: skip
_MAX_BELIEVED = 64
_MAX_SAID = 4096
_JOINER = "\u200d"
_LENGTH = 2000
_COMPARED = 16
_ALIKE = 0.85


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
        waiting = [asdict(directive) for directive in self._waiting]
        return {"waiting": waiting, "believed": self._believed.payloads}

    def restore(self, state: object, said: Iterable[Payload], now: float) -> None:
        """Take up the `state` of an earlier engine, and what the file had `said` to it."""
        self._said = Heard(_MAX_SAID, said)
        if isinstance(state, dict):
            waiting = [Directive(**{**one, "source": Source(one["source"])}) for one in state["waiting"]]
            self._believed = Heard(_MAX_BELIEVED, state["believed"])
            self._wait_for(waiting)
            self._active = self._since = now

    def shows(self, payload: Payload) -> bool:
        """Return whether the screen showed this, and no file has said it."""
        return self._shown.find(payload) is not None or self._believed.find(payload) is not None

    @property
    def due(self) -> float | None:
        """Return when `expire` has something to decide, None when nothing waits."""
        if not (self._waiting or self._near):
            return None
        if self.serving is Serving.FILE:
            return min(self._active + QUIET_SECONDS, self._since + LONGEST_SECONDS)
        return self._active + FIND_SECONDS

    def touch(self, now: float) -> None:
        """Note that the pane showed something or the file has grown."""
        if self.serving is Serving.FILE:
            self._active = now

    def grew(self, now: float) -> None:
        """Note that the file has something new, with or without directives, and that those were matched."""
        self.touch(now)
        self._outlived.update(one.key for one in self._waiting)

    def remember(self, payloads: Iterable[Payload]) -> None:
        """Take note of what the file said and nobody is to run: a screen that shows it again is no news."""
        for payload in payloads:
            self._said.add(payload)
        self._wait_for([one for one in self._waiting if self._said.find(one.payload) is None])

    def screen(self, sightings: Iterable[Sighting], now: float) -> list[Sighting]:
        """Take what the pane shows; return what may be taken at once."""
        found = list(sightings)
        if self.serving is Serving.SCREEN:
            return found
        if self.serving is Serving.MISSING:
            return [one for one in found if isinstance(one, Rejected) or self._is_news(one)]
        held = [self._hold(sighting, now) for sighting in found]
        return [one for one in held if one is not None]

    def exact(self, sightings: Iterable[Sighting], now: float) -> list[Outcome]:
        """Take what the session file says, in its order."""
        self.touch(now)
        return [self._match(one) if isinstance(one, Directive) else one for one in sightings]

    def expire(self, now: float) -> list[Sighting]:
        """Return what waited long enough."""
        due = self.due
        if due is None or due > now:
            return []
        found: list[Sighting] = [*self._near]
        by_file = self.serving is Serving.FILE
        found += [self._left_over(one) if by_file else one for one in self._waiting]
        self._believe(one for one in found if isinstance(one, Directive))
        self._near, self._full = [], False
        self._outlived.clear()
        self._wait_for([])
        return found

    def _left_over(self, directive: Directive) -> Sighting:
        if directive.key not in self._outlived:
            return replace(directive, altered=True)
        position, text = directive.position, directive.received_as
        return Rejected(NOT_IN_FILE, directive.source, position, text, directive.key, is_error=False)

    def _hold(self, sighting: Sighting, now: float) -> Rejected | None:
        """Let a sighting wait; return what to tell when there are too many."""
        if isinstance(sighting, Rejected):
            # The file has its own, and its words are exact.
            if self.serving is Serving.LOOKING:
                self._near = [*self._near, sighting][-_MAX_WAITING:]
        elif len(self._waiting) >= _MAX_WAITING:
            told, self._full = self._full, True
            return None if told else replace(_TOO_MANY, position=sighting.position, key=sighting.key)
        elif any(one.key == sighting.key for one in self._waiting) or self._is_known(sighting):
            # Read anew by an engine that took over, or drawn again.
            return None
        else:
            self._since = self._since if self._waiting else now
            self._wait_for([*self._waiting, sighting])
        self._active = now
        return None

    def _wait_for(self, directives: list[Directive]) -> None:
        self._waiting, self.changed = directives, True
        self._shown = Heard(_MAX_WAITING, (one.payload for one in directives))

    def _is_known(self, directive: Directive) -> bool:
        """Say whether the file said this; while no file is read, one that is merely alike is another one."""
        return self._said.find(directive.payload, alike=self.serving is Serving.FILE) is not None

    def _is_news(self, directive: Directive) -> bool:
        if self._is_known(directive):
            return False
        self._believe([directive])
        return True

    def _believe(self, directives: Iterable[Directive]) -> None:
        for directive in directives:
            self._believed.add(directive.payload)
        self.changed = True

    def _match(self, directive: Directive) -> Outcome:
        """Strike out what the screen showed of this directive; one that was believed is not run again."""
        waiting = self._shown.find(directive.payload)
        believed = self._believed.find(directive.payload)
        self._said.add(directive.payload)
        self.changed = True
        if waiting is not None:
            shown = self._waiting[waiting]
            self._wait_for([one for index, one in enumerate(self._waiting) if index != waiting])
            return _with_joiners(directive, shown.payload)
        if believed is not None:
            self._believed.forget(believed)
            return Repeat(directive, "it was taken from the screen already")
        return directive


def _with_joiners(directive: Directive, shown: Payload) -> Directive:
    """Return the directive with the emoji of several parts that the screen had, where only they differ.

    Gemini CLI 0.61.0 drops the joiners in its session files.
    """
    text = canonical(shown)
    differs = _JOINER in text and text.replace(_JOINER, "") == canonical(directive.payload)
    return replace(directive, payload=shown) if differs else directive


class Heard:
    """The last payloads that were heard of, at most `limit`, to be known again however they were drawn.

    Rendering eats punctuation and blanks and re-draws the rest: letters and digits are compared.
    """

    def __init__(self, limit: int, payloads: Iterable[Payload] = ()) -> None:
        self._limit = limit
        self._entries: list[tuple[str, Payload]] = []
        for payload in payloads:
            self.add(payload)

    @property
    def payloads(self) -> list[Payload]:
        """Return them, oldest first."""
        return [payload for _, payload in self._entries]

    def add(self, payload: Payload) -> None:
        """Remember one more; the oldest one is forgotten for it."""
        self._entries.append((_letters(payload), payload))
        del self._entries[: -self._limit]

    def forget(self, index: int) -> None:
        """Forget one."""
        del self._entries[index]

    def find(self, payload: Payload, *, alike: bool = True) -> int | None:
        """Return the index of the one that this is another drawing of, None when there is none.

        One that is equal is preferred to one with the same letters, and that to one that is merely much
        alike, which is looked for among the last ones only: it takes longer. Without `alike` it does not do.
        """
        mine = _letters(payload)
        same = [index for index, (letters, _) in enumerate(self._entries) if letters == mine]
        if same:
            return next((index for index in same if self._entries[index][1] == payload), same[0])
        best, found = _ALIKE, None
        for index in range(max(0, len(self._entries) - _COMPARED), len(self._entries)) if alike else ():
            letters, other = self._entries[index]
            likeness = 0.0 if _other_id(payload, other) else _likeness(mine, letters, best)
            if likeness >= best:
                best, found = likeness, index
        return found


def _other_id(payload: Payload, other: Payload) -> bool:
    return "id" in payload and "id" in other and payload["id"] != other["id"]


def _likeness(mine: str, theirs: str, least: float) -> float:
    matcher = SequenceMatcher(None, mine, theirs, autojunk=False)
    # Cheap bounds first: the ratio itself is quadratic.
    if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
        return 0.0
    return matcher.ratio()


def _letters(payload: Payload) -> str:
    return "".join(char for char in canonical(payload)[:_LENGTH].casefold() if char.isalnum())
