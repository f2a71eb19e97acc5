"""Counting how often an agent's state is told right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aiorch.explain import rules_for
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.state import AgentState, judge, screen_verdict
from support.moments import Moment

Counts = Counter[tuple[str, str]]
"""How many screens had the first state and were said to have the second one."""


def judged(agent: str, seen: Sequence[Moment], *, title: bool) -> tuple[Counts, list[str]]:
    """Return the counts for an agent's moments, and a line for each that was judged wrongly."""
    rules = rules_for(agent, load_profiles(None))
    counts: Counts = Counter()
    wrong = []
    for moment in seen:
        verdict = (judge if title else screen_verdict)(rules, moment.glance)
        counts[str(moment.state), str(verdict.state)] += 1
        if verdict.state is not moment.state:
            where = f"{agent}/{moment.case} at {moment.seconds:.1f} s"
            wrong.append(f"{where}: {moment.state}, judged {verdict.state} by {verdict.rule}")
    return counts, wrong


@dataclass(frozen=True, slots=True)
class Table:
    """What counts say; states that no screen had are left out."""

    counts: Mapping[tuple[str, str], int]

    @property
    def macro_f1(self) -> float:
        """The mean over the states of F1: twice what is right, by that and all that is wrong in it."""
        states = {truth for truth, _ in self.counts}
        return sum(map(self._f1, states)) / len(states) if states else 0.0

    @property
    def waiting(self) -> int:
        """How many screens were of agents that wait."""
        return sum(count for (truth, _), count in self.counts.items() if truth == AgentState.WAITING)

    @property
    def waiting_as_idle(self) -> int:
        """How many of them were taken for idle."""
        return self.counts.get((AgentState.WAITING, AgentState.IDLE), 0)

    def row(self, name: str) -> list[str]:
        total = sum(self.counts.values())
        return [name, str(total), f"{self.macro_f1:.3f}", str(self.waiting), str(self.waiting_as_idle)]

    def confusion(self) -> Iterator[list[str]]:
        """Yield a table: a row for each true state, a column for each that was said."""
        said = [state for state in AgentState if any(judged == state for _, judged in self.counts)]
        yield ["true state", *said]
        yield ["---", *("--:" for _ in said)]
        for truth in AgentState:
            if any(state == truth for state, _ in self.counts):
                yield [truth, *(str(self.counts.get((truth, state), 0)) for state in said)]

    def _f1(self, state: str) -> float:
        right = self.counts.get((state, state), 0)
        wrong = sum(n for (truth, said), n in self.counts.items() if truth != said and state in (truth, said))
        return 2 * right / (2 * right + wrong) if right else 0.0
