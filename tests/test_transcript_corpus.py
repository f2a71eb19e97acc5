"""Session files of real agents: every directive of the assistant's own, exactly, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from aiorch.capture.directive import Directive, Rejected, Sighting
from aiorch.capture.grammar import canonical
from aiorch.capture.transcript.follow import FORMATS, guess_format, open_transcript
from aiorch.capture.transcript.said import Said, sightings

CORPUS = Path(__file__).parent / "corpus"
# The recording ended before the file got the answer.
NOT_WRITTEN = {"aider/approve-80x24"}


def session_files(agent: str) -> list[Path]:
    return sorted(CORPUS.glob(f"{agent}/*/session*"))


def directives(said: list[Said]) -> list[Sighting]:
    """Return the sightings as the engine takes them: the first of each key."""
    first: dict[str, Sighting] = {}
    for one in said:
        for sighting in sightings(one):
            first.setdefault(sighting.key, sighting)
    return list(first.values())


@dataclass
class Tally:
    cases: int = 0
    expected: int = 0
    exact: int = 0
    other: int = 0

    def add(self, case: Path) -> None:
        agent = case.parent.name
        said = [one for file in sorted(case.glob("session*")) for one in open_transcript(agent, file).read()]
        found = [canonical(s.payload) for s in directives(said) if isinstance(s, Directive)]
        wanted = [canonical(item) for item in json.loads((case / "meta.json").read_text())["expected"]]
        if agent == "gemini":
            # Its file lacks the joiners that the screen had.
            wanted = [text.replace("\u200d", "") for text in wanted]
        exact = sum((Counter(found) & Counter(wanted)).values())
        self.cases += 1
        self.expected += len(wanted)
        self.exact += exact
        self.other += len(found) - exact


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("claude", 165),
        ("codex", 17),
        ("gemini", 11),
        ("qwen", 14),
        ("copilot", 17),
        ("opencode", 13),
        ("aider", 16),
    ],
)
def test_every_directive_is_exact_and_none_is_false(agent: str, expected: int) -> None:
    tally = Tally()
    for case in sorted({file.parent for file in session_files(agent)}):
        if f"{agent}/{case.name}" not in NOT_WRITTEN:
            tally.add(case)
    assert tally.expected == expected
    assert tally.exact == tally.expected
    assert tally.other == 0


@pytest.mark.parametrize("agent", FORMATS)
def test_reading_again_gives_the_same_keys(agent: str) -> None:
    for file in session_files(agent):
        once, again = open_transcript(agent, file), open_transcript(agent, file)
        first = once.read()
        assert [s.key for s in directives(first)] == [s.key for s in directives(again.read())]
        assert once.read() == []
        assert len(json.dumps(once.cursor)) < 300
        assert open_transcript(agent, file, json.loads(json.dumps(once.cursor))).read() == []


@pytest.mark.parametrize("agent", FORMATS)
def test_the_format_is_told_from_the_content(agent: str) -> None:
    assert {guess_format(file) for file in session_files(agent)} == {agent}


def test_a_cut_off_directive_in_a_finished_text_is_an_error() -> None:
    said = open_transcript("claude", CORPUS / "claude/broken-classic-80x24/session.jsonl").read()
    errors = [s for s in directives(said) if isinstance(s, Rejected) and s.is_error]
    assert len(errors) == 1


def test_a_conversation_that_was_cleared_is_another_one() -> None:
    case = CORPUS / "claude/clear-classic-100x35"
    first = open_transcript("claude", case / "session.jsonl").read()
    second = open_transcript("claude", case / "session2.jsonl").read()
    assert {one.conversation for one in first}.isdisjoint({one.conversation for one in second})
    assert {one.message for one in first}.isdisjoint({one.message for one in second})
