"""What shows an agent's state, weighed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.workers.evidence import NOTHING, SOURCES, Evidence, decide, read_back, settle_seconds, written
from aiorch.workers.state import AgentState, Verdict

IDLE, WORKING, WAITING = AgentState.IDLE, AgentState.WORKING, AgentState.WAITING
ERROR, UNKNOWN = AgentState.ERROR, AgentState.UNKNOWN
VERDICTS = st.builds(
    Verdict, st.sampled_from(AgentState), st.text(max_size=20), st.text(max_size=20), st.sampled_from(SOURCES)
)
CHAINS = st.lists(st.builds(Evidence, VERDICTS, st.floats(0, 2e9)), unique_by=lambda one: one.verdict.source)


def seen(source: str, state: AgentState, reason: str = "", since: float = 0.0) -> Evidence:
    return Evidence(Verdict(state, reason, f"{source}.rule", source), since)


@pytest.mark.parametrize(
    ("chain", "state", "source", "reason"),
    [
        ([], UNKNOWN, "", ""),
        ([seen("screen", IDLE)], IDLE, "screen", ""),
        ([seen("screen", IDLE), seen("record", WORKING)], WORKING, "record", ""),
        ([seen("title", UNKNOWN), seen("screen", WORKING)], WORKING, "screen", ""),
        # The dialog is there before the record knows of it, and not when the record has changed since.
        ([seen("record", WORKING, since=1), seen("screen", WAITING, "x", 2)], WAITING, "screen", "x"),
        ([seen("record", WORKING, since=3), seen("screen", WAITING, "x", 2)], WORKING, "record", ""),
        ([seen("record", WAITING, "permission"), seen("screen", WAITING, "permission: rm x")],
         WAITING, "record", "permission: rm x"),
        ([seen("record", WAITING, "permission"), seen("screen", WORKING, "", 9)],
         WAITING, "record", "permission"),
        ([seen("record", IDLE), seen("screen", ERROR, "API Error: 500")], ERROR, "screen", "API Error: 500"),
        ([seen("title", IDLE, since=9), seen("screen", WAITING, "limit")], WAITING, "screen", "limit"),
        ([seen("exit", AgentState.EXITED), seen("screen", WAITING, "x", 9)], AgentState.EXITED, "exit", ""),
        ([seen("exit", AgentState.EXITED, "exit 0"), seen("screen", AgentState.EXITED, "it said goodbye")],
         AgentState.EXITED, "exit", "exit 0"),
    ],
)  # fmt: skip
def test_the_strongest_decides_but_for_what_a_weaker_one_sees_first(
    chain: list[Evidence], state: AgentState, source: str, reason: str
) -> None:
    for order in (chain, chain[::-1]):
        verdict = decide(order)
        assert (verdict.state, verdict.source, verdict.reason) == (state, source, reason)


@given(CHAINS)
def test_a_verdict_is_one_of_those_given_whatever_their_order(chain: list[Evidence]) -> None:
    found = decide(chain)
    assert found == decide(chain[::-1])
    told = [one.verdict for one in chain if one.verdict.state is not UNKNOWN]
    assert (
        found == NOTHING if not told else (found.state, found.source) in [(v.state, v.source) for v in told]
    )


@given(CHAINS)
def test_evidence_comes_back_as_it_was_written(chain: list[Evidence]) -> None:
    assert read_back(written(chain)) == {one.verdict.source: one for one in chain}


@given(st.text())
def test_what_another_version_wrote_is_left_out(text: str) -> None:
    assert isinstance(read_back(text), dict)


def test_what_counts_at_once_and_what_has_to_stand() -> None:
    dialog, question = seen("title", WAITING).verdict, seen("screen", WAITING).verdict
    idle, working = seen("title", IDLE).verdict, seen("title", WORKING).verdict
    assert settle_seconds(dialog, interactive=True, is_done=False) == 0
    # Plain output looks like a question now and then.
    assert settle_seconds(question, interactive=False, is_done=False) == 2
    assert settle_seconds(working, interactive=True, is_done=False) == 0
    assert settle_seconds(working, interactive=True, is_done=True) == 1
    assert settle_seconds(idle, interactive=True, is_done=False) == 1.5
