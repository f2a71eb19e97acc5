"""Which session is the agent's when nothing names it: by directory, by time, and by who else is there."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from aiorch.capture.transcript.locate import lead as leads
from aiorch.capture.transcript.locate.found import Found, Known, Seen, Store
from aiorch.capture.transcript.locate.lead import Lead

# File times come from a coarser clock (4 to 10 ms) than process times, which are rounded down to 10 ms.
GRAIN = 0.05
# Another machine's clock, or the last words of an agent that was in the pane just before.
NEAR = 2.0
# Between the start of a session and our look at it, on a machine that is busy.
FRESH = 3.0
# An agent begins its first session when it has begun itself.
OLDER = 1.0
MAX_FOUND = 8
MAX_OPENED = 40


@dataclass(frozen=True, slots=True)
class _Fit:
    seen: Seen
    known: Known


def judge(lead: Lead, store: Store) -> list[Found]:
    """Return the sessions that may be the agent's, best first."""
    asked = store.asked_for(lead)
    since = 0.0 if asked or lead.started is None else lead.started - GRAIN - NEAR
    seen = sorted(store.seen(lead, since), key=lambda one: one.written, reverse=True)
    named = next((one for one in seen if asked and one.session == asked), None)
    if lead.started is None:
        return _unsure(lead, store, _fits(lead, store, seen), "it is not known when the agent began")
    begun = lead.started - GRAIN
    fits = _fits(lead, store, [one for one in seen if one.written >= begun])
    if named is not None and (not fits or fits[0].seen.written <= named.written):
        return [_asked(lead, store, named)]
    if not fits:
        near = [one for one in seen if one.written >= begun - NEAR]
        return _unsure(lead, store, _fits(lead, store, near), "it was written just before the agent began")
    return _choose(lead, store, fits, named)


def alone(lead: Lead, store: Store, taken: Collection[tuple[Path, str]]) -> Found | None:
    """Return the one session that was begun since the agent began and is nobody else's, if there is one."""
    if lead.started is None:
        return None
    since = lead.started - GRAIN
    seen = [one for one in store.seen(lead, since) if one.written >= since]
    free = [one for one in seen if (one.path, "" if store.one_per_file else one.session) not in taken]
    fits = _fits(lead, store, free)
    if len(fits) != 1 or _is_older(lead, fits[0]) or not fits[0].known.here:
        return None
    if leads.others(lead, store.root, lambda path: store.competes(lead, path)) != []:
        return None
    return _found(lead, store, fits[0].seen, "the only one begun since the agent began", certain=True)


def _choose(lead: Lead, store: Store, fits: list[_Fit], named: Seen | None) -> list[Found]:
    """Choose among the sessions that were written since the agent began, newest first."""
    anywhere = not fits[0].known.here
    agents = leads.others(lead, store.root, lambda path: anywhere or store.competes(lead, path))
    if agents is None:
        return _rivals(_unsure(lead, store, fits, "it is not known who else is there"))
    claims = [next(filter(None, (store.claimed(lead, pid) for pid in agent)), "") for agent in agents]
    fits = [fit for fit in fits if fit.seen.session not in claims]
    if not fits:
        return []
    if not all(claims):
        # What is newer than the one it was asked for may be the others'.
        if named is not None:
            return [_asked(lead, store, named)]
        return _rivals(_unsure(lead, store, fits, "another agent of its kind works there too"))
    if len(fits) == 1:
        return [_found(lead, store, fits[0].seen, "the only one written since the agent began", certain=True)]
    # One that is older than the agent was taken up and left again, or is that of an agent which has ended.
    newest, *rest = fits
    if not _is_older(lead, newest) and all(_is_older(lead, fit) for fit in rest):
        return [_found(lead, store, newest.seen, "the only one begun since the agent began", certain=True)]
    # Whoever begins a session is still there then, and nobody else is.
    last = max(fits, key=lambda fit: fit.known.begun or 0.0)
    if newest.known.continues or time.time() - (last.known.begun or 0.0) < FRESH:
        first = newest if newest.known.continues else last
        rest = [fit for fit in fits if fit is not first]
        sure = _found(lead, store, first.seen, "begun anew in the running agent", certain=True)
        return [sure, *_unsure(lead, store, rest, "a newer one was begun in the running agent")]
    return _unsure(lead, store, fits, "several were written since the agent began")


def _fits(lead: Lead, store: Store, seen: list[Seen]) -> list[_Fit]:
    """Return those that may be the agent's by what they say; the better ones alone, if there are any."""
    opened = [_Fit(one, store.known(lead, one)) for one in seen[:MAX_OPENED]]
    fits = [fit for fit in opened if fit.known.ours and fit.known.here is not False]
    fits = [fit for fit in fits if fit.known.here] or fits
    return [fit for fit in fits if fit.known.likely] or fits


def _is_older(lead: Lead, fit: _Fit) -> bool:
    begun, since = fit.known.begun, lead.started
    return begun is not None and since is not None and begun < since - OLDER


def _asked(lead: Lead, store: Store, seen: Seen) -> Found:
    return replace(_found(lead, store, seen, "named on its command line", certain=True), named=True)


def _rivals(found: list[Found]) -> list[Found]:
    return [replace(one, rival=True) for one in found]


def _unsure(lead: Lead, store: Store, fits: list[_Fit], reason: str) -> list[Found]:
    how = f"may be it, but {reason}"
    return [_found(lead, store, fit.seen, how, certain=False) for fit in fits[:MAX_FOUND]]


def _found(lead: Lead, store: Store, seen: Seen, how: str, *, certain: bool) -> Found:
    session = "" if store.one_per_file else seen.session
    return Found(lead.format, seen.path, certain, how, session, seen.begun)
