"""The one table that says what a directive may do by itself, by who said it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final

from aiorch.capture.directive import Source


class Verdict(StrEnum):
    """What happens with a directive."""

    RUN = "run"
    ASK = "ask"
    REFUSE = "refuse"


class Speaker(StrEnum):
    """Who said it: the rows of the table."""

    USER = "user"
    TRANSCRIPT = "transcript"
    SCREEN = "screen"
    PLAIN = "plain"
    WORKER = "worker"


class Demand(StrEnum):
    """What is asked for: the columns of the table."""

    ROLES = "roles"
    ALTERED = "altered"
    AGENTS = "agents"
    POWERS = "powers"
    SHELL = "shell"


SPEAKERS: Final[Mapping[Speaker, str]] = {
    Speaker.USER: "your keys and commands, the lead's own calls",
    Speaker.TRANSCRIPT: "the transcript of a known agent",
    Speaker.SCREEN: "the screen of a known agent (unverified)",
    Speaker.PLAIN: "a pane that runs some other program; Aider's history; a sandbox",
    Speaker.WORKER: "a worker",
}
DEMANDS: Final[Mapping[Demand, str]] = {
    Demand.ROLES: "roles with the default agent",
    Demand.ALTERED: "text that may be altered or incomplete",
    Demand.AGENTS: "an agent by name",
    Demand.POWERS: "other hosts, types of your own",
    Demand.SHELL: "type shell",
}

_RUN, _ASK, _REFUSE = Verdict.RUN, Verdict.ASK, Verdict.REFUSE
# Columns in the order of Demand.
_TABLE: Final[Mapping[Speaker, tuple[Verdict, ...]]] = {
    Speaker.USER: (_RUN, _RUN, _RUN, _RUN, _RUN),
    Speaker.TRANSCRIPT: (_RUN, _ASK, _RUN, _ASK, _ASK),
    Speaker.SCREEN: (_RUN, _ASK, _ASK, _ASK, _ASK),
    Speaker.PLAIN: (_ASK, _ASK, _ASK, _ASK, _REFUSE),
    Speaker.WORKER: (_REFUSE, _REFUSE, _REFUSE, _REFUSE, _REFUSE),
}
# What a worker may do where it may delegate at all.
_NESTED: Final = (_RUN, _ASK, _ASK, _REFUSE, _REFUSE)
_SEVERITY: Final = (_RUN, _ASK, _REFUSE)

Overrides = Mapping[Speaker, Mapping[Demand, Verdict]]


def decide(
    *,
    source: Source,
    known_agent: bool,
    altered: bool,
    types: Collection[str],
    role_types: Collection[str],
    hosts: bool,
    from_worker: bool,
    nested: bool = False,
    agent_types: Collection[str] = (),
    overrides: Overrides | None = None,
) -> tuple[Verdict, str]:
    """Return the verdict on a directive and the reason as words for the event log.

    `types` are the types of the plan's workers; what is neither in `role_types` nor in
    `agent_types` (the built-in agents) counts as a type of the user's own. An MCP call counts as the
    user's only when the caller has checked the run's token. A worker may delegate only where it is `nested`,
    not too deep for `max_depth`. The strictest cell wins.
    """
    who = _speaker(source, known_agent, from_worker)
    found = _demands(set(types), set(role_types), set(agent_types), altered, hosts)
    verdict, demand = _RUN, Demand.ROLES
    for candidate in Demand:
        cell = verdict_for(who, candidate, overrides)
        if who is Speaker.WORKER:
            cell = _worker_cell(candidate, nested, overrides)
        if candidate in found and _SEVERITY.index(cell) > _SEVERITY.index(verdict):
            verdict, demand = cell, candidate
    return verdict, f"{SPEAKERS[who]}: {DEMANDS[demand]} → {verdict}"


def verdict_for(who: Speaker, what: Demand, overrides: Overrides | None = None) -> Verdict:
    """Return one cell of the table, with the user's changes."""
    changed = (overrides or {}).get(who, {}).get(what)
    return changed or _TABLE[who][list(Demand).index(what)]


def _worker_cell(what: Demand, nested: bool, overrides: Overrides | None) -> Verdict:
    if not nested:
        return _REFUSE
    changed = (overrides or {}).get(Speaker.WORKER, {}).get(what)
    return changed or _NESTED[list(Demand).index(what)]


def table(overrides: Overrides | None = None) -> list[tuple[str, ...]]:
    """Return the table as rows of text, the head row first, for the README and `doctor`."""
    head = ("who said it", *DEMANDS.values())
    return [head] + [
        (words, *(str(verdict_for(who, what, overrides)) for what in Demand))
        for who, words in SPEAKERS.items()
    ]


def _speaker(source: Source, known_agent: bool, from_worker: bool) -> Speaker:
    if from_worker:
        return Speaker.WORKER
    if source in (Source.CLI, Source.KEY, Source.MCP):
        return Speaker.USER
    # A transcript or a screen of a program that we do not know proves no more than plain text.
    if not known_agent or source in (Source.PLAIN, Source.DOOR):
        return Speaker.PLAIN
    return Speaker.TRANSCRIPT if source is Source.TRANSCRIPT else Speaker.SCREEN


def _demands(
    types: set[str], role_types: set[str], agent_types: set[str], altered: bool, hosts: bool
) -> set[Demand]:
    found = {Demand.ROLES}
    if altered:
        found.add(Demand.ALTERED)
    if "shell" in types:
        found.add(Demand.SHELL)
    named = types - role_types - {"shell"}
    if named & agent_types:
        found.add(Demand.AGENTS)
    if hosts or named - agent_types:
        found.add(Demand.POWERS)
    return found
