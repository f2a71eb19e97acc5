"""The player in a real tmux: what the pane shows and what `pipe-pane` sees is the recording."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_server import PrivateServer, wait_until
from support.player import chunks

CORPUS = Path(__file__).parent / "corpus"
PLAYER = Path(__file__).parent / "support" / "player.py"
RECORDINGS = [
    "plain/short-80x24",
    "claude/short-fullscreen-80x24",
    "claude/short-classic-60x30",
    "codex/short-80x24",
    "copilot/short-80x24",
    "gemini/short-80x24",
]


def lines(screen: str) -> list[str]:
    return [line.rstrip() for line in screen.rstrip().split("\n")]


def play(server: PrivateServer, recording: Path, folder: Path, *options: str) -> tuple[str, Path]:
    go, end, log = folder / "go", folder / "end", folder / "seen.log"
    pane = server.start(
        sys.executable, "-E", str(PLAYER), str(recording), "--go", str(go), "--end", str(end), *options
    )
    server.run("pipe-pane", "-t", pane, f"exec cat > '{log}'")
    go.touch()
    wait_until(end.exists, 20, "the end of the recording")
    size = (recording / "raw.log").stat().st_size
    wait_until(lambda: log.exists() and log.stat().st_size >= size, 5, "all bytes in the log")
    return pane, log


@pytest.mark.parametrize("name", RECORDINGS)
def test_recording_is_played_unchanged(name: str, tmp_path: Path) -> None:
    recording = CORPUS / name
    meta = json.loads((recording / "meta.json").read_text())
    with PrivateServer(tmp_path, (meta["cols"], meta["rows"])) as server:
        pane, log = play(server, recording, tmp_path, "--speed", "0")
        assert log.read_bytes() == (recording / "raw.log").read_bytes()
        shown = server.run("capture-pane", "-p", "-J", "-S", "-", "-t", pane)
        assert lines(shown) == lines((recording / "screen.txt").read_text())
        assert server.run("display", "-p", "-t", pane, "#{pane_dead}").strip() == "0"


def test_resize_is_made_before_the_bytes_that_follow_it(tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    recording.mkdir()
    (recording / "raw.log").write_bytes(b"before\r\n" + b"after\r\n")
    (recording / "timing.tsv").write_text("0.0\t0\t15\n")
    (recording / "meta.json").write_text(json.dumps({"resizes": [{"offset": 8, "cols": 50, "rows": 12}]}))
    with PrivateServer(tmp_path, (80, 24)) as server:
        pane, _ = play(server, recording, tmp_path)
        assert server.run("display", "-p", "-t", pane, "#{pane_width}x#{pane_height}").strip() == "50x12"
        assert lines(server.screen(pane)) == ["before", "after"]


def test_pauses_follow_the_recording_and_the_speed(tmp_path: Path) -> None:
    (tmp_path / "raw.log").write_bytes(b"abcdef")
    (tmp_path / "timing.tsv").write_text("5.0\t0\t2\n6.0\t2\t2\n9.0\t4\t2\n")
    (tmp_path / "meta.json").write_text("{}")
    assert [round(chunk.pause, 3) for chunk in chunks(tmp_path, 2.0, 1.0)] == [0.0, 0.5, 1.0]
    assert [chunk.pause for chunk in chunks(tmp_path, 0, 1.0)] == [0.0, 0.0, 0.0]


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    cuts=st.sets(st.integers(0, 159), max_size=4),
)
def test_no_byte_is_lost_wherever_the_resizes_are(
    lengths: list[int], cuts: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    raw = bytes(range(sum(lengths)))
    inside = sorted(cut for cut in cuts if cut < len(raw))
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    (folder / "raw.log").write_bytes(raw)
    rows = [f"{start / 10}\t{start}\t{length}" for start, length in zip(starts, lengths, strict=True)]
    (folder / "timing.tsv").write_text("\n".join(rows) + "\n")
    resizes = [{"offset": cut, "cols": cut + 2, "rows": 5} for cut in inside]
    (folder / "meta.json").write_text(json.dumps({"resizes": resizes}))
    played = list(chunks(folder, 1.0, 60.0))
    assert b"".join(chunk.data for chunk in played) == raw
    assert [chunk.size for chunk in played if chunk.size] == [(cut + 2, 5) for cut in inside]
    at = 0
    for chunk in played:
        assert not chunk.size or chunk.size[0] - 2 == at
        at += len(chunk.data)
