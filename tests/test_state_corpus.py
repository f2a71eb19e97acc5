"""How well states are told on recordings of real agents: the figures that may not get worse."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

from aiorch.explain import rules_for
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.state import AgentState, Glance, screen_verdict
from support.moments import Moment, moments
from support.verdicts import Counts, Table, judged

CORPUS = Path(__file__).parent / "corpus"
AGENTS = ("claude", "codex", "gemini", "opencode", "copilot", "qwen", "aider", "plain")


@lru_cache(len(AGENTS))
def recorded(agent: str) -> list[Moment]:
    return [
        moment for path in sorted((CORPUS / agent).glob("*/meta.json")) for moment in moments(path.parent)
    ]


def counted(*, title: bool) -> Counts:
    return sum((judged(agent, recorded(agent), title=title)[0] for agent in AGENTS), Counter())


@pytest.mark.parametrize("agent", AGENTS)
def test_the_screen_alone_tells_each_agents_state(agent: str) -> None:
    counts, wrong = judged(agent, recorded(agent), title=False)
    assert Table(counts).macro_f1 >= 0.92, wrong


def test_with_titles_more_is_told() -> None:
    assert Table(counted(title=True)).macro_f1 >= 0.97


def test_a_worker_that_waits_is_never_shown_idle() -> None:
    for title in (False, True):
        table = Table(counted(title=title))
        assert table.waiting >= 30
        assert table.waiting_as_idle == 0


def test_every_state_is_among_the_recordings() -> None:
    seen = Counter(moment.state for agent in AGENTS for moment in recorded(agent))
    assert set(seen) == set(AgentState) - {AgentState.UNKNOWN}
    assert min(seen[AgentState.IDLE], seen[AgentState.WORKING]) >= 200


def shown(moment: Moment) -> list[str]:
    return [row for row in moment.glance.rows if row.strip()]


ASKING = ("claude", "codex", "gemini", "opencode", "copilot", "qwen")


@pytest.mark.parametrize("agent", ASKING)
def test_a_dialog_is_seen_in_a_pane_of_ten_rows(agent: str) -> None:
    rules = rules_for(agent, load_profiles(None))
    for moment in recorded(agent):
        if moment.state is AgentState.WAITING and "Working" not in "".join(moment.glance.rows):
            verdict = screen_verdict(rules, Glance(tuple(shown(moment)[-10:])))
            assert verdict.state is AgentState.WAITING, (moment.case, verdict)


@pytest.mark.parametrize("agent", ASKING)
def test_a_dialog_that_an_answer_quotes_is_none(agent: str) -> None:
    rules = rules_for(agent, load_profiles(None))
    seen = recorded(agent)
    idle = [m for m in seen if m.state is AgentState.IDLE and m.glance.columns == 80][-1:] or [
        m for m in seen if m.state is AgentState.IDLE
    ][-1:]
    for moment in seen:
        if moment.state is AgentState.WAITING:
            quoted = [f"    {row}" for row in shown(moment)[-14:]]
            verdict = screen_verdict(rules, Glance((*quoted, *shown(idle[0])[-8:])))
            assert verdict.state is not AgentState.WAITING, (moment.case, verdict)
