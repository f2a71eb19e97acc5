"""Playing one recording of an agent to a real engine: what it took, what it asked, what then ran."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aiorch.capture.fuse import FIND_SECONDS
from aiorch.capture.grammar import canonical
from aiorch.capture.pane import MAX_UNSETTLED_SECONDS
from aiorch.journal import DirectiveRow, DirectiveState, Tag, WorkerRow, WorkerState
from support.lab import Lab, until

PLAYER = Path(__file__).with_name("player.py")
# The engine decides at the latest after MAX_UNSETTLED_SECONDS of silence: a longer one shows nothing more.
LONGEST_PAUSE = 1.2 * MAX_UNSETTLED_SECONDS
# Recordings that last longer than this are played faster.
FULL_SPEED_SECONDS = 10.0
# With session files it is not the speed of the screen that counts.
FILE_SECONDS = 3.0
QUIET_SECONDS = 2 * MAX_UNSETTLED_SECONDS
PLAY_SECONDS = 120.0
# Every role runs as this type. It needs no agent, and writes down who ran with which task. All find room, so
# that no pane of a finished worker is closed for another one.
NOTE = """default_type = "note"
max_workers = 64
min_rows = 2
[types.note]
command = ["sh", "-c", 'printf "%s\\0%s\\0" "$AIORCH_WORKER" "$1" >>"$HOME/ran"', "note", "{task}"]
"""


@dataclass(frozen=True, slots=True)
class Recording:
    """One folder of the corpus."""

    folder: Path

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def agent(self) -> str:
        return self.folder.parent.name

    @property
    def raw(self) -> bytes:
        return (self.folder / "raw.log").read_bytes()

    @property
    def seconds(self) -> float:
        """Return how long the recording plays."""
        times = [float(row.split("\t")[0]) for row in (self.folder / "timing.tsv").read_text().splitlines()]
        return sum(min(then - at, LONGEST_PAUSE) for at, then in pairwise(times))

    @property
    def size(self) -> tuple[int, int]:
        meta = self._meta()
        return meta["cols"], meta["rows"]

    @property
    def last_size(self) -> tuple[int, int]:
        resizes = self._meta().get("resizes") or []
        return (resizes[-1]["cols"], resizes[-1]["rows"]) if resizes else self.size

    @property
    def expected(self) -> list[str]:
        return [canonical(item) for item in self._meta()["expected"]]

    def _meta(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))
        return found


@dataclass(frozen=True, slots=True)
class Played:
    """What the engine made of a recording."""

    directives: list[DirectiveRow]
    asked: set[int]
    workers: list[WorkerRow]
    spawned: Counter[str]
    ran: Counter[tuple[str, str]]
    panes: dict[str, str]
    log: bytes
    size: tuple[int, int]
    errors: list[str]
    story: str

    @property
    def accepted(self) -> list[DirectiveRow]:
        """Return the directives that ran, by themselves or after a yes."""
        return [row for row in self.directives if row.state in (DirectiveState.RUNNING, DirectiveState.DONE)]

    @property
    def payloads(self) -> list[str]:
        return [canonical(row.payload) for row in self.accepted]


def chosen(request: pytest.FixtureRequest) -> list[tuple[str, Recording]]:
    """Return the recordings of a module's tests that run, by the parameter's name, the longest first."""
    found = {
        (name, value)
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
        for name, value in item.callspec.params.items()
        if isinstance(value, Recording)
    }
    return sorted(found, key=lambda item: -item[1].seconds)


def play(
    recording: Recording, root: Path, wanted: list[str], kills: Sequence[float] = (), files: str = ""
) -> Played:
    """Play a recording to an engine of its own and say yes to what it asks when `wanted` holds it.

    `kills` says at which parts of the recording, 0 to 1, the engine is killed; it comes back by itself.
    With `files` the player goes by the agent's name and writes its session files: "along" with the
    recording, or "late", when all was shown. Nobody tells the engine then what runs and where its files are.
    """
    cols, rows = recording.size
    go, end = root / "go", root / "end"
    program = [str(_agent(root, recording.agent))] if files else [sys.executable, "-E", str(PLAYER)]
    primary = [*program, str(recording.folder), "--go", str(go), "--end", str(end)]
    primary += {
        "": [],
        "along": ["--files", recording.agent],
        "late": ["--files", recording.agent, "--late"],
    }[files]
    primary += ["--longest", str(LONGEST_PAUSE)]
    primary += ["--speed", str(max(1.0, recording.seconds / (FILE_SECONDS if files else FULL_SPEED_SECONDS)))]
    # The primary gets a third of the window, and one row of it goes to the label in its border.
    env = {"PLAYER_TESTS": str(PLAYER.parents[1])}
    with Lab(root / "lab", size=(3 * cols + 2, rows + 1), primary=primary, env=env) as lab:
        lab.start(NOTE, *(() if files or recording.agent == "plain" else ("--agent", recording.agent)))
        try:
            until(lambda: _size(lab) == (cols, rows), f"a primary of {cols} x {rows}, not {_size(lab)}")
            go.touch()
            for part in kills:
                _kill_engine(lab, int(part * len(recording.raw)))
            until(end.exists, "the end of the recording", PLAY_SECONDS)
            until(lambda: _read(lab) >= len(recording.raw), "all of it read")
            _wait_quiet(lab, 0.0 if recording.agent == "plain" else FIND_SECONDS)
            asked = _answer(lab, wanted)
            until(lambda: _all_done(lab), "the workers are done")
            _wait_quiet(lab)
            return _outcome(lab, asked)
        except AssertionError as error:
            error.add_note(_story(lab))
            raise


def _agent(root: Path, name: str) -> Path:
    """Make the player a program of the agent's name."""
    path = root / "bin" / name
    path.parent.mkdir(parents=True)
    path.write_text(f"#!{sys.executable} -E\n{PLAYER.read_text()}")
    path.chmod(0o755)
    return path


def _size(lab: Lab) -> tuple[int, int]:
    width, height = lab.tmux("display-message", "-p", "-t", "%0", "#{pane_width} #{pane_height}").split()
    return int(width), int(height)


def _segments(lab: Lab) -> list[Path]:
    return sorted((lab.run / "log").iterdir())


def _read(lab: Lab) -> int:
    """Return how many bytes of the log the engine has taken."""
    journal = lab.journal()
    cursor = journal.meta("cursor")
    journal.close()
    if not isinstance(cursor, list):
        return 0
    before = [path for path in _segments(lab) if path.name < cursor[0]]
    return sum(path.stat().st_size for path in before) + int(cursor[1])


def _kill_engine(lab: Lab, offset: int) -> None:
    """Kill the engine once it has taken `offset` bytes, and return when another one is there."""
    until(lambda: _read(lab) >= offset, f"{offset} bytes read", PLAY_SECONDS)
    killed = lab.kill_engine()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")


def _wait_quiet(lab: Lab, more: float = 0.0) -> None:
    """Wait until nothing was told for longer than the engine ever puts off a decision."""
    told, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal told, since
        if len(lab.events()) != told:
            told, since = len(lab.events()), time.monotonic()
        return time.monotonic() - since > QUIET_SECONDS + more

    until(quiet, "a quiet engine")


def _directives(lab: Lab) -> list[DirectiveRow]:
    journal = lab.journal()
    rows = journal.directives()
    journal.close()
    return rows


def _answer(lab: Lab, wanted: list[str]) -> set[int]:
    """Answer every question, as the user would, and return the numbers that were asked about."""
    asking = [row for row in _directives(lab) if row.state is DirectiveState.ASKING]
    started = {row.directive for row in lab.workers().values()}
    assert started.isdisjoint(row.number for row in asking), "a worker began before the answer"
    for row in asking:
        lab.aiorch("approve" if canonical(row.payload) in wanted else "decline", str(row.number))
    return {row.number for row in asking}


def _all_done(lab: Lab) -> bool:
    return all(row.state is WorkerState.DONE for row in lab.workers().values())


def _outcome(lab: Lab, asked: set[int]) -> Played:
    events = lab.events()
    ran = lab.home / "ran"
    words = ran.read_text().split("\0")[:-1] if ran.exists() else []
    return Played(
        directives=_directives(lab),
        asked=asked,
        workers=sorted(lab.workers().values(), key=lambda row: row.number),
        spawned=Counter(event.text.split()[0] for event in events if event.tag is Tag.SPAWNED),
        ran=Counter(zip(words[::2], words[1::2], strict=True)),
        panes={row[0]: row[1] for row in lab.panes("pane_id", "@aiorch_name")},
        log=b"".join(path.read_bytes() for path in _segments(lab)),
        size=_size(lab),
        errors=[event.text for event in events if event.tag is Tag.ERROR],
        story=_story(lab),
    )


def _story(lab: Lab) -> str:
    return "\n".join(f"[{event.tag}] {event.text}" for event in lab.events())
