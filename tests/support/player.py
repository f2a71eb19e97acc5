"""Play a recording of an agent into this terminal, byte by byte as it came.

Started as the process of a pane: `python player.py RECORDING --go FILE --end FILE [--speed F]`. The
terminal is put into raw mode, so that the kernel changes no byte. Playing starts when the go file
appears; at its end the end file is made, and the player lives on until it is killed, as an agent would.
With `--files AGENT` it also writes the recording's session files where that agent would, as it goes.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

RESIZE_SECONDS = 5.0
POLL = 0.02


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes to write, the pause before them, and the size the terminal must have by then."""

    pause: float
    data: bytes
    size: tuple[int, int] | None = None


def chunks(recording: Path, speed: float, longest: float) -> Iterator[Chunk]:
    """Yield a recording's reads in order, cut at its resizes; `speed` 0 plays without a pause."""
    raw = (recording / "raw.log").read_bytes()
    meta = json.loads((recording / "meta.json").read_text(encoding="utf-8"))
    resizes = {item["offset"]: (item["cols"], item["rows"]) for item in meta.get("resizes", ())}
    before, at = None, 0
    for line in (recording / "timing.tsv").read_text(encoding="utf-8").splitlines():
        seconds, offset, length = line.split("\t")
        elapsed = float(seconds) - (float(seconds) if before is None else before)
        pause = min(elapsed / speed, longest) if speed else 0.0
        before, end = float(seconds), int(offset) + int(length)
        for cut in sorted(cut for cut in resizes if at <= cut < end):
            if cut > at:
                yield Chunk(pause, raw[at:cut])
            yield Chunk(0.0, b"", resizes.pop(cut))
            at, pause = cut, 0.0
        yield Chunk(pause, raw[at:end])
        at = end
    if at < len(raw):
        yield Chunk(0.0, raw[at:])


def _drain(seconds: float) -> None:
    """Pass time and throw away what the terminal answers to the recorded queries."""
    end = time.monotonic() + seconds
    while True:
        left = max(end - time.monotonic(), 0.0)
        ready, _, _ = select.select([0], [], [], left)
        if not ready:
            return
        if not os.read(0, 65536):
            sys.exit(0)


def _resize(cols: int, rows: int) -> None:
    """Give our pane a size, and return when the terminal has it."""
    pane = os.environ["TMUX_PANE"]
    alone = subprocess.check_output(["tmux", "display", "-p", "-t", pane, "#{window_panes}"]).strip() == b"1"
    verb = "resize-window" if alone else "resize-pane"
    subprocess.run(["tmux", verb, "-t", pane, "-x", str(cols), "-y", str(rows)], check=True)
    end = time.monotonic() + RESIZE_SECONDS
    while os.get_terminal_size(1) != (cols, rows) and time.monotonic() < end:
        _drain(POLL)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def play(recording: Path, speed: float, longest: float, steps: Sequence[Callable[[], None]]) -> None:
    """Write the whole recording; the steps by which its files grow are spread evenly over it."""
    pieces = list(chunks(recording, speed, longest))
    done = 0
    for index, chunk in enumerate(pieces, 1):
        _drain(chunk.pause)
        if chunk.size:
            _resize(*chunk.size)
        _write(chunk.data)
        while done < len(steps) * index // len(pieces):
            steps[done]()
            done += 1


def _steps(recording: Path, agent: str) -> list[Callable[[], None]]:
    sys.path.insert(0, str(Path(os.environ["PLAYER_TESTS"])))
    from support.session_home import growth, place, session_files

    home, project = Path(os.environ["HOME"]), Path.cwd()
    sources = session_files(recording)
    return [step for source in sources for step in growth(agent, source, place(agent, source, home, project))]


def main() -> None:
    """Wait for the go file, play, mark the end, stay."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("--go", type=Path, required=True)
    parser.add_argument("--end", type=Path, required=True)
    parser.add_argument("--speed", type=float, default=1.0, help="0: no pauses")
    parser.add_argument("--longest", type=float, default=60.0, help="longest pause in seconds")
    parser.add_argument("--files", metavar="AGENT", default="")
    parser.add_argument("--late", action="store_true", help="write the files only when all was shown")
    options = parser.parse_args()
    tty.setraw(0)
    while not options.go.exists():
        _drain(POLL)
    steps = _steps(options.recording, options.files) if options.files else []
    play(options.recording, options.speed, options.longest, [] if options.late else steps)
    for step in steps if options.late else []:
        step()
    options.end.touch()
    while True:
        _drain(3600)


if __name__ == "__main__":
    main()
