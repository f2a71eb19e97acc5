"""Agents that keep session files, played live: the engine finds the file by itself and runs its words."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from support.corpus_play import Played, Recording, chosen, play

CORPUS = Path(__file__).parent / "corpus"
RECORDINGS = [
    Recording(path.parent) for path in sorted(CORPUS.glob("*/*/session*")) if path.stem == "session"
]
# A program that prints its events is no agent with a screen: nothing of its own stands in a session file.
PRINTED = [item for item in RECORDINGS if "-print-" in item.folder.name]
AT_ONCE = 8
# The agent's own file was not written when its recording ended, or lacks joiners of emoji: those are only
# restored when the screen comes first, as it does in the agent itself but not always here.
NOT_EXACT = {"gemini/three-80x24", "gemini/three-140x45", "qwen/long-140x45", "aider/approve-80x24"}
# One of each agent, and what a screen alone gets wrong or cannot tell.
QUICK = {
    "aider/fence-80x24",
    "aider/tool-80x24",
    "claude/clear-classic-100x35",
    "claude/continue-fullscreen-100x35",
    "claude/mda-classic-80x24",
    "claude/resize-classic-120x35",
    "claude/scrollfast-fullscreen-80x24",
    "codex/md-80x24",
    "copilot/md-80x24",
    "gemini/md-80x24",
    "opencode/three-80x24",
    "qwen/md-80x24",
}
LATE = {
    "claude/short-fullscreen-80x24",
    "codex/short-80x24",
    "opencode/short-80x24",
}

Plays = dict[tuple[str, Recording], Future[Played]]


def parameters() -> list[object]:
    chosen = [item for item in RECORDINGS if item.name not in NOT_EXACT and item not in PRINTED]
    return [
        pytest.param(item, id=str(item), marks=() if item.name in QUICK else pytest.mark.slow)
        for item in chosen
    ]


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plays]:
    """Play the recordings of all chosen tests, by their parameter, some at once, the longest first."""
    pool = ThreadPoolExecutor(AT_ONCE)
    yield {
        (name, recording): pool.submit(
            play,
            recording,
            tmp_path_factory.mktemp("files"),
            recording.expected,
            (0.3, 0.7) if name == "killed" else (),
            "late" if name == "late" else "along",
        )
        for name, recording in chosen(request)
    }
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("recording", parameters())
def test_the_words_of_the_session_file_run_exactly(recording: Recording, plays: Plays) -> None:
    played = plays["recording", recording].result()
    assert played.payloads == recording.expected, played.story
    assert {row.source for row in played.accepted} <= {
        "plain" if recording.agent == "aider" else "transcript"
    }
    asked = {row.number for row in played.accepted if row.source == "plain"}
    assert played.asked == asked, played.story


@pytest.mark.parametrize("late", [item for item in RECORDINGS if item.name in LATE], ids=str)
def test_a_file_that_comes_late_runs_nothing_twice(late: Recording, plays: Plays) -> None:
    played = plays["late", late].result()
    assert played.payloads == late.expected, played.story


@pytest.mark.parametrize(
    "killed", [item for item in RECORDINGS if item.name in QUICK - {"aider/tool-80x24"}], ids=str
)
@pytest.mark.slow
def test_a_killed_engine_loses_and_repeats_nothing(killed: Recording, plays: Plays) -> None:
    played = plays["killed", killed].result()
    assert played.payloads == killed.expected, played.story
