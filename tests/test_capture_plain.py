"""Lines of output: decoding, the grammar, and independence of how the bytes were cut."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiorch.capture.addressing import AddressingDetector
from aiorch.capture.ansi import decode_line
from aiorch.capture.directive import Directive, Rejected, Sighting
from aiorch.capture.grammar import (
    MARKER,
    MAX_PAYLOAD,
    Balance,
    Broken,
    Complete,
    Partial,
    in_string,
    judge,
    object_end,
)
from aiorch.capture.lines import CUT_OFF, find_in_text
from aiorch.capture.pane import PaneReader
from aiorch.capture.plain import MAX_LINE, PlainReader

GOOD = b'[ORCHESTRATE] {"task": "Build a REST API with auth"}'


def read(data: bytes, cuts: list[int] | None = None) -> list[Sighting]:
    reader = PlainReader()
    found: list[Sighting] = []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts or []), len(data)]
    for start, end in pairwise(edges):
        found += reader.feed(data[start:end], f"000001-aaaaa:{start}")
    return found + reader.settle()


def payloads(found: list[Sighting]) -> list[object]:
    return [s.payload for s in found if isinstance(s, Directive)]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"\x1b[1;32mgreen\x1b[0m", "green"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b(Bascii\x0f", "ascii"),
        (b"\x1bPq#0\x1b\\after", "after"),
        (b"10%\r20%\r100%", "100%"),
        (b"long text\rshort", "shorttext"),
        (b"abc\b\b\x1b[KX", "aX"),
        (b"abcdef\x1b[3DX", "abcXef"),
        (b"ab\x1b[3Cc", "ab   c"),
        (b"a\tb", "a       b"),
        (b"abcd\r\x1b[2P", "cd"),
        (b"abcd\r\x1b[2@x", "x abcd"),
        (b"gone\x1b[2K\rnew", "new"),
        (b"bad \xff utf", "bad \ufffd utf"),
        ("構築 ✅".encode(), "構築 ✅"),
        (b"x\r", "x"),
    ],
)
def test_a_line_shows_what_a_terminal_shows(raw: bytes, text: str) -> None:
    assert decode_line(raw).text == text


@given(st.binary(max_size=400))
def test_decoding_never_fails(raw: bytes) -> None:
    line = decode_line(raw)
    if line.offsets is not None:
        assert len(line.offsets) == len(line.text)


NOISE = st.one_of(
    st.just(GOOD),
    st.just(b"\r\n"),
    st.just(b"\n"),
    st.just(b"[ORCHESTRATE]"),
    st.just(b'\n[ORCHESTRATE] {\n  "task": "pretty",\n  "n": [1,\n 2]\n}\n'),
    st.just(b'\n\x1b[1m[ORCH\x1b[0mESTRATE] {"task": "styled"}\n'),
    st.just('\n[ORCHESTRATE] {"task": "構築 🚀"}\n'.encode()),
    st.just(
        b'{"type":"assistant","message":{"content":'
        b'[{"type":"text","text":"[ORCHESTRATE] {\\"task\\":\\"j\\"}"}]}}\n'
    ),
    st.just(b"```\n"),
    st.binary(max_size=12),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(NOISE, max_size=12).map(b"".join), st.lists(st.integers(0, 600), max_size=12))
def test_every_chunking_gives_the_same(data: bytes, cuts: list[int]) -> None:
    data = data + b"\n"
    assert read(data, cuts) == read(data)


def test_every_single_split_gives_the_same() -> None:
    data = b"say \x1b[1mhi\x1b[0m\r\n" + GOOD + '\r\n[ORCHESTRATE] {"task": "構築 👩‍💻"}\r\n'.encode()
    whole = read(data)
    assert len(payloads(whole)) == 2
    for cut in range(len(data)):
        assert read(data, [cut]) == whole


@pytest.mark.parametrize(
    "line",
    [
        GOOD,
        b"   " + GOOD,
        b"`" + GOOD + b"`",
        b"\x1b[31m" + GOOD + b"\x1b[0m",
        b"[ORCHESTRATE]" + GOOD[14:],
        b"[ORCHESTRATE]  \t" + GOOD[14:] + b"  ",
        b"\x1b[?2004l\r" + GOOD,
    ],
)
def test_a_marker_first_on_its_line_counts(line: bytes) -> None:
    assert payloads(read(line + b"\r\n")) == [{"task": "Build a REST API with auth"}]


@pytest.mark.parametrize(
    "line",
    [
        b"I say " + GOOD,
        b"- " + GOOD,
        b"> " + GOOD,
        b"| " + GOOD + b" |",
        b"    " + GOOD,
        b"1. " + GOOD,
        GOOD + b" and on",
    ],
)
def test_a_near_miss_is_ignored_with_a_reason(line: bytes) -> None:
    found = read(line + b"\n")
    assert [isinstance(s, Rejected) and not s.is_error and bool(s.reason) for s in found] == [True]


def test_said_twice_is_two_with_keys_by_place() -> None:
    found = read(GOOD + b"\n" + b"x\n" + GOOD + b"\n")
    assert [s.key for s in found] == ["plain:000001-aaaaa:0", f"plain:000001-aaaaa:{len(GOOD) + 3}"]


def test_the_same_place_has_the_same_key_after_a_restart() -> None:
    reader = PlainReader()
    found = reader.feed(b"tail of a line\n" + GOOD + b"\n", "000002-aaaab:100")
    assert found[0].key == "plain:000002-aaaab:115"
    assert found[0].position == "000002-aaaab:115"


def test_a_prompt_without_a_line_end_is_decided_once() -> None:
    reader = PlainReader()
    assert reader.feed(GOOD[:30], "s:0") == []
    assert reader.wants_settle
    assert reader.settle() == []
    assert reader.unfinished == "s:0"
    assert reader.feed(GOOD[30:], "s:30") == []
    assert payloads(reader.settle()) == [{"task": "Build a REST API with auth"}]
    assert reader.settle() == []
    assert not reader.wants_settle
    assert reader.feed(b"\n", f"s:{len(GOOD)}") == []
    assert reader.unfinished is None


def test_pretty_printed_json_counts_and_a_prompt_ends_a_broken_one() -> None:
    pretty = b'[ORCHESTRATE]\n{\n  "task": "x",\n\n  "workers": ["a", "b"]\n}\n'
    assert payloads(read(pretty)) == [{"task": "x", "workers": ["a", "b"]}]
    (error,) = read(b'[ORCHESTRATE] {"task": "unclosed\n$ ls\n')
    assert isinstance(error, Rejected)
    assert error.is_error
    assert "column" in error.reason
    cut, good = read(b'[ORCHESTRATE] {"task": "a",\n' + GOOD + b"\n")
    assert isinstance(cut, Rejected)
    assert "cut off" in cut.reason
    assert isinstance(good, Directive)


@pytest.mark.parametrize(
    "body",
    [
        '{"task": }',
        "{task: 1}",
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '{"a": "\\x"}',
        "{]",
        '{"a": ' + "[" * 50000 + "]" * 50000 + "}",
    ],
)
def test_malformed_json_is_an_error_with_its_place(body: str) -> None:
    (error,) = read(f"[ORCHESTRATE] {body}\n".encode())
    assert isinstance(error, Rejected)
    assert error.is_error
    assert error.reason


def test_a_line_of_ten_megabytes_is_an_error_in_little_memory() -> None:
    reader = PlainReader()
    found: list[Sighting] = reader.feed(b'[ORCHESTRATE] {"task": "', "s:0")
    for at in range(0, 10_000_000, 65536):
        found += reader.feed(b"x" * 65536, f"s:{at + 24}")
        assert len(reader.text()) <= MAX_LINE if at % (65536 * 40) == 0 else True
    found += reader.feed(b'"}\n' + GOOD + b"\n", "t:0")
    assert [isinstance(s, Rejected) and s.is_error for s in found] == [True, False]
    assert str(MAX_PAYLOAD) in found[0].reason if isinstance(found[0], Rejected) else False
    assert found[1].position == "t:3"


def test_an_event_stream_yields_the_assistants_text_only() -> None:
    said = {"type": "assistant", "message": {"content": [{"type": "text", "text": "a\n" + GOOD.decode()}]}}
    user = {"type": "user", "message": {"content": [{"type": "text", "text": GOOD.decode()}]}}
    helper = {**said, "parent_tool_use_id": "toolu_1"}
    codex = {"type": "item.completed", "item": {"type": "agent_message", "text": GOOD.decode()}}
    lines = "".join(json.dumps(event) + "\n" for event in (said, user, helper, codex))
    assert len(payloads(read(lines.encode()))) == 2


def test_a_fence_counts_and_is_named() -> None:
    (found,) = read(b"```json\n" + GOOD + b"\n```\n")
    assert isinstance(found, Directive)
    assert "fenced" in found.provenance


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), st.booleans(), st.sampled_from([None, 1, 2]))
def test_judge_finds_exactly_the_object(
    payload: dict[str, object], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(payload, ensure_ascii=ascii_only, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    verdict = judge(text + ' and {"more": 1}', 0)
    if isinstance(verdict, Complete):
        assert verdict.payload == payload
        assert verdict.end == len(text)
    else:
        assert "surrogate" in getattr(verdict, "reason", "")
    for cut in range(1, len(text)):
        assert not isinstance(judge(text[:cut], 0), Complete | Broken), text[:cut]


@given(st.text(alphabet='{}[]":,\\ntrue01 -e.u', max_size=40))
def test_judge_never_fails_and_open_ends_are_not_called_broken_wrongly(tail: str) -> None:
    verdict = judge("{" + tail, 0)
    if isinstance(verdict, Broken):
        for more in ('"}', "}", "]}", '":1}'):
            assert not isinstance(judge("{" + tail + more, 0), Complete)


@given(st.text(max_size=200))
def test_any_text_can_be_searched(text: str) -> None:
    list(find_in_text(text))
    list(find_in_text(MARKER + " {" + text))


@pytest.mark.parametrize("indent", [None, 1])
def test_a_text_that_ends_within_an_object_is_cut_off(indent: int | None) -> None:
    payload = json.dumps({"task": 'say "no" to it', "workers": [{"name": "a"}]}, indent=indent)
    text = f"Go on:\n{MARKER} {payload}"
    for end in range(text.index("{") + 1, len(text)):
        (hit,) = find_in_text(text[:end])
        assert hit.verdict == Broken(CUT_OFF), text[:end]
    (whole,) = find_in_text(text)
    assert isinstance(whole.verdict, Complete)


def test_in_string_knows_escapes() -> None:
    assert in_string('{"a": "b')
    assert in_string('{"a": "b\\"')
    assert not in_string('{"a": "b"')
    assert not in_string('{"a": "b\\\\"')
    assert not in_string("{")
    assert isinstance(judge('{"a": tru', 0), Partial)


BASH = (
    b"\x1b[?2004h$ \r\x1b[K$ echo one\b\b\b\x1b[C\x1b[Cx\x1b[1P\x1b[1@y\r\n\x1b[?2004l\r",
    b"\x1b[?2004h$ aaaaaaaa\x1b[A\r\x1b[C\x1b[Kbb\r\n\x1b[?2004l\r",
    b"\x1b[H\x1b[2J\x1b[?2004h$ ",
    b"\x1b[H\x1b[J$ ",
    b"\x1b[1;31mred\x1b[m \x1b]0;t\x07 \x1b[6n\x1b[?25h\x1b[?1l\x1b>",
)
SCREENS = (
    b"\x1b[?1049h",
    b"\x1b[5;10Hx",
    b"\x1b[12dx",
    b"\x1b[2;20r",
    b"\x1b[Htop",
    b"\x1b[2K\x1b[1Ax",
    b"\x1b[?25lx\r\n\x1b[2A",
    b"working\r\n\x1b[Adone",
)


@pytest.mark.parametrize("data", BASH)
def test_a_line_editor_is_no_screen(data: bytes) -> None:
    for cut in range(len(data)):
        detector = AddressingDetector()
        assert detector.find(data[:cut]) is None
        assert detector.find(data[cut:]) is None


@pytest.mark.parametrize("data", SCREENS)
def test_cursor_addressing_is_seen_however_it_is_cut(data: bytes) -> None:
    whole = AddressingDetector().find(data + b"text")
    assert whole is not None
    for cut in range(len(data)):
        detector = AddressingDetector()
        first = detector.find(data[:cut])
        second = detector.find(data[cut:] + b"text") if first is None else None
        assert first is not None or second is not None
        assert first == whole or second == whole - cut


def test_a_pane_goes_to_the_alternate_screen_and_back() -> None:
    reader = PaneReader(80, 24)
    assert len(payloads(reader.feed(GOOD + b"\r\n", "s:0"))) == 1
    assert not reader.drawing
    assert reader.feed(b"\x1b[?1049h\x1b[H" + b"file contents\r\n", "s:100") == []
    assert reader.drawing
    assert reader.feed(b"\x1b[?10", "s:195") == []
    found = reader.feed(b"49l" + GOOD + b"\r\n", "s:200")
    assert not reader.drawing
    assert [s.position for s in found] == ["s:203"]


def test_what_was_read_as_lines_is_not_read_again_from_the_screen() -> None:
    reader = PaneReader(80, 24)
    assert len(reader.feed(GOOD + b"\r\n", "s:0")) == 1
    assert reader.feed(b"\x1b[10;1Hhello", "s:54") == []
    assert reader.drawing
    assert GOOD.decode() in reader.screen_text()[0]
    assert reader.settle() == []
    found = reader.feed(b'\x1b[12;1H[ORCHESTRATE] {"task": "other"}', "s:70") + reader.settle()
    assert payloads(found) == [{"task": "other"}]


def test_a_bare_marker_says_nothing() -> None:
    assert read(b"[ORCHESTRATE]\nis the marker\n") == []
    assert payloads(read(b"[ORCHESTRATE]\n\n" + GOOD + b"\n")) == [{"task": "Build a REST API with auth"}]


@given(st.text(alphabet='{}[]"\\\\ab', max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_balance_in_pieces_is_balance_of_the_whole(tail: str, cuts: list[int]) -> None:
    text = "{" + tail
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    balance = Balance()
    for start, end in pairwise(edges):
        if not balance.ended:
            balance.feed(text[start:end])
    assert balance.ended == (object_end(text, 0) >= 0)
    if not balance.ended:
        assert balance.inside == in_string(text)


def test_a_payload_nested_too_deep_is_broken() -> None:
    for levels in (64, 65, 700):
        text = '{"task": ' * (levels - 1) + '{"task": 1}' + "}" * (levels - 1)
        assert isinstance(judge(text, 0), Complete if levels <= 64 else Broken)
