"""The agents' own sessions of workers: whether there is one to go on with."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_VARIABLE = re.compile(r"\$([A-Z_]+)")


def is_kept(patterns: Sequence[str], session: str, environment: Mapping[str, str]) -> bool:
    """Return whether an agent has a file of the session; without any pattern nobody knows, which is no."""
    return kept(patterns, session, environment) is not None


def kept(patterns: Sequence[str], session: str, environment: Mapping[str, str]) -> Path | None:
    """Return an agent's file of the session, by the patterns of its profile, None without one.

    A pattern with a variable that is not set is passed over.
    """
    home = environment.get("HOME") or str(Path.home())
    for pattern in patterns:
        names = _VARIABLE.findall(pattern)
        if not all(environment.get(name) for name in names):
            continue
        place = pattern.replace("{id}", glob.escape(session))
        place = _VARIABLE.sub(lambda found: glob.escape(environment[found[1]]), place)
        if place.startswith("~/"):
            place = glob.escape(home) + place[1:]
        for found in glob.glob(place)[:1]:  # noqa: PTH207 - a pattern, not a path
            return Path(found)
    return None
