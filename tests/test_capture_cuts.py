"""The bytes of a pane give the same however they are cut into reads."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiorch.capture.directive import Rejected, Sighting
from aiorch.capture.pane import PaneReader
from aiorch.capture.played import Resize, play
from capture_corpus import gutter_of, resizes_of

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path.parent for path in CORPUS.glob("*/*/meta.json"))
SHORTEST = sorted(CASES, key=lambda case: (case / "raw.log").stat().st_size)[:4]
GOOD = '[ORCHESTRATE] {"task": "Build a REST API"}'

Seen = tuple[str, str, str, object, str]


def seen(sighting: Sighting) -> Seen:
    more: object = sighting.reason if isinstance(sighting, Rejected) else sighting.altered
    return type(sighting).__name__, sighting.key, sighting.position, more, sighting.received_as


def read_case(case: Path, blocks: Iterable[bytes]) -> list[Seen]:
    meta = json.loads((case / "meta.json").read_text())
    reader = PaneReader(meta["cols"], meta["rows"], gutter_of(meta["agent"]))
    return [seen(sighting) for sighting in play(reader, blocks, resizes_of(meta))]


def pieces(data: bytes, longest: int) -> Iterator[bytes]:
    source, at = random.Random(longest), 0
    while at < len(data):
        length = source.randint(1, longest)
        yield data[at : at + length]
        at += length


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_random_reads_of_a_recording(case: Path) -> None:
    raw = (case / "raw.log").read_bytes()
    whole = read_case(case, [raw])
    assert read_case(case, pieces(raw, 5000)) == whole
    if len(raw) < 40_000:
        assert read_case(case, pieces(raw, 9)) == whole
    if len(raw) < 12_000:
        assert read_case(case, pieces(raw, 1)) == whole


@pytest.mark.parametrize("case", SHORTEST, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_every_place_where_two_reads_can_meet(case: Path) -> None:
    raw = (case / "raw.log").read_bytes()[:1500]
    whole = read_case(case, [raw])
    for at in range(1, len(raw)):
        assert read_case(case, [raw[:at], raw[at:]]) == whole, at


PARTS = [
    *(
        part.encode()
        for part in (GOOD, f"● Go:\r\n\r\n  {GOOD}\r\n\r\n", "● x", "❯ y", "[ORCH", "ESTRATE] {")
    ),
    *(
        part.encode()
        for part in ('"a": 1}', '{"task": "b"}', "👩‍💻", "⚠️", "構築", "\r\n", "\r\n" * 9, "  ", "x" * 700)
    ),
    *(
        b"\x1b[" + rest
        for rest in (b"2J", b"J", b"H", b"3;3H", b"1A", b"2K", b"2K\x1b[1A", b"K", b"?25l", b"?25h")
    ),
    *(
        b"\x1b[" + rest
        for rest in (b"?1049h", b"?1049l", b"?2026h", b"?2026l", b"3L", b"2M", b"1;5r", b"90G", b"7m")
    ),
    b"\x1bc",
    b"\x1b]0;title\x07",
    b"\xff\xfe\x80",
    b"\x1b",
]
STREAMS = st.lists(st.one_of(st.sampled_from(PARTS), st.binary(max_size=6)), max_size=40)


@settings(max_examples=250, deadline=None)
@given(
    STREAMS, st.lists(st.integers(0, 6000), max_size=6), st.integers(0, 4000), st.sampled_from(["claude", ""])
)
@example([b"x" * 700] * 3 + [b"\x1b[?25l", PARTS[1], b"\x1b[2J"], [2099, 2102], 0, "claude")
def test_reads_of_any_stream(parts: list[bytes], cuts: list[int], resize: int, agent: str) -> None:
    data = b"".join(parts)
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]

    def read(blocks: Iterable[bytes]) -> list[Seen]:
        reader = PaneReader(60, 12, gutter_of(agent) if agent else None)
        return [seen(sighting) for sighting in play(reader, blocks, [Resize(resize, 80, 10)])]

    whole = read([data])
    assert read(data[start:end] for start, end in pairwise(places)) == whole
    assert read(data[at : at + 1] for at in range(len(data))) == whole
