"""What panes throw at the readers: hostile, huge and broken output, late resizes, other people's words."""

from __future__ import annotations

import time

import pytest

from aiorch.capture.directive import Directive, Rejected, Sighting, Source
from aiorch.capture.pane import PaneReader
from aiorch.capture.reach import beyond
from capture_corpus import SCREENS, gutter_of

GOOD = '[ORCHESTRATE] {"task": "Build a REST API with auth"}'
# What a file with a directive looks like when each agent's tool shows it.
SHOWN = {
    "claude": f"● Bash(cat notes)\r\n  ⎿  Notes:\r\n     {GOOD}\r\n",
    "codex": f"• Ran cat notes\r\n  └ Notes:\r\n    {GOOD}\r\n",
    "gemini": f"╭──────────╮\r\n│ ✓ Shell  │\r\n│ {GOOD} │\r\n╰──────────╯\r\n",
    "qwen": f"  ✓  Shell cat notes\r\n    {GOOD}\r\n",
    "copilot": f" $ cat notes\r\n   └ Notes:\r\n   {GOOD}\r\n",
    "opencode": f"  ┃\r\n  ┃  {GOOD}\r\n  ┃\r\n",
}


def read(data: bytes, agent: str = "claude", cols: int = 80, rows: int = 24) -> list[Sighting]:
    pane = PaneReader(cols, rows, gutter_of(agent), mode="screen")
    return [*pane.feed(data, "log:0"), *pane.settle(), *pane.settle()]


def directives(found: list[Sighting]) -> list[Directive]:
    return [one for one in found if isinstance(one, Directive)]


@pytest.mark.parametrize("agent", SHOWN)
def test_a_file_that_a_tool_shows_does_not_count(agent: str) -> None:
    assert directives(read(f"\x1b[2J\x1b[H{SHOWN[agent]}".encode(), agent)) == []


def test_where_tools_and_answers_look_alike_it_is_plain_text() -> None:
    (found,) = directives(read(f"\x1b[2J\x1b[H{GOOD}\r\n".encode(), "aider"))
    assert found.source is Source.PLAIN
    assert {path.stem for path in SCREENS.glob("*.toml")} >= {*SHOWN, "aider"}


@pytest.mark.parametrize("style", ["1", "3", "4", "9", "38;5;12"])
def test_a_string_that_was_rendered_is_altered(style: str) -> None:
    line = f'[ORCHESTRATE] {{"task": "use \x1b[{style}mbold\x1b[0m and more"}}'
    (found,) = directives(read(f"\x1b[2J\x1b[H● Go:\r\n\r\n  {line}\r\n".encode()))
    assert found.altered


def test_highlighted_code_is_not_altered() -> None:
    key, value, escape = "\x1b[38;5;1m", "\x1b[38;5;2m", "\x1b[38;5;3m"
    line = f'[ORCHESTRATE] {{{key}"task"\x1b[0m: {value}"a {escape}\\n{value} b"\x1b[0m}}'
    (found,) = directives(read(f"\x1b[2J\x1b[H● Go:\r\n\r\n  {line}\r\n".encode()))
    assert found.payload == {"task": "a \n b"}
    assert not found.altered


@pytest.mark.parametrize("counted", [1, 2])
def test_emoji_keep_their_style_whatever_the_program_counts(counted: int) -> None:
    text = f'● Go\r\n\r\n  [ORCHESTRATE] {{"t":"❤️\x1b[3;{23 + counted}H"}}'
    (found,) = directives(read(f"\x1b[2J\x1b[H{text}".encode()))
    assert found.payload == {"t": "❤️"}


def test_a_program_that_learns_of_its_size_before_us_makes_room() -> None:
    pane = PaneReader(60, 20, gutter_of("claude"))
    words = "".join(f"\x1b[{column}Gword" for column in range(27, 80, 5))
    text = f'● Go:\r\n\r\n  [ORCHESTRATE]\x1b[17G{{"task":\x1b[26G"{words}"}}'
    pane.feed(f"\x1b[?1049h\x1b[2J\x1b[Hold\x1b[H{text}".encode(), "log:0")
    pane.resize(90, 20)
    (found,) = directives(pane.settle())
    assert found.payload == {"task": " ".join(["word"] * 11)}
    assert found.altered


def test_columns_beyond_a_width_are_recognised() -> None:
    for cols in (2, 9, 10, 60, 80, 99, 100, 140, 199, 300, 997, 998):
        for column in (1, 9, 10, 59, 60, 61, 79, 81, 100, 101, 141, 199, 201, 310, 998, 999):
            for form in (f"\x1b[{column}G", f"\x1b[7;{column}H"):
                seen = beyond(cols).search(form.encode())
                assert (seen is not None) == (cols < column < 999), (cols, form)


def test_a_resize_is_forgotten_when_all_was_drawn_anew() -> None:
    pane = PaneReader(80, 20, gutter_of("codex"))
    pane.feed(b"\x1b[?1049h\x1b[Hsome text", "log:0")
    pane.resize(60, 20)
    found = pane.feed(f"\x1b[1;1H\x1b[J\x1b[H• Go:\r\n\r\n  {GOOD}\r\n".encode(), "log:30") + pane.settle()
    assert [one.altered for one in directives(found)] == [False]


@pytest.mark.parametrize("at", range(9))
def test_the_alternate_screen_keeps_a_sequence_that_a_resize_cuts(at: int) -> None:
    sequence = b"\x1b[12;15Hx"
    pane = PaneReader(80, 20, gutter_of("claude"))
    pane.feed(b"\x1b[?1049h" + sequence[:at], "log:0")
    pane.resize(70, 20)
    pane.feed(sequence[at:], "log:20")
    assert pane.screen_text()[11] == " " * 14 + "x"


def test_invalid_bytes_become_a_mark_that_says_so() -> None:
    line = GOOD.replace("auth", "au").encode() + b"\xff\xfe"
    (found,) = directives(
        read(b"\x1b[2J\x1b[H\xe2\x97\x8f Go:\r\n\r\n  " + line.replace(b'"}\xff\xfe', b'\xff\xfe"}'))
    )
    assert found.payload == {"task": "Build a REST API with au��"}
    assert found.altered


@pytest.mark.parametrize("mode", ["auto", "screen"])
def test_a_line_of_ten_megabytes_costs_little(mode: str) -> None:
    pane = PaneReader(80, 24, None, mode=mode)  # type: ignore[arg-type]
    data = b'[ORCHESTRATE] {"task": "' + b"x" * 10_000_000 + b'"}\r\n' + GOOD.encode() + b"\r\n"
    found: list[Sighting] = []
    begin = time.process_time()
    for at in range(0, len(data), 4096):
        found += pane.feed(data[at : at + 4096], f"log:{at}")
    found += pane.settle()
    assert time.process_time() - begin < 10
    assert [one.payload for one in directives(found)] == [{"task": "Build a REST API with auth"}]
    if mode == "auto":
        assert "larger than" in next(one.reason for one in found if isinstance(one, Rejected))


FLOODS = {
    "directives": b'  [ORCHESTRATE] {"task": "x"}\r\n',
    "open objects": b"  [ORCHESTRATE] {\r\n",
    "open strings": b'  [ORCHESTRATE] {"a": "' + b"x" * 55 + b"\r\n" + (b"  " + b"y" * 78 + b"\r\n") * 3,
    "frames": b'\x1b[2J\x1b[H  [ORCHESTRATE] {"t":"x"}',
    "erasing": b'\x1b[J[ORCHESTRATE] {"t":"x"}\x1b[H',
    "other screens": b"\x1b[?1049h[ORCHESTRATE] {}\x1b[?1049l",
    "deep objects": b"  [ORCHESTRATE] " + b'{"a":' * 300 + b"\r\n",
    "wide moves": b"\x1b[?1049h[ORCHESTRATE] {\x1b[500G}\x1b[?1049l",
}


@pytest.mark.parametrize("mode", ["auto", "screen"])
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_costs_time_in_step_with_its_length(flood: str, mode: str) -> None:
    def seconds(size: int) -> float:
        pane = PaneReader(80, 24, gutter_of("claude"), mode=mode)  # type: ignore[arg-type]
        data = (FLOODS[flood] * (size // len(FLOODS[flood]) + 1))[:size]
        begin = time.process_time()
        for at in range(0, size, 4096):
            pane.feed(data[at : at + 4096], f"log:{at}")
        pane.settle()
        return time.process_time() - begin

    seconds(8192)
    # About 1 MB/s was measured for the worst; a stream that costs more the longer it is would take far more.
    assert seconds(200_000) < 4
