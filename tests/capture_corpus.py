"""Playing recordings of real agents through a PaneReader, and counting what comes out."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiorch.capture.directive import Directive, Rejected, Sighting
from aiorch.capture.grammar import canonical
from aiorch.capture.gutter import Gutter
from aiorch.capture.pane import MAX_UNSETTLED_SECONDS, SETTLE_SECONDS, PaneReader
from aiorch.capture.played import Resize
from aiorch.capture.recorded import read_sessions
from aiorch.capture.screen import Screen
from aiorch.paths import plugin_dir
from aiorch.replay import replayed

_LOOKED, _INSIDE = 200, 6
_EDGES = " \u00a0│┃█▄▀▌▐▎▏║|╭╰╮╯❯›>●•✦◆⎿└"
SCREENS = plugin_dir() / "python" / "aiorch" / "workers" / "profiles" / "screens"


@dataclass
class Outcome:
    """What one recording gave, against what it holds."""

    expected: int = 0
    exact: int = 0
    missed: int = 0
    altered: int = 0
    duplicate: int = 0
    false: int = 0
    errors: int = 0
    marked: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        for name in ("expected", "exact", "missed", "altered", "duplicate", "false", "errors", "marked"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def gutter_of(agent: str) -> Gutter | None:
    path = SCREENS / f"{agent}.toml"
    return Gutter.from_mapping(tomllib.loads(path.read_text())["screen"]) if path.exists() else None


def _events(case: Path, meta: dict[str, object]) -> Iterator[tuple[float, int, str, tuple[int, int]]]:
    """Yield (time, offset, kind, value) of reads and resizes in the order of the stream."""
    resizes = [(r["offset"], r["cols"], r["rows"]) for r in meta.get("resizes") or []]  # type: ignore[attr-defined]
    for line in (case / "timing.tsv").read_text().splitlines():
        seconds, offset, length = line.split("\t")
        start, end = int(offset), int(offset) + int(length)
        while resizes and resizes[0][0] < end:
            at, cols, rows = resizes.pop(0)
            if at > start:
                yield float(seconds), start, "read", (start, at)
            yield float(seconds), at, "size", (cols, rows)
            start = max(start, at)
        yield float(seconds), start, "read", (start, end)


def play(case: Path, mode: str = "auto") -> tuple[list[Sighting], PaneReader]:
    """Feed one recording as it came, with the engine's two timers."""
    meta = json.loads((case / "meta.json").read_text())
    raw = (case / "raw.log").read_bytes()
    reader = PaneReader(meta["cols"], meta["rows"], gutter_of(meta["agent"]), mode=mode)  # type: ignore[arg-type]
    sightings: list[Sighting] = []
    last, began = 0.0, -1.0
    for now, _, kind, (first, second) in _events(case, meta):
        if began >= 0 and now - last > SETTLE_SECONDS:
            sightings.extend(reader.settle())
            if reader.wants_settle:
                sightings.extend(reader.settle())
            began = -1.0
        elif began >= 0 and now - began > MAX_UNSETTLED_SECONDS:
            sightings.extend(reader.settle())
            began = now
        if kind == "size":
            reader.resize(first, second)
            continue
        began = now if began < 0 else began
        last = now
        sightings.extend(reader.feed(raw[first:second], f"log:{first}"))
    for _ in range(2):
        sightings.extend(reader.settle())
    return sightings, reader


def resizes_of(meta: dict[str, Any]) -> list[Resize]:
    return [Resize(one["offset"], one["cols"], one["rows"]) for one in meta.get("resizes") or []]


def session_files(case: Path) -> list[Path]:
    return sorted(path for path in case.glob("session*") if path.suffix in {".jsonl", ".md", ".db"})


def replay_case(case: Path, *, sessions: bool = True) -> list[Sighting]:
    """Return what `aiorch replay` takes of one recording."""
    meta = json.loads((case / "meta.json").read_text())
    reader = PaneReader(meta["cols"], meta["rows"], gutter_of(meta["agent"]))
    files = session_files(case) if sessions else []
    found = replayed(case / "raw.log", reader, resizes_of(meta), files, meta["agent"])
    return [sighting for sighting, reason in found if not reason]


def spoken(case: Path) -> list[Sighting]:
    """Return what the session files of one recording hold."""
    meta = json.loads((case / "meta.json").read_text())
    return [
        one for one in read_sessions(session_files(case), meta["agent"]) or [] if isinstance(one, Directive)
    ]


def holds(case: Path) -> list[object]:
    """Return the expected payloads that were readable at some time, blanks and the edges of rows aside."""
    meta = json.loads((case / "meta.json").read_text())
    wanted = {_squeezed(json.dumps(one, ensure_ascii=False)): one for one in meta["expected"]}
    raw = (case / "raw.log").read_bytes()
    screen = Screen(meta["cols"], meta["rows"])
    found: dict[str, object] = {}
    last = 0.0
    for now, _, kind, (first, second) in _events(case, meta):
        if now - last > SETTLE_SECONDS or kind == "size":
            _look(screen, wanted, found)
        last = now
        if kind == "size":
            screen.resize(first, second)
        else:
            screen.feed(raw[first:second])
    _look(screen, wanted, found)
    return list(found.values())


def _look(screen: Screen, wanted: dict[str, object], found: dict[str, object]) -> None:
    if len(found) == len(wanted):
        return
    screen.flush()
    rows = [*screen.history[-_LOOKED:], *screen.view()]
    for texts in ([row.text for row in rows], [row.until(row.edge(_INSIDE)) for row in rows]):
        text = _squeezed("".join(row.strip(_EDGES) for row in texts))
        found.update({form: payload for form, payload in wanted.items() if form in text})


def _squeezed(text: str) -> str:
    return "".join(text.split())


def judge_case(case: Path, sightings: list[Sighting]) -> Outcome:
    """Compare sightings with the recording's own list."""
    meta = json.loads((case / "meta.json").read_text())
    wanted = Counter(canonical(item) for item in meta["expected"])
    forbidden = {
        canonical(json.loads(i) if isinstance(i, str) else i) for i in meta.get("not_directives") or []
    }
    outcome = Outcome(expected=sum(wanted.values()))
    left = Counter(wanted)
    for sighting in sightings:
        if isinstance(sighting, Rejected):
            outcome.errors += sighting.is_error
            continue
        _count(outcome, sighting, canonical(sighting.payload), wanted, left, forbidden)
    outcome.missed = outcome.expected - outcome.exact
    return outcome


def _count(
    outcome: Outcome, sighting: Directive, text: str, wanted: Counter[str], left: Counter[str], no: set[str]
) -> None:
    outcome.marked += sighting.altered
    if left[text] > 0:
        left[text] -= 1
        outcome.exact += 1
        return
    outcome.wrong.append(text)
    if text in wanted:
        outcome.duplicate += 1
    elif text in no or not wanted:
        outcome.false += 1
    else:
        outcome.altered += 1


def cases(root: Path, agent: str) -> list[Path]:
    return sorted(path.parent for path in root.glob(f"{agent}/*/meta.json"))
