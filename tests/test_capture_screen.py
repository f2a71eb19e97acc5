"""Rows of a screen: wraps, whose words they are, what is believed and when."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiorch.capture import screen as screen_module
from aiorch.capture.directive import Directive, Rejected, Sighting
from aiorch.capture.frames import SLICE
from aiorch.capture.grammar import Broken, Complete, content_key
from aiorch.capture.gutter import Gutter
from aiorch.capture.marker import find_markers
from aiorch.capture.pane import PaneReader
from aiorch.capture.screen import Row, Screen, width_of
from aiorch.errors import ConfigError
from capture_corpus import SCREENS, gutter_of

GOOD = '[ORCHESTRATE] {"task": "Build a REST API with auth"}'
AGENTS = sorted(path.stem for path in SCREENS.glob("*.toml"))
HAZARDS = [GOOD, "  " + GOOD, "● x", "❯ y", "  ⎿ z", "[ORCHESTRATE] {"]
SEQUENCES = [b"\x1b[2J", b"\x1b[1A", b"\x1b[?1049h", b"\x1b[?1049l", GOOD.encode(), b"\r\n  "]
CLAUDE = gutter_of("claude")
CODEX = gutter_of("codex")
QWEN = gutter_of("qwen")


def rows_of(text: str) -> list[Row]:
    return [Row(line.rstrip()) for line in text.split("\n")]


def good(text: str, cols: int = 80, gutter: Gutter | None = CLAUDE) -> list[object]:
    found = find_markers(rows_of(text), cols, gutter)
    return [f.verdict.payload for f in found if isinstance(f.verdict, Complete) and not f.refusal]


def refusals(text: str, gutter: Gutter | None = CLAUDE) -> list[str]:
    return [found.refusal for found in find_markers(rows_of(text), 80, gutter)]


def wrap(text: str, width: int, indent: str) -> str:
    """Wrap as Ink does: at blanks, and a token longer than the width is cut."""
    rows = [""]
    for word in text.split(" "):
        glue = " " if rows[-1] else ""
        if width_of(rows[-1] + glue + word) <= width:
            rows[-1] += glue + word
            continue
        if len(word) > width:
            if len(rows[-1]) + 1 < width:
                room = width - len(rows[-1]) - 1
                rows[-1] += glue + word[:room]
                word = word[room:]
            while len(word) > width:
                rows.append(word[:width])
                word = word[width:]
        rows.append(word)
    return "\n".join(indent + row for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        f"● Sure.\n\n  {GOOD}\n",
        f"● {GOOD}\n",
        f"● Sure:\n  {GOOD}\n  Done.\n",
        f"● Sure.\n\n     {GOOD}\n",
        f"● Sure.\n\n  `{GOOD}`\n",
        f"claude: Sure.\n\n{GOOD}\n",
        f"claude: {GOOD}\n",
        '● Pretty:\n\n  [ORCHESTRATE] {\n    "task": "Build a REST API with auth"\n  }\n',
        '● Far:\n\n  [ORCHESTRATE]\n  {"task": "Build a REST API with auth"}\n',
    ],
)
def test_the_assistants_own_line_counts(text: str) -> None:
    assert good(text) == [{"task": "Build a REST API with auth"}]


@pytest.mark.parametrize(
    "text",
    [
        f"❯ please\n  {GOOD}\n",
        f"❯ {GOOD}\n",
        f"! cat notes.txt\n  ⎿  Some notes.\n     {GOOD}\n",
        f"● Write(doc.md)\n  ⎿  Wrote 5 lines\n      3 {GOOD}\n",
        f"● So I say {GOOD}\n",
        f"● Plan:\n  - {GOOD}\n",
        f"● Plan:\n  1. {GOOD}\n",
        f"● Plan:\n  ▎ {GOOD}\n",
        f"● Plan:\n  │ {GOOD} │\n",
        f"● Plan:\n\n  {GOOD} is the way to go\n",
        f"you: see\n{GOOD}\n",
        f"⚙ Some new kind of block\n  {GOOD}\n",
        f"{GOOD}\n",
        f"● Bye.\n\nuser@host:~$ cat notes.txt\n  {GOOD}\n",
    ],
)
def test_words_of_others_do_not_count(text: str) -> None:
    assert good(text) == []
    assert all(refusals(text))


def test_a_marker_that_was_wrapped_to_the_next_row_is_no_line_of_its_own() -> None:
    sentence = "● " + "word " * 14 + "like\n  " + GOOD + "\n"
    assert good(sentence) == []
    assert refusals(sentence) == ["it may be the middle of a sentence"]


def test_the_user_rows_are_known_by_their_background() -> None:
    vt = Screen(60, 5)
    vt.feed(b"\x1b[48;5;237m  " + GOOD.encode() + b"\x1b[0m\r\n\r\n  " + GOOD.encode())
    found = list(find_markers(vt.view(), 60, CODEX))
    assert [f.refusal for f in found] == ["it stands in the user's own words", ""]


def test_a_running_tool_is_no_answer() -> None:
    for mark in (".", "..", "⊷", "✓", "⠋"):
        text = f"  ◆ Let me read.\n  {mark:<2}Shell cat notes.txt\n    {GOOD}\n"
        assert good(text, gutter=QWEN) == []


def test_several_on_one_screen_and_directly_below_each_other() -> None:
    text = "● Two:\n" + "".join(f'  [ORCHESTRATE] {{"id": {n}, "task": "a b"}}\n' for n in range(3))
    assert good(text) == [{"id": n, "task": "a b"} for n in range(3)]


def test_an_unknown_program_is_judged_by_the_place_alone() -> None:
    assert good(f"hello\n{GOOD}\n", gutter=None) == [{"task": "Build a REST API with auth"}]
    assert good(f"hello {GOOD}\n", gutter=None) == []


WORDS = st.lists(st.text(alphabet="abcdefgh-_/.:,構築", min_size=1, max_size=30), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(WORDS, st.integers(40, 120))
def test_wrapped_text_comes_back_as_it_was(words: list[str], cols: int) -> None:
    payload = {"task": " ".join(words)}
    line = "[ORCHESTRATE] " + json.dumps(payload, ensure_ascii=False)
    if any(width_of(word) > (cols - 2) // 2 for word in line.split(" ")):
        return
    assert good("● Go:\n\n" + wrap(line, cols - 2, "  ") + "\n", cols) == [payload]


@pytest.mark.parametrize("cols", [60, 80, 100])
def test_a_token_longer_than_a_row_is_put_together(cols: int) -> None:
    payload = {"task": "check", "path": "/srv/" + "deeply-nested/" * 30 + "file.py"}
    line = "[ORCHESTRATE] " + json.dumps(payload, separators=(",", ":"))
    assert good("● Go:\n\n" + wrap(line, cols - 2, "  ") + "\n", cols) == [payload]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.text(max_size=60), st.sampled_from(HAZARDS))),
    st.integers(1, 100),
    st.sampled_from([None, *AGENTS]),
)
def test_any_rows_can_be_searched(lines: list[str], cols: int, agent: str | None) -> None:
    for found in find_markers([Row(line) for line in lines], cols, gutter_of(agent) if agent else None):
        assert 0 <= found.row <= found.last < len(lines)


def payloads(found: list[Sighting]) -> list[object]:
    return [s.payload for s in found if isinstance(s, Directive)]


def reader(cols: int = 80, rows: int = 24) -> PaneReader:
    return PaneReader(cols, rows, CLAUDE, mode="screen")


def test_a_redrawn_directive_is_one() -> None:
    pane = reader()
    draw = b"\x1b[2J\x1b[H\xe2\x97\x8f Go:\r\n\r\n  " + GOOD.encode() + b"\r\n"
    assert payloads(pane.feed(draw, "s:0") + pane.settle()) == [{"task": "Build a REST API with auth"}]
    assert not pane.wants_settle
    for offset in range(5):
        assert pane.feed(draw, f"s:{offset}") + pane.settle() == []


def test_nothing_is_believed_before_the_frame_is_drawn() -> None:
    pane = reader()
    assert pane.feed(b"\xe2\x97\x8f Go:\r\n\r\n  " + GOOD.encode(), "s:0") == []
    assert pane.wants_settle
    assert len(pane.settle()) == 1


def test_silence_without_a_marker_needs_no_timer() -> None:
    pane = reader()
    pane.feed(b"\x1b[H\x1b[2Jmuch text\r\n" * 100, "s:0")
    assert not pane.wants_settle


def test_what_scrolls_by_is_caught_without_silence() -> None:
    pane = reader()
    text = "● Go:\r\n\r\n" + "".join(f'  [ORCHESTRATE] {{"id": {n}}}\r\n\r\n  text\r\n' for n in range(200))
    found = pane.feed(text.encode(), "s:0")
    found += pane.settle()
    assert payloads(found) == [{"id": n} for n in range(200)]


def test_a_marker_styled_letter_by_letter_is_seen() -> None:
    pane = reader()
    styled = "".join(f"\x1b[38;5;10m{char}\x1b[0m" for char in GOOD)
    assert len(payloads(pane.feed(f"● Go:\r\n\r\n  {styled}".encode(), "s:0") + pane.settle())) == 1


def test_a_broken_one_is_reported_once_the_conversation_goes_on() -> None:
    pane = reader()
    start = '● Go:\r\n\r\n  [ORCHESTRATE] {"task": "say "hi""}\r\n'
    found = pane.feed(start.encode(), "s:0") + pane.settle() + pane.settle()
    assert found == []
    found = pane.feed("\r\n● Next answer.\r\n".encode(), "s:60") + pane.settle()
    assert found == []
    assert pane.wants_settle
    (error,) = pane.settle()
    assert isinstance(error, Rejected)
    assert error.is_error
    assert "column" in error.reason
    assert not pane.wants_settle


def test_a_near_miss_is_listed_once() -> None:
    pane = reader()
    said = f"● I would say {GOOD} if asked.\r\n".encode()
    listed: list[Sighting] = []
    for offset in range(3):
        listed += pane.feed(b"\x1b[2J\x1b[H" + said, f"s:{offset}") + pane.settle() + pane.settle()
    assert [isinstance(s, Rejected) and not s.is_error for s in listed] == [True]


def test_a_resize_does_not_make_it_two() -> None:
    line = '[ORCHESTRATE] {"task": "' + "some words of a longer task " * 6 + 'end"}'
    pane = reader(120, 24)
    found: list[Sighting] = []
    for cols in (120, 60, 90, 60, 120):
        pane.resize(cols, 24)
        found += pane.settle()
        drawn = "\x1b[2J\x1b[H● Go:\n\n" + wrap(line, cols - 2, "  ")
        found += pane.feed(drawn.replace("\n", "\r\n").encode(), "s:0")
        found += pane.settle()
    assert len(payloads(found)) == 1


def test_a_seed_is_listed_and_a_restart_of_the_screen_keeps_identities() -> None:
    pane = reader()
    pane.seed(f"● Go:\n\n  {GOOD}\n")
    assert [s.reason for s in pane.seeded] == ["before start"]
    assert [s.is_error for s in pane.seeded] == [False]
    assert pane.feed(f"\x1b[2J\x1b[H● Go:\r\n\r\n  {GOOD}".encode(), "s:0") + pane.settle() == []
    pane.resync('● Go:\n\n  [ORCHESTRATE] {"task": "new"}\n')
    assert payloads(pane.settle()) == [{"task": "new"}]


def test_a_seeded_screen_is_continued_when_drawing_starts_late() -> None:
    pane = PaneReader(80, 24, CLAUDE)
    pane.seed(f"● Go:\n\n  {GOOD}\n  more", cursor=(6, 3))
    found = pane.feed(b"\x1b[2B\r\x1b[2C" + b'[ORCHESTRATE]\x1b[17G{"task":\x1b[26G"b"}', "s:0")
    assert pane.drawing
    assert pane.screen_text()[:6] == ["● Go:", "", f"  {GOOD}", "  more", "", '  [ORCHESTRATE] {"task": "b"}']
    assert payloads(found + pane.settle()) == [{"task": "b"}]


def test_a_marker_cut_by_a_slice_is_seen() -> None:
    text = f"\x1b[H● Go:\r\n\r\n  {GOOD}".encode()
    start = text.index(b"[ORCH")
    for before in range(SLICE - start - 20, SLICE - start + 8):
        pane = reader()
        styled = text.replace(b"E]", b"E\x1b[39m]")
        assert len(payloads(pane.feed(b"\x1b[m" * (before // 3) + styled, "s:0") + pane.settle())) == 1


def test_an_emulators_panic_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    class Faulty:
        def __init__(self, cols: int, rows: int, limit: int) -> None:
            self.vt = original(cols, rows, limit)

        def feed_str(self, text: str) -> object:
            if "boom" in text:
                raise PanicException("index out of bounds")
            return self.vt.feed_str(text)

        def view(self) -> object:
            return self.vt.view()

    original = getattr(screen_module, "Vt")  # noqa: B009
    monkeypatch.setattr(screen_module, "Vt", Faulty)
    pane = reader()
    assert pane.feed(b"boom", "s:0") == []
    assert pane.losses == 1
    (torn,) = pane.feed(f"● Go:\r\n\r\n  {GOOD}".encode(), "s:4") + pane.settle()
    assert isinstance(torn, Directive) and torn.altered
    pane.resync("● Now:\n\n", (0, 2))
    (whole,) = pane.feed(f"  {GOOD.replace('auth', 'tests')}".encode(), "s:90") + pane.settle()
    assert isinstance(whole, Directive) and not whole.altered


def test_a_narrow_pane_is_no_danger() -> None:
    pane = PaneReader(1, 1, CLAUDE, mode="screen")
    pane.feed("構築👩‍💻x\r\n".encode(), "s:0")
    pane.resize(1, 1)
    assert pane.settle() == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(SEQUENCES)), max_size=30),
    st.sampled_from(["auto", "screen"]),
)
def test_a_hostile_stream_never_fails(pieces: list[bytes], mode: str) -> None:
    pane = PaneReader(20, 5, CLAUDE, mode=mode)  # type: ignore[arg-type]
    for number, piece in enumerate(pieces):
        pane.feed(piece, f"s:{number}")
        if number % 7 == 0:
            pane.resize(2 + number, 5)
        pane.settle()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("👩‍💻x", "👩‍💻x"),
        ("a👍🏽\x1b[4Gx", "a👍🏽x"),
        ("a👩‍💻\x1b[4Gx", "a👩‍💻x"),
        ("◆︎ x", "◆ x"),
        ("🇫🇷 x", "🇫🇷 x"),
    ],
)
def test_joined_emoji_take_two_columns(sent: str, shown: str) -> None:
    data = sent.encode()
    for cut in range(len(data) + 1):
        screen = Screen(20, 2)
        screen.feed(data[:cut])
        screen.feed(data[cut:])
        screen.flush()
        assert screen.view()[0].text == shown


def test_the_alternate_screen_is_cut_on_resize_as_in_tmux() -> None:
    screen = Screen(20, 4)
    screen.feed(b"\x1b[?1049h\x1b[48;5;3m0123456789012345\x1b[0m\r\nsecond")
    screen.resize(10, 3)
    screen.resize(20, 3)
    assert [row.text for row in screen.view()] == ["0123456789", "second", ""]
    assert screen.view()[0].filled(3)
    screen.feed(b"X")
    assert screen.view()[1].text == "secondX"


@pytest.mark.parametrize("agent", AGENTS)
def test_every_profile_loads(agent: str) -> None:
    gutter = gutter_of(agent)
    assert gutter is not None
    assert gutter.name == agent
    assert gutter == Gutter.from_mapping(tomllib.loads((SCREENS / f"{agent}.toml").read_text()))


def test_a_wrong_gutter_names_every_mistake() -> None:
    with pytest.raises(ConfigError) as error:
        Gutter.from_mapping({"indent": "2", "answer": [1], "colour": "red", "filled": True})
    assert len(error.value.problems) == 3


def test_keys_ignore_blanks_and_order_alone() -> None:
    assert content_key({"a": "x y", "b": 1}) == content_key({"b": 1, "a": "x  y"})
    assert content_key({"a": "x"}) != content_key({"a": "y"})
    assert isinstance(Broken("x"), Broken)


def test_tool_output_whose_mark_scrolled_off_an_alternate_screen_does_not_count() -> None:
    line = '    [ORCHESTRATE] {"task": "from a file"}'
    pane = PaneReader(80, 8, QWEN)
    pane.seed("", alternate=True)
    # An answer scrolls off by line feeds; the tool's output is drawn with its mark.
    shown = pane.feed(b"\x1b[H  \xe2\x97\x86 First." + b"\r\n" * 12 + b"\x1b[2J\x1b[H", "s:0")
    shown += (
        pane.feed(f"  ✓ Shell cat notes.txt\r\n{line}\r\n".encode(), "s:100") + pane.settle() + pane.settle()
    )
    assert payloads(shown) == []
    # Then the conversation moves up by one row, and the mark is no longer there.
    moved = pane.feed(f"\x1b[2J\x1b[H{line}\r\n\r\n  ◆ It has one line.\r\n".encode(), "s:200")
    assert payloads(moved + pane.settle() + pane.settle()) == []


def test_what_an_agent_says_after_the_user_said_it_counts() -> None:
    pane = PaneReader(80, 20, QWEN)
    text = f"\x1b[?1049h\x1b[2J\x1b[H  > Print this: {GOOD}\r\n\r\n  ◆ Here:\r\n    {GOOD}\r\n"
    assert len(payloads(pane.feed(text.encode(), "s:0") + pane.settle())) == 1
