"""What a session file says its assistant said, and the directives in it (pure)."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from aiorch.capture.directive import Directive, Rejected, Sighting, Source
from aiorch.capture.grammar import Broken, canonical
from aiorch.capture.keys import SESSION_KEY
from aiorch.capture.lines import Hit, find_in_text


@dataclass(frozen=True, slots=True)
class Said:
    """One finished text of the assistant's own, exactly as the session file keeps it.

    `message` identifies the text by what the agent itself wrote down, so that it is the same when the
    file is read again, resumed, copied into a fork, or after a restart. `conversation` is the agent's
    session id ('' when it has none) and `position` is "<file name>:<offset or row>".
    `asked_again` is set where the agent makes the model answer again by itself: then equal directives
    in several answers with one `message` are one. `time` is when it was said, in seconds since the
    epoch, where the agent notes that; `copied` is set for what a fork took over from another conversation.
    """

    text: str
    message: str
    conversation: str
    position: str
    asked_again: bool = False
    time: float | None = None
    copied: bool = False


def sightings(said: Said, source: Source = Source.TRANSCRIPT) -> list[Sighting]:
    """Return the directives in one text, and what looks like one, in their order.

    The text is finished, so an object that is not complete in it is cut off for good.
    """
    found: list[Sighting] = []
    equal: Counter[str] = Counter()
    for ordinal, hit in enumerate(find_in_text(said.text)):
        name = str(ordinal)
        if said.asked_again:
            content = _digest(hit.text if isinstance(hit.verdict, Broken) else hit.verdict.payload)
            name = f"{content}.{equal[content]}"
            equal[content] += 1
        found.append(_sighting(hit, said, f"{SESSION_KEY}{said.message}#{name}", source))
    return found


def _sighting(hit: Hit, said: Said, key: str, source: Source) -> Sighting:
    position = f"{said.position}#{hit.where}"
    if isinstance(hit.verdict, Broken):
        # Prose that only names the marker is no broken directive.
        return Rejected(hit.verdict.reason, source, position, hit.text, key, is_error=not hit.refusal)
    if hit.refusal:
        return Rejected(hit.refusal, source, position, hit.text, key, is_error=False)
    place = "a fence in the assistant's own text" if hit.fenced else "the assistant's own text"
    return Directive(hit.verdict.payload, source, place, position, hit.text, key, fenced=hit.fenced)


def _digest(payload: object) -> str:
    return hashlib.sha256(canonical(payload).encode("utf-8", "replace")).hexdigest()[:16]
