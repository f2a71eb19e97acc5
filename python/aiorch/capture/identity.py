"""What makes two sightings on a screen one and the same, and whose words they are said to be (pure)."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from aiorch.capture.grammar import Complete, content_key
from aiorch.capture.gutter import Gutter
from aiorch.capture.marker import Found

_ERROR_HEAD = 48

REFUSED = "near:"
"""How the identity of a directive begins that does not count where it stands."""


MAX_REMEMBERED = 65536


class Memory:
    """The last MAX_REMEMBERED identities that were noted."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        """Note one more; the one that was first noted longest ago is forgotten for it."""
        self._keys[key] = None
        if len(self._keys) > MAX_REMEMBERED:
            self._keys.popitem(last=False)


def identity(hit: Found) -> str | None:
    """Return the identity of what was found, or None where nothing can be said yet."""
    if isinstance(hit.verdict, Complete):
        key = content_key(hit.verdict.payload)
        return REFUSED + key if hit.refusal else key
    if hit.refusal or not hit.closed:
        return None
    # Its beginning alone: a broken one that is still being written is the same one when it has grown.
    squeezed = "".join(hit.text.split())[:_ERROR_HEAD]
    return "bad:" + hashlib.sha256(squeezed.encode("utf-8", "replace")).hexdigest()[:24]


def provenance(gutter: Gutter | None) -> str:
    """Return in words how sure it is who drew what counts on a screen."""
    if gutter is None:
        return "the screen of an unknown program"
    if gutter.mixed:
        return "a screen where the output of commands looks like the assistant's text"
    return "the assistant's text on the screen"
