"""What a worker says: from its agent's session file where that is known, else from its pane."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

from aiorch.errors import RequestError, TmuxError
from aiorch.journal import ENDED, WorkerRow
from aiorch.journal.reading import reading
from aiorch.paths import RunPaths
from aiorch.places import root_of, socket_of
from aiorch.tmux.once import ask_once
from aiorch.ui.findings import plain
from aiorch.ui.terminal import printable, say

SCREEN, TRANSCRIPT, RESULT = "screen", "transcript", "result"
_LOOK_SECONDS = 0.5
_HISTORY = "-3000"
_PIECES = (60, 20, 8, 3, 1)


class Words(NamedTuple):
    """What a worker said; `source` tells where that was read, `cursor` where to go on reading."""

    source: str
    text: str
    cursor: object = None


def logs(options: argparse.Namespace) -> int:
    """Print what a worker said, and with --follow what it says from then on; return 0."""
    run, socket = RunPaths(root_of(options)), socket_of(options)
    row = worker_named(run, options.name)
    found = read_words(run, socket, row, screen=options.screen)
    if options.json and not options.follow:
        say(json.dumps({"name": row.name, "source": found.source, "text": found.text}))
        return 0
    text = _last_lines(found.text, options.lines)
    if text:
        _tell(row, text, as_json=options.json)
    while options.follow:
        # No file of ours grows when an agent writes into its own: looked at as often as a person could read.
        time.sleep(_LOOK_SECONDS)
        row = worker_named(run, options.name)
        before, found = found, read_words(run, socket, row, found.cursor, screen=options.screen)
        news = found.text if found.source == TRANSCRIPT else new_lines(before.text, found.text)
        if news:
            _tell(row, news, as_json=options.json)
        elif row.state in ENDED:
            return 0
    return 0


def worker_named(run: RunPaths, name: str) -> WorkerRow:
    """Return a worker of a run. Raises RequestError when there is none of that name."""
    with reading(run.journal) as journal:
        row = journal.named([name]).get(name)
    if row is None:
        raise RequestError(f"this run has no worker {printable(name)}: `aiorch ps` lists the workers")
    return row


def read_words(
    run: RunPaths, socket: str, row: WorkerRow, cursor: object = None, *, screen: bool = False
) -> Words:
    """Return what a worker said since a `cursor`, from where it is known best.

    That is its agent's session file, else its pane, else the result it left. With `screen` it is the pane as
    it looks now. Raises RequestError when the screen is asked for and the pane is gone.
    """
    record = json.loads(row.record)
    if record and not screen:
        return _transcript(record, cursor)
    if row.pane:
        found = _pane(run, socket, row, screen=screen)
        if found is not None:
            return found
    if screen:
        raise RequestError(f"the pane of {row.name} is closed: `aiorch show {row.name}` has what is left")
    return Words(RESULT, plain(row.result).strip("\n"))


def new_lines(before: str, after: str) -> str:
    """Return the lines of a pane that were added since it was seen `before`."""
    old, new = before.splitlines(), after.splitlines()
    if not old:
        return after
    # The old end is looked for in the new text, a long piece first: above it, lines have scrolled away.
    for size in _PIECES:
        piece = old[-size:]
        for start in range(len(new) - len(piece), -1, -1) if size <= len(old) else ():
            if new[start] == piece[0] and new[start : start + size] == piece:
                return "\n".join(new[start + size :])
    return after


def _transcript(record: dict[str, str], cursor: object) -> Words:
    from aiorch.capture.transcript.follow import open_transcript

    reader = open_transcript(
        record["format"], Path(record["path"]), cursor, session=record.get("session", ""), marker=""
    )
    texts = [plain(said.text).strip("\n") for said in reader.read() if said.text.strip()]
    return Words(TRANSCRIPT, "\n\n".join(texts), reader.cursor)


def _pane(run: RunPaths, socket: str, row: WorkerRow, *, screen: bool) -> Words | None:
    """Return what stands in a worker's pane, None when it is closed."""
    where = ["-S", socket] if socket else []
    # The pane's number may have come to another one: what it runs says whose it is.
    check = ["display-message", "-p", "-t", row.pane, "#{@aiorch_name}"]
    history = [] if screen else ["-S", _HISTORY]
    try:
        name = ask_once(["-u", *where, *check])
        if name.code != 0 or name.text.rstrip("\n") != row.name:
            return None
        shown = ask_once(["-u", *where, "capture-pane", "-p", "-J", *history, "-t", row.pane])
    except TmuxError:
        return None
    if shown.code != 0:
        return None
    lines = [line.rstrip() for line in plain(shown.text).split("\n")]
    return Words(SCREEN, "\n".join(lines).rstrip("\n"))


def _last_lines(text: str, most: int | None) -> str:
    return text if most is None else "\n".join(text.splitlines()[-most:] if most else [])


def _tell(row: WorkerRow, text: str, *, as_json: bool) -> None:
    say(json.dumps({"name": row.name, "text": text}) if as_json else text)
