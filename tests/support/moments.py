"""Screens of recordings at moments whose state is known by something other than the screen's text."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aiorch.capture.screen import Screen
from aiorch.workers.state import AgentState, Glance

LEAVING = 1.0
"""Seconds before an end in which an agent already takes its screen down."""

STARTING = 2.5
"""Seconds in which Codex may say that it works before it has been asked anything."""

MARGIN = 0.4
"""Seconds before and after a change of state in which no screen is taken."""

STEP = 0.5
MOST = 6
"""Screens taken of one span: `STEP` seconds apart, no more than `MOST` of them."""

_TITLE = re.compile(rb"\x1b\](?:0|2);([^\x07\x1b]*)(?:\x07|\x1b\\)")
_PROGRAM_STATUS = re.compile(rb"\x1b\]7501;state=(\w+)[^\x07\x1b]*(?:\x07|\x1b\\)")
_CURSOR = re.compile(rb"\x1b\[\?25([hl])")
_STATES = {
    "idle": AgentState.IDLE,
    "done": AgentState.IDLE,
    "working": AgentState.WORKING,
    "busy": AgentState.WORKING,
    "blocked": AgentState.WAITING,
    "waiting": AgentState.WAITING,
    "error": AgentState.ERROR,
    "clear": AgentState.EXITED,
}
_GEMINI = (("✦", AgentState.WORKING), ("✋", AgentState.WAITING), ("◇", AgentState.IDLE))
_QWEN = (("◐", AgentState.WORKING), ("✳", AgentState.WAITING), ("Qwen", AgentState.IDLE))
_MARKS = {
    "ready": AgentState.IDLE,
    "approval": AgentState.WAITING,
    "approval+2s": AgentState.WAITING,
    "working (before the first token)": AgentState.WORKING,
    "streaming": AgentState.WORKING,
    "after exit": AgentState.EXITED,
}

# Ended by the recorder's patience, in the middle of an answer.
_CUT_OFF = {"copilot/scroll-80x24"}


@dataclass(frozen=True, slots=True)
class Moment:
    """What a recording's pane showed when it had `seconds` and `offset` bytes, and the true state."""

    case: str
    agent: str
    seconds: float
    state: AgentState
    glance: Glance


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which the state did not change."""

    start: float
    end: float
    state: AgentState


class Recording:
    """One folder of the corpus: bytes, their times and what is known about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw = (folder / "raw.log").read_bytes()
        self.meta: Mapping[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        lines = (folder / "timing.tsv").read_text(encoding="utf-8").splitlines()
        self.reads = [(float(s), int(o), int(n)) for s, o, n in (line.split("\t") for line in lines)]
        self.agent = str(self.meta["agent"])
        self.case = folder.name

    def time_of(self, offset: int) -> float:
        """Return when the byte at an offset came."""
        return next((seconds for seconds, at, size in self.reads if offset < at + size), self.end)

    def offset_at(self, seconds: float) -> int:
        """Return how many bytes had come by then."""
        return max((at + size for when, at, size in self.reads if when <= seconds), default=0)

    @property
    def end(self) -> float:
        """Return when the last byte came."""
        return self.reads[-1][0] if self.reads else 0.0

    @property
    def fails(self) -> bool:
        """Say whether the model's server was told to answer with an error that ends the turn."""
        return bool({"err400", "e400", "e500"} & set(self.meta["scenario"]))

    @property
    def retries(self) -> bool:
        """Say whether the agent tried again and again, and how that ended is not known."""
        return any(re.match(r"e(?:rr)?[45]\d\d", word) for word in self.meta["scenario"]) and not self.fails

    def glances(self, offsets: Sequence[int]) -> Iterator[Glance]:
        """Yield what the pane showed after each of these numbers of bytes, which ascend."""
        screen = Screen(self.meta["cols"], self.meta["rows"])
        resizes = sorted((r["offset"], r["cols"], r["rows"]) for r in self.meta.get("resizes", ()))
        at = 0
        for offset in offsets:
            while resizes and resizes[0][0] <= offset:
                where, cols, rows = resizes.pop(0)
                screen.feed(self.raw[at:where])
                screen.resize(cols, rows)
                at = max(at, where)
            screen.feed(self.raw[at:offset])
            at = max(at, offset)
            yield self._glance(screen, at)

    def _glance(self, screen: Screen, offset: int) -> Glance:
        titles = _TITLE.findall(self.raw, 0, offset)
        cursor = _CURSOR.findall(self.raw, 0, offset)
        return Glance(
            rows=tuple(row.text for row in screen.view()),
            title=titles[-1].decode(errors="replace") if titles else "",
            columns=screen.cols,
            cursor=not cursor or cursor[-1] == b"h",
            alternate=screen.alternate,
        )


def moments(folder: Path) -> list[Moment]:
    """Return the moments of a recording whose state is known, in their order.

    Where the state comes from: Codex says it by OSC 7501, Gemini and Qwen in their titles, Claude in its
    registry (screens taken together with it) or by its transcript's times, the others by what the script
    of the recording did. Only a failed turn is told by the scenario.
    """
    recording = Recording(folder)
    snaps = folder / "snaps.jsonl"
    if snaps.exists() and '"reg": "' in snaps.read_text(encoding="utf-8"):
        return list(_snapped(recording, snaps))
    spans = _SPANS.get(recording.agent, _marked)(recording)
    times = sorted({time: span.state for span in spans for time in _times(span)}.items())
    offsets = [recording.offset_at(time) for time, _ in times]
    found = zip(times, recording.glances(offsets), strict=True)
    return [
        Moment(recording.case, recording.agent, time, state, glance)
        for (time, state), glance in found
        if any(glance.rows)
    ]


def _times(span: Span) -> list[float]:
    if span.start == span.end:
        return [span.start]
    first, last = span.start + MARGIN, span.end - MARGIN
    count = min(MOST, int((last - first) / STEP) + 1) if last >= first else 0
    return [round(first + (last - first) * n / max(1, count - 1), 3) for n in range(count)]


def _changes(recording: Recording, changes: Sequence[tuple[int, AgentState | None]]) -> list[Span]:
    """Make spans of changes at offsets; the last one lasts until a moment after the last byte."""
    timed = [(recording.time_of(offset), state) for offset, state in changes]
    ends = [time for time, _ in timed[1:]] + [recording.end + 2 * MARGIN]
    # Before it is ready an agent pulses between states, or has a title that does not hold yet.
    marks = recording.meta.get("marks", ())
    ready = next((recording.time_of(mark["offset"] - 1) for mark in marks if mark["what"] == "ready"), None)
    if ready is None:
        worked = [time for time, state in timed if state is AgentState.WORKING]
        ready = next((time for time in worked if time > STARTING), 0.0) - 1.0
    begin = ready - MARGIN
    states = [state for _, state in timed]
    found = []
    for (time, state), end, after in zip(timed, ends, [*states[1:], None], strict=True):
        end -= LEAVING if after is AgentState.EXITED else 0.0
        if state and end > max(time, begin):
            found.append(Span(max(time, begin), end, state))
    return found


def _codex(recording: Recording) -> list[Span]:
    found = _PROGRAM_STATUS.finditer(recording.raw)
    changes = [(match.start(), _STATES.get(match[1].decode())) for match in found]
    return _changes(recording, changes)


def _titled(recording: Recording, words: Sequence[tuple[str, AgentState]]) -> list[Span]:
    changes: list[tuple[int, AgentState | None]] = []
    for match in _TITLE.finditer(recording.raw):
        title = match[1].decode(errors="replace").strip()
        state = next((state for word, state in words if title.startswith(word)), None)
        if not title and changes:
            state = AgentState.EXITED
        # The title says nothing of a turn that failed: what follows the work is then the error.
        worked = any(before is AgentState.WORKING for _, before in changes)
        if state is AgentState.IDLE and recording.fails and worked:
            state = AgentState.ERROR
        if not changes or changes[-1][1] is not state:
            changes.append((match.start(), state))
    return _changes(recording, changes)


def _gemini(recording: Recording) -> list[Span]:
    return _titled(recording, _GEMINI)


def _qwen(recording: Recording) -> list[Span]:
    return _titled(recording, _QWEN)


def _marked(recording: Recording) -> list[Span]:
    """Read the marks that the recorder left when its script had got so far."""
    if f"{recording.agent}/{recording.case}" in _CUT_OFF:
        return []
    spans = []
    asks = recording.agent not in ("aider", "plain")
    marks = [(mark["what"], int(mark["offset"])) for mark in recording.meta.get("marks", ())]
    for what, offset in marks:
        state = _MARKS.get(what)
        if what == "end" and any(word == "after exit" for word, _ in marks):
            state = AgentState.IDLE
        elif what in ("end", "error settled"):
            state = _end_state(recording)
        if what.startswith("approval") and not asks:
            state = None
        if state is not None:
            when = recording.time_of(max(0, offset - 1))
            spans.append(Span(when, when, state))
    return spans + _between(recording, dict(marks))


def _end_state(recording: Recording) -> AgentState | None:
    if recording.fails:
        return AgentState.ERROR
    # Behind HTTP 500 each agent has rules of its own for trying again.
    return None if recording.retries else AgentState.IDLE


def _between(recording: Recording, marks: Mapping[str, int]) -> list[Span]:
    """Return the middle of the time from the first byte after the prompt to the last one of the answer."""
    # Aider's user runs these commands by itself, and they are over at once.
    ran = recording.agent == "aider" and bool({"env", "tool", "tool2"} & set(recording.meta["scenario"]))
    if "ready" not in marks or "end" not in marks or "approval" in marks or ran:
        return []
    start = recording.time_of(marks["ready"])
    end = recording.time_of(max(0, marks["end"] - 1))
    if end - start < 4.0:
        return []
    return [Span(start + 0.45 * (end - start), start + 0.75 * (end - start), AgentState.WORKING)]


def _snapped(recording: Recording, path: Path) -> Iterator[Moment]:
    """Yield the screens that were taken together with Claude's registry.

    A screen was kept when it, or the registry, had changed: what stood for a while has no race in it.
    """
    snaps = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    worked = False
    for snap, after in itertools.pairwise(snaps):
        state = _STATES.get(str(snap.get("reg") or "").split(":")[0])
        worked = worked or state is AgentState.WORKING
        if state is None or after["t"] - snap["t"] < MARGIN:
            continue
        if state is AgentState.IDLE and recording.fails and worked:
            state = AgentState.ERROR
        flags = snap["state"]
        yield Moment(
            recording.case,
            "claude",
            snap["t"],
            state,
            Glance(
                rows=tuple(row.rstrip() for row in snap["screen"].split("\n")),
                title=flags[1],
                columns=recording.meta["cols"],
                alternate=flags[0] == "1",
            ),
        )


def _claude(recording: Recording) -> list[Span]:
    """Read the script (what was typed when) and, for the length of a turn, the transcript's times."""
    steps = [(float(when), list(words)) for when, _, words in recording.meta.get("script", ())]
    names = [words[0] for _, words in steps]
    spans = [
        Span(steps[index + 1][0], steps[index + 2][0], AgentState.WAITING)
        for index, (_, words) in enumerate(steps[:-2])
        if words[0] == "text" and "Do you want" in words[1] and names[index + 2] == "key"
    ]
    if recording.case.startswith("trust"):
        spans.append(Span(steps[0][0] + 5.0, steps[2][0] - 1.0, AgentState.WAITING))
    if names[:2] == ["ready", "say"]:
        spans.append(Span(steps[1][0] - 2 * MARGIN, steps[1][0], AgentState.IDLE))
    turns = _turns(recording.folder)
    if names == ["ready", "say", "done"] and len(turns) == 1:
        # The script's clock and the transcript's are not the same.
        start = steps[2][0]
        spans.append(Span(start + 2.0, start + turns[0] - 1.0, AgentState.WORKING))
        if not recording.retries:
            spans.append(Span(recording.end, recording.end, AgentState.IDLE))
    if recording.fails and names == ["ready", "say", "sleep", "quiet"]:
        spans.append(Span(recording.end, recording.end, AgentState.ERROR))
    return [span for span in spans if span.end >= span.start]


def _turns(folder: Path) -> list[float]:
    """Return how many seconds each turn took by the times in Claude's transcript."""
    path = folder / "session.jsonl"
    found: list[list[float]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        record = json.loads(line)
        kind, stamp = record.get("type"), record.get("timestamp")
        if kind not in ("user", "assistant") or not stamp:
            continue
        seconds = datetime.fromisoformat(stamp).timestamp()
        content = record.get("message", {}).get("content")
        if kind == "user" and isinstance(content, str):
            found.append([seconds])
        elif found:
            found[-1].append(seconds)
    return [turn[-1] - turn[0] for turn in found]


_SPANS = {"codex": _codex, "gemini": _gemini, "qwen": _qwen, "claude": _claude}
