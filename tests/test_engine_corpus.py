"""Recordings of real agents, played into a primary pane of a running engine: exactly theirs is run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from support.corpus_play import Played, Recording, chosen, play

CORPUS = Path(__file__).parent / "corpus"
PATTERNS = ("*/short*", "claude/five*", "plain/*")
RECORDINGS = [Recording(path) for path in sorted({p for form in PATTERNS for p in CORPUS.glob(form)})]
# Agents mostly wait, and so do their recordings.
AT_ONCE = 6
# Recorded with a lead that ended at its question: the answer with the directive was never printed.
NEVER_PRINTED = {"plain/approve-80x24"}
# One of each agent and renderer, and what a plain pane is most different in.
QUICK = {
    "aider/short-80x24",
    "claude/five-fullscreen-80x24",
    "claude/short-ax-100x35",
    "claude/short-classic-60x30",
    "codex/short-80x24",
    "copilot/short-80x24",
    "gemini/short-80x24",
    "opencode/short-80x24",
    "plain/long-80x24",
    "plain/three-140x45",
    "plain/tool-80x24",
    "qwen/short-80x24",
}
# For tests with a parameter of this name, the engine is killed at these parts of the recording.
KILLS = {"killed": (0.4, 0.7)}
KILLED = {
    "claude/five-classic-80x24",
    "claude/five-fullscreen-60x30",
    "plain/resize-140x45",
    "plain/scroll-80x24",
    "plain/three-80x24",
}

Plays = dict[tuple[str, Recording], Future[Played]]


def wanted(recording: Recording) -> list[str]:
    return [] if recording.name in NEVER_PRINTED else recording.expected


def parameters() -> list[object]:
    return [
        pytest.param(item, id=str(item), marks=() if item.name in QUICK else pytest.mark.slow)
        for item in RECORDINGS
    ]


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plays]:
    """Play the recordings of all chosen tests, by their parameter, some at once, the longest first."""
    pool = ThreadPoolExecutor(AT_ONCE)
    yield {
        (name, recording): pool.submit(
            play, recording, tmp_path_factory.mktemp("corpus"), wanted(recording), KILLS.get(name, ())
        )
        for name, recording in chosen(request)
    }
    pool.shutdown(cancel_futures=True)


def check_workers(played: Played) -> None:
    """Every accepted directive has the workers of its plan, each of which ran once, in a pane of its own."""
    planned = [(row.number, item["task"]) for row in played.accepted for item in json.loads(row.plan)]
    assert Counter((row.directive, row.task) for row in played.workers) == Counter(planned)
    assert all(row.attempt == 1 for row in played.workers)
    assert played.spawned == Counter(row.name for row in played.workers)
    assert played.ran == Counter((row.name, row.task) for row in played.workers)
    assert {row.pane: played.panes.get(row.pane) for row in played.workers} == {
        row.pane: row.name for row in played.workers
    }


def test_the_recordings_are_there() -> None:
    assert {item.name for item in RECORDINGS} >= QUICK | NEVER_PRINTED
    assert not any(b"ORCHESTRATE" in item.raw for item in RECORDINGS if item.name in NEVER_PRINTED)
    assert len([item for item in RECORDINGS if item.agent == "plain"]) == 24
    assert len([item for item in RECORDINGS if item.folder.name.startswith("five")]) == 5
    assert {item.agent for item in RECORDINGS if item.folder.name.startswith("short")} == {
        path.name for path in CORPUS.iterdir()
    }


@pytest.mark.parametrize("recording", parameters())
def test_exactly_the_recorded_directives_run(recording: Recording, plays: Plays) -> None:
    played = plays["recording", recording].result()
    assert played.log == recording.raw
    assert played.size == recording.last_size
    assert played.payloads == wanted(recording), played.story
    assert played.errors == []
    # A program that we do not know asks for everything, and so does a screen on which the output of commands
    # looks like answers (Aider); an agent whose text came whole asks for nothing.
    everything = {row.number for row in played.directives if row.plan}
    assert played.asked == (everything if recording.agent in ("plain", "aider") else set())
    check_workers(played)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [item for item in RECORDINGS if item.name in KILLED], ids=str)
def test_a_killed_engine_loses_and_repeats_nothing(killed: Recording, plays: Plays) -> None:
    played = plays["killed", killed].result()
    assert played.log == killed.raw
    assert played.payloads == killed.expected, played.story
    check_workers(played)
