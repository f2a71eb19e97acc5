"""The one table that says what a directive may do by itself, by who said it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

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
Cell = tuple[Speaker, Demand]


class Judgement(NamedTuple):
    """A verdict, its reason in words for the event log, and what it comes from.

    `demands` are the columns that count, `asks` those of them whose cell asks, both in the table's order.
    """

    verdict: Verdict
    reason: str
    who: Speaker
    demands: tuple[Demand, ...]
    asks: tuple[Demand, ...]


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
) -> Judgement:
    """Return the verdict on a directive, and what it comes from.

    `types` are the types of the plan's workers; what is neither in `role_types` nor in
    `agent_types` (the built-in agents) counts as a type of the user's own. An MCP call counts as the
    user's only when the caller has checked the run's token. A worker may delegate only where it is `nested`,
    not too deep for `max_depth`. The strictest cell wins.
    """
    who = _speaker(source, known_agent, from_worker)
    found = demands_of(types, role_types, agent_types, altered=altered, hosts=hosts)
    cells = {what: _cell(who, what, nested, overrides) for what in found}
    verdict = max(cells.values(), key=_SEVERITY.index)
    demand = next(what for what, cell in cells.items() if cell is verdict)
    asks = tuple(what for what, cell in cells.items() if cell is _ASK)
    return Judgement(verdict, f"{words((who, demand))} → {verdict}", who, found, asks)


def words(cell: Cell) -> str:
    """Return who and what a cell of the table is about, for people."""
    who, what = cell
    return f"{SPEAKERS[who]}: {DEMANDS[what]}"


def allowing(overrides: Overrides, cells: Iterable[Cell]) -> Overrides:
    """Return the user's changes of the table and that these cells run where they ask; none that refuses does.

    Workers are allowed something only where they may delegate at all.
    """
    changed = {who: dict(row) for who, row in overrides.items()}
    for who, what in cells:
        if _cell(who, what, True, overrides) is _ASK:
            changed.setdefault(who, {})[what] = _RUN
    return changed


def verdict_for(who: Speaker, what: Demand, overrides: Overrides | None = None) -> Verdict:
    """Return one cell of the table, with the user's changes."""
    changed = (overrides or {}).get(who, {}).get(what)
    return changed or _TABLE[who][list(Demand).index(what)]


def _cell(who: Speaker, what: Demand, nested: bool, overrides: Overrides | None) -> Verdict:
    if who is not Speaker.WORKER:
        return verdict_for(who, what, overrides)
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


def demands_of(
    types: Collection[str],
    role_types: Collection[str],
    agent_types: Collection[str],
    *,
    altered: bool = False,
    hosts: bool = False,
) -> tuple[Demand, ...]:
    """Return the columns of the table that a plan with workers of these types demands, in their order."""
    named = set(types) - set(role_types) - {"shell"}
    agents = named & set(agent_types)
    found = {
        Demand.ROLES: True,
        Demand.ALTERED: altered,
        Demand.AGENTS: bool(agents),
        Demand.POWERS: hosts or bool(named - agents),
        Demand.SHELL: "shell" in types,
    }
    return tuple(what for what, counts in found.items() if counts)
