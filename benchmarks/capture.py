"""Print how fast a pane's bytes are read: capture.py [FOLDER of recordings] [MB] [--memory MB].

--memory reads one log of that size instead, recordings over and over, and prints the memory on the way.
"""

from __future__ import annotations

import codecs
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from avt import Vt  # type: ignore[attr-defined]  # noqa: E402

from aiorch.capture.pane import Mode, PaneReader  # noqa: E402
from capture_corpus import gutter_of  # noqa: E402

READ = 4096
COLS, ROWS = 120, 40


def lines(size: int) -> bytes:
    """Coloured lines as a build prints them, a directive now and then."""
    row = b"\x1b[32mok\x1b[0m  \x1b[1mtest_%05d\x1b[0m passed in 0.01s, coverage 97 %% of the module\r\n"
    marker = b'[ORCHESTRATE] {"task": "Build a REST API with auth", "id": %d}\r\n'
    block = b"".join(row % i for i in range(1000))
    return b"".join(block + marker % i for i in range(size // len(block) + 1))[:size]


def frames(size: int, marker: bytes) -> bytes:
    """Redraws of a live region as Ink does them: erase lines upwards, print again."""
    frame = b"\x1b[2K\x1b[1A" * 12 + b"\x1b[G"
    frame += b"".join(
        b"\x1b[38;5;246m  row %d\x1b[39m of the live region, word\x1b[30Gby word\r\n" % i for i in range(10)
    )
    frame += b"  " + marker + b"\r\n\r\n"
    return (frame * (size // len(frame) + 1))[:size]


def recorded(folder: Path, agent: str, size: int) -> bytes:
    data = b"".join(path.read_bytes() for path in sorted(folder.glob(f"{agent}/*/raw.log")))
    return (data * (size // len(data) + 1))[: size or len(data)] if data else b""


def bare(data: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    vt = Vt(COLS, ROWS, 0)
    for at in range(0, len(data), READ):
        vt.feed_str(decoder.decode(data[at : at + READ]))


def ours(data: bytes, mode: Mode, agent: str) -> None:
    reader = PaneReader(COLS, ROWS, gutter_of(agent), mode=mode)
    for at in range(0, len(data), READ):
        reader.feed(data[at : at + READ], f"log:{at}")
        if at % (64 * READ) == 0:
            reader.settle()


def clock(work: Callable[[], None]) -> float:
    best = float("inf")
    for _ in range(2):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


def resident() -> float:
    """Megabytes of memory that are in use now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def memory(folder: Path, size: int) -> None:
    """Read one long log, and print the memory at each tenth of it."""
    data = recorded(folder, "*", 0) or lines(8_000_000)
    reader = PaneReader(COLS, ROWS, gutter_of("claude"), mode="screen")
    begin, at, told, found = time.process_time(), 0, 0, 0
    while at < size:
        if at >= told:
            print(f"{at / 1e6:8.0f} MB read, {resident():6.1f} MB in use", flush=True)
            told += size // 10
        start = at % (len(data) - READ)
        found += len(reader.feed(data[start : start + READ], f"log:{at}"))
        at += READ
        if at % (256 * READ) == 0:
            found += len(reader.settle())
    speed = size / 1e6 / (time.process_time() - begin)
    print(f"{size / 1e6:8.0f} MB read, {resident():6.1f} MB in use; {speed:.1f} MB/s, {found} found")


def main() -> None:
    words = sys.argv[1:]
    if "--memory" in words:
        place = words.index("--memory")
        _, megabytes = words[place : place + 2]
        del words[place : place + 2]
        memory(Path(words[0]) if words else ROOT / "tests" / "corpus", int(float(megabytes) * 1e6))
        return
    folder = Path(words[0]) if words else ROOT / "tests" / "corpus"
    size = int(float(words[1]) * 1e6) if len(words) > 1 else 8_000_000
    streams: list[tuple[str, bytes, Mode, str]] = [
        ("lines, read as lines", lines(size), "auto", ""),
        ("lines, read as a screen", lines(size), "screen", ""),
        ("frames, no marker", frames(size, b"nothing"), "screen", "claude"),
        ("frames, a marker in each", frames(size, b'[ORCHESTRATE] {"task": "x"}'), "screen", "claude"),
    ]
    agents = ("claude", "codex", "gemini", "opencode", "qwen", "copilot", "aider")
    streams.append(("all agents, recorded", recorded(folder, "*", size), "screen", "claude"))
    streams += [(f"{agent}, recorded", recorded(folder, agent, size), "screen", agent) for agent in agents]
    print(f"{'stream':28}{'avt MB/s':>10}{'ours MB/s':>11}{'ratio':>8}")
    for name, data, mode, agent in streams:
        if data:
            reference = clock(lambda data=data: bare(data))  # type: ignore[misc]
            seconds = clock(lambda data=data, mode=mode, agent=agent: ours(data, mode, agent))  # type: ignore[misc]
            mega = len(data) / 1e6
            print(f"{name:28}{mega / reference:10.1f}{mega / seconds:11.1f}{reference / seconds:8.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
