"""Knowing a payload again, however a screen has drawn it (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from aiorch.capture.grammar import canonical

Payload = Mapping[str, object]

_LENGTH = 2000
_PAIRS = 600
_COMPARED = 16
_ALIKE = 0.85


@dataclass(frozen=True, slots=True)
class _Entry:
    payload: Payload
    letters: str
    pairs: Counter[tuple[str, str]]
    note: str


class Heard:
    """The last payloads that were heard of, at most `limit`, each with a note.

    Rendering eats punctuation and blanks and re-draws the rest: letters and digits are compared.
    """

    def __init__(self, limit: int, payloads: Iterable[Payload] = ()) -> None:
        self._limit = limit
        self._entries: list[_Entry] = []
        for payload in payloads:
            self.add(payload)

    @property
    def pairs(self) -> list[tuple[Payload, str]]:
        """Return the payloads with their notes, oldest first."""
        return [(entry.payload, entry.note) for entry in self._entries]

    def add(self, payload: Payload, note: str = "") -> None:
        """Remember one more; the oldest one is forgotten for it."""
        self._entries.append(_entry(payload, note))
        del self._entries[: -self._limit]

    def take(self, index: int) -> str:
        """Forget one and return its note."""
        return self._entries.pop(index).note

    def same(self, payload: Payload) -> int | None:
        """Return the index of the first one with the same letters, rather one that is equal, or None."""
        mine = letters_of(payload)
        same = [index for index, entry in enumerate(self._entries) if entry.letters == mine]
        return next(
            (index for index in same if self._entries[index].payload == payload), next(iter(same), None)
        )

    def alike(self, payload: Payload) -> int | None:
        """Return what `same` does, else one of the last that is much alike: a drawing that was damaged.

        Numbers are never damaged: "chapter 1" is not "chapter 2".
        """
        same = self.same(payload)
        if same is not None:
            return same
        mine = _entry(payload, "")
        best, found = _ALIKE, None
        for index in range(max(0, len(self._entries) - _COMPARED), len(self._entries)):
            likeness = _likeness(mine, self._entries[index])
            if likeness >= best:
                best, found = likeness, index
        return found


def letters_of(payload: Payload) -> str:
    """Return the letters and digits of a payload, of a long one those of its first 2000 characters."""
    return "".join(char for char in canonical(payload)[:_LENGTH].casefold() if char.isalnum())


def _entry(payload: Payload, note: str) -> _Entry:
    letters = letters_of(payload)
    return _Entry(payload, letters, Counter(pairwise(letters[:_PAIRS])), note)


def _likeness(one: _Entry, other: _Entry) -> float:
    """Return how many of the neighbouring letters of two texts are common to both, 0 to 1."""
    total = one.pairs.total() + other.pairs.total()
    if not total or _numbers(one) != _numbers(other):
        return 0.0
    # The cheap bound first: one much shorter cannot be like a long one.
    least = 2 * min(one.pairs.total(), other.pairs.total())
    return 2 * (one.pairs & other.pairs).total() / total if least >= _ALIKE * total else 0.0


def _numbers(entry: _Entry) -> str:
    return "".join(char for char in entry.letters if char.isdigit())
