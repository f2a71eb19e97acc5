"""`aiorch replay`: the directives that a pane's recorded log, and an agent's own files, would have given."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aiorch import paths
from aiorch.capture.directive import Directive, Rejected, Sighting, Source
from aiorch.capture.fuse import LONGEST_SECONDS, Fusion, Repeat, Serving
from aiorch.capture.grammar import MARKER, Complete, judge, object_start
from aiorch.capture.gutter import Gutter
from aiorch.capture.pane import PaneReader
from aiorch.capture.played import Resize, play
from aiorch.errors import ReplayError, UsageError
from aiorch.ui.terminal import printable
from aiorch.workers.profile_file import load_profiles

BLOCK = 65536
MAX_RESIZES_BYTES = 16 << 20
MAX_SIZE = 10000
"""Columns or rows that tmux 3.3a gives a window at most."""
# A pane of a program that is no agent, as recordings name it.
_NO_AGENT = "plain"
_OFFSET = re.compile(r":(\d+)(?:#[^:]*)?\Z")

Found = tuple[Sighting, str]
"""What was seen, and why it is not taken (empty: it is)."""


def replay(options: argparse.Namespace) -> int:
    """Print what the engine would take, one line each, and return the exit code.

    Raises ReplayError when a file cannot be read, UsageError for an unknown agent or a wrong size.
    """
    for sighting, reason in _found(options):
        if reason and not options.all:
            continue
        form = record(sighting, reason)
        text = json.dumps(form) if options.json else printable(_sentence(form, sighting.received_as))
        print(text, flush=True)  # noqa: T201 - the command's output
    return 0


def record(sighting: Sighting, reason: str = "") -> dict[str, object]:
    """Return the JSON form of what was seen; `reason` says why a directive is not taken.

    `offset` is that in the log, or in the session file for what comes from one. `received_as` is given
    for what is ignored, whose payload may be null.
    """
    found: dict[str, object] = {"payload": _payload(sighting), "source": str(sighting.source)}
    if isinstance(sighting, Directive):
        found["provenance"] = sighting.provenance
    match = _OFFSET.search(sighting.position)
    found["offset"] = int(match[1]) if match else None
    if sighting.source in (Source.SCREEN, Source.PLAIN):
        found["unverified"] = True
    if isinstance(sighting, Directive) and sighting.altered:
        found["altered"] = True
    ignored = sighting.reason if isinstance(sighting, Rejected) else reason
    if ignored:
        found |= {"ignored": ignored, "received_as": sighting.received_as}
    return found


def read_resizes(path: Path) -> list[Resize]:
    """Return the sizes in a JSON list of `{"offset", "cols", "rows"}`; raises ReplayError."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(MAX_RESIZES_BYTES))
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise ReplayError(f"{path} holds no JSON: {error}") from error
    return [_size(path, entry) for entry in (value if isinstance(value, list) else [value])]


def _size(path: Path, entry: object) -> Resize:
    values = [entry.get(name) for name in ("offset", "cols", "rows")] if isinstance(entry, dict) else []
    numbers = [value for value in values if type(value) is int and value >= 0]
    if len(numbers) != 3 or not all(0 < size <= MAX_SIZE for size in numbers[1:]):
        raise ReplayError(f'{path} must be a list of {{"offset": N, "cols": N, "rows": N}}')
    return Resize(*numbers)


def replayed(
    log: Path,
    reader: PaneReader,
    resizes: Sequence[Resize] = (),
    sessions: Sequence[Path] = (),
    agent: str | None = None,
) -> Iterator[Found]:
    """Yield what a pane's log and the agent's own session files give, in the order of the conversation.

    Session files decide when they hold any words of the assistant's. Raises ReplayError.
    """
    said = _said(sessions, agent) if sessions else None
    seen = play(reader, _blocks(log), resizes)
    if said is None:
        yield from ((sighting, _reason(sighting)) for sighting in seen)
    else:
        yield from _fused(said, seen)


def _found(options: argparse.Namespace) -> Iterator[Found]:
    resizes = read_resizes(options.resizes) if options.resizes else []
    if not (0 < options.cols <= MAX_SIZE and 0 < options.rows <= MAX_SIZE):
        raise UsageError(f"--cols and --rows go from 1 to {MAX_SIZE}")
    reader = PaneReader(options.cols, options.rows, _gutter(options.agent))
    yield from replayed(options.log, reader, resizes, options.session_files, options.agent)
    if reader.losses:
        times = f"{reader.losses} time{'s' * (reader.losses > 1)}"
        note = f"aiorch: the terminal emulator failed {times}; what the screen showed then is lost"
        print(note, file=sys.stderr)  # noqa: T201 - beside the output


def _said(sessions: Sequence[Path], agent: str | None) -> list[Sighting] | None:
    # Only with session files: SQLite and seven formats are not loaded for nothing.
    from aiorch.capture.recorded import read_sessions

    return read_sessions(sessions, agent)


def _fused(said: Sequence[Sighting], seen: Iterator[Sighting]) -> Iterator[Found]:
    """Yield what the session files hold, then what only the screen showed, which doesn't count."""
    fusion = Fusion(Serving.FILE)
    shown = list(seen)
    told = fusion.screen(shown, 0.0)
    for one in fusion.exact(said, 0.0):
        if not isinstance(one, Repeat):
            yield one, _reason(one)
    # The whole conversation is there: what its files do not say by now they never say.
    fusion.grew(0.0)
    for sighting in [*told, *fusion.expire(LONGEST_SECONDS), *shown]:
        if isinstance(sighting, Rejected):
            yield sighting, sighting.reason


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise _unreadable(path, error) from error


def _gutter(agent: str | None) -> Gutter | None:
    if agent is None or agent == _NO_AGENT:
        return None
    profiles = load_profiles(paths.config_dir() / "profiles")
    if agent not in profiles:
        known = ", ".join([*profiles, _NO_AGENT])
        raise UsageError(f"--agent {printable(agent)} is unknown; known: {known}")
    screen = profiles[agent].screen
    return Gutter.from_mapping(screen) if screen else None


def _unreadable(path: Path, error: OSError) -> ReplayError:
    return ReplayError(f"{path} cannot be read: {error.strerror or error}")


def _reason(sighting: Sighting) -> str:
    return sighting.reason if isinstance(sighting, Rejected) else ""


def _payload(sighting: Sighting) -> object:
    if isinstance(sighting, Directive):
        return sighting.payload
    start = object_start(sighting.received_as, len(MARKER))
    verdict = judge(sighting.received_as, start) if start >= 0 else None
    return verdict.payload if isinstance(verdict, Complete) else None


def _sentence(form: Mapping[str, object], received_as: str) -> str:
    marks = ", ".join([str(form["source"]), *(word for word in ("unverified", "altered") if word in form)])
    if "ignored" in form:
        return f"[IGNORED]  at {form['offset']} ({marks}): {form['ignored']}: {received_as}"
    return f"[RECEIVED] at {form['offset']} ({marks}): {json.dumps(form['payload'], ensure_ascii=False)}"
