"""Recordings of real agents, read from the screen alone."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from aiorch.capture.directive import Directive, Rejected, Sighting
from aiorch.capture.grammar import canonical
from aiorch.capture.pane import PaneReader
from capture_corpus import Outcome, gutter_of, judge_case, play

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path.parent for path in CORPUS.glob("*/*/meta.json"))

# Never drawn, or drawn without the characters that make it a directive: only the agent's own file has them.
NOT_ON_SCREEN = {"plain/approve-80x24"}
# Nothing on the screen tells the output of a command from an answer here; the trust table asks.
NOT_TOLD_APART = {"plain/tool-80x24", "plain/tool-140x45", "aider/tool-80x24", "aider/tool-140x45"}


def name_of(case: Path) -> str:
    return f"{case.parent.name}/{case.name}"


REQUIRED = [
    case
    for case in CASES
    if case.parent.name == "plain"
    or (case.name.startswith(("short", "five")) and name_of(case) not in NOT_ON_SCREEN)
]


def test_the_corpus_is_there() -> None:
    agents = {case.parent.name for case in CASES}
    assert agents == {"claude", "codex", "gemini", "opencode", "qwen", "copilot", "aider", "plain"}
    assert len(REQUIRED) >= 40


@pytest.mark.parametrize("case", REQUIRED, ids=name_of)
def test_plain_text_directives_are_exact(case: Path) -> None:
    outcome = judge_case(case, play(case)[0])
    assert outcome.missed == (name_of(case) in NOT_ON_SCREEN)
    assert outcome.altered == outcome.duplicate == 0


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_nothing_false_and_nothing_twice(case: Path) -> None:
    outcome = judge_case(case, play(case)[0])
    assert outcome.duplicate == 0
    assert outcome.false == (name_of(case) in NOT_TOLD_APART)


def test_most_directives_are_exact_over_all() -> None:
    total = Outcome()
    for case in CASES:
        total.add(judge_case(case, play(case)[0]))
    assert total.exact >= 0.85 * total.expected
    assert total.marked <= 0.10 * total.exact


def test_brackets_eaten_by_rendering_yield_nothing_wrong() -> None:
    for case in sorted((CORPUS / "opencode").iterdir()):
        outcome = judge_case(case, play(case)[0])
        assert outcome.false == outcome.duplicate == 0
        # What lost something is only let through with a mark, never silently.
        assert outcome.altered <= outcome.marked


def test_a_directive_cut_off_by_its_author_is_an_error() -> None:
    for renderer in ("classic", "fullscreen"):
        sightings, _ = play(CORPUS / "claude" / f"broken-{renderer}-80x24")
        errors = [s for s in sightings if isinstance(s, Rejected) and s.is_error]
        assert [error.reason for error in errors] == ["it was cut off before its JSON object was complete"]


def read_in_pieces(case: Path, longest: int) -> list[tuple[str, str]]:
    meta = json.loads((case / "meta.json").read_text())
    raw = (case / "raw.log").read_bytes()
    resizes = [(r["offset"], r["cols"], r["rows"]) for r in meta.get("resizes") or []]
    reader = PaneReader(meta["cols"], meta["rows"], gutter_of(meta["agent"]))
    source = random.Random(longest)
    found: list[Sighting] = []
    at = 0
    while at < len(raw):
        while resizes and resizes[0][0] <= at:
            reader.resize(*resizes.pop(0)[1:])
        end = min(at + source.randint(1, longest), resizes[0][0] if resizes else len(raw), len(raw))
        found += reader.feed(raw[at:end], f"log:{at}")
        at = end
    return [(type(s).__name__, s.key) for s in found + reader.settle()]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_the_result_does_not_depend_on_the_reads(case: Path) -> None:
    whole = read_in_pieces(case, 1 << 30)
    assert read_in_pieces(case, 97) == whole
    assert read_in_pieces(case, 5000) == whole


@pytest.mark.parametrize("agent", ["claude", "plain"])
def test_every_single_byte_can_be_a_read(agent: str) -> None:
    for case in sorted((CORPUS / agent).glob("short*80x24*")):
        assert read_in_pieces(case, 1) == read_in_pieces(case, 1 << 30)


def test_what_was_there_before_is_listed_and_not_yielded() -> None:
    case = CORPUS / "claude" / "five-classic-80x24"
    meta = json.loads((case / "meta.json").read_text())
    whole, _ = play(case, mode="screen")
    found = {canonical(s.payload) for s in whole if isinstance(s, Directive)}
    reader = PaneReader(meta["cols"], meta["rows"], gutter_of("claude"), mode="screen")
    reader.seed("\n".join(play(case, mode="screen")[1].screen_text()))
    assert {s.reason for s in reader.seeded} == {"before start"}
    assert not any(s.is_error for s in reader.seeded)
    again = reader.feed((case / "raw.log").read_bytes(), "log:0") + reader.settle()
    new = {canonical(s.payload) for s in again if isinstance(s, Directive)}
    # The rows above the screen's top are not part of the seed.
    assert len(found) == 5
    assert len(new) + len(reader.seeded) == 5
