"""What shows an agent's state, weighed: the strongest decides, the others make it exact (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from aiorch.workers.state import AgentState, Verdict

SOURCES = ("exit", "record", "session", "file", "title", "screen")
"""Where evidence comes from, strongest first: the wrapper's record of the exit status, what the agent itself
keeps of its state, how its session file says that its last turn ended, whether by that file a turn is under
way, the title of its pane, what its screen shows."""

WAIT_SETTLE = 2.0
IDLE_SETTLE = 1.5
ERROR_SETTLE = 2.0
AGAIN_SETTLE = 1.0
WORDS_SETTLE = 0.3

NOTHING = Verdict(AgentState.UNKNOWN, "", "none", "")
_TROUBLE = frozenset({AgentState.WAITING, AgentState.ERROR})


@dataclass(frozen=True, slots=True)
class Evidence:
    """One verdict and since when it stands (seconds since the epoch)."""

    verdict: Verdict
    since: float


def in_order(found: Iterable[Evidence]) -> list[Evidence]:
    """Return evidence with the strongest first; sources that nobody knows come last."""
    rank = {source: number for number, source in enumerate(SOURCES)}
    return sorted(found, key=lambda one: rank.get(one.verdict.source, len(rank)))


def decide(found: Iterable[Evidence]) -> Verdict:
    """Return what all evidence together says.

    The strongest that says something decides, but for what a weaker one sees first. A dialog is
    on the screen before the agent's record knows of it (Claude Code 2.1.330: up to 0.5 s). And records and
    titles call an agent idle that shows an error or a limit (Claude Code, Codex, Gemini, Qwen). The reason is
    the longest of those that agree: a record says "permission", the screen for what.
    """
    chain = [one for one in in_order(found) if one.verdict.state is not AgentState.UNKNOWN]
    if not chain:
        return NOTHING
    top = chain[0]
    for other in chain[1:]:
        if _overrules(other, top):
            top = other
    return _worded(top.verdict, chain)


def settle_seconds(verdict: Verdict, *, interactive: bool, is_done: bool) -> float | None:
    """Return for how long a verdict must stand before it changes the state of a worker, None for ever.

    Plain output may look like a question until more of it comes; an agent between two steps looks idle, and
    one whose turn is over draws its screen anew now and then.
    """
    if verdict.state is AgentState.WORKING:
        return AGAIN_SETTLE if is_done else 0.0
    if verdict.state is AgentState.WAITING:
        if lacks_words(verdict):
            return WORDS_SETTLE
        return 0.0 if interactive or verdict.source != "screen" else WAIT_SETTLE
    if verdict.state is AgentState.IDLE and interactive:
        return IDLE_SETTLE
    if verdict.state is AgentState.ERROR and interactive:
        return ERROR_SETTLE
    return None if is_done else AGAIN_SETTLE


def lacks_words(verdict: Verdict) -> bool:
    """Return whether an agent that waits is about to draw for what: its record knows only the kind."""
    return verdict.state is AgentState.WAITING and verdict.source == "record" and ":" not in verdict.reason


def written(found: Iterable[Evidence]) -> str:
    """Return evidence as the JSON that `read_back` takes."""
    return json.dumps([{**asdict(one.verdict), "since": one.since} for one in in_order(found)])


def read_back(text: str) -> dict[str, Evidence]:
    """Return the evidence that `written` gave, by source; what another version wrote is left out."""
    found = {}
    with suppress(ValueError, TypeError, KeyError):
        for one in json.loads(text):
            verdict = Verdict(AgentState(one["state"]), one["reason"], one["rule"], one["source"])
            found[verdict.source] = Evidence(verdict, float(one["since"]))
    return found


def with_exit(text: str, reason: str, now: float) -> str:
    """Return evidence as `written`, with how the wrapper's record says that the agent ended."""
    end = Evidence(Verdict(AgentState.EXITED, reason, "wrapper.exit", "exit"), now)
    return written([*read_back(text).values(), end])


def _overrules(other: Evidence, top: Evidence) -> bool:
    state, over = other.verdict.state, top.verdict.state
    if over is AgentState.IDLE:
        # A session file has what was, not what is: another version may write the next turn's start elsewhere.
        begins = top.verdict.source == "file" and state is AgentState.WORKING and other.since > top.since
        return state in _TROUBLE or begins
    return over is AgentState.WORKING and state is AgentState.WAITING and other.since > top.since


def _worded(verdict: Verdict, chain: Sequence[Evidence]) -> Verdict:
    if verdict.source == "exit":
        # The status says it all; a screen knows only that it said goodbye.
        return verdict
    reasons = [one.verdict.reason for one in chain if one.verdict.state is verdict.state]
    return replace(verdict, reason=max(reasons, key=len, default=verdict.reason))
