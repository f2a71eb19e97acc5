"""An engine's log: what it said, when, and which of it holds no word of anybody else's."""

from __future__ import annotations

import builtins
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aiorch import errors, paths
from aiorch.doctor.words import Known

TAIL_BYTES = 256 * 1024
_HEAD = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} (DEBUG|INFO|WARNING|ERROR|CRITICAL) (\S+) (.*)")
_FRAME = re.compile(r'  File "([^"]+)", line (\d+), in .*')
_ERROR = re.compile(r"([A-Za-z_][\w.]*)(?::|$)")
_BAD = ("ERROR", "CRITICAL")
# Written by who starts an engine again, with what Python said.
_DIED = "the engine died while it began"


@dataclass(slots=True)
class Entry:
    """One message; `frames` and `error` are of the exception that it came with, the last line of that."""

    time: float
    level: str
    logger: str
    message: str
    frames: list[tuple[str, int]] = field(default_factory=list)
    error: str = ""
    more: int = 0

    @property
    def is_bad(self) -> bool:
        """Return whether it tells of something that went wrong."""
        return self.level in _BAD

    @property
    def sentence(self) -> str:
        """Return the message with the error, if it came with one."""
        return f"{self.message} ({self.error})" if self.error else self.message


def read_tail(path: Path, most: int = TAIL_BYTES) -> str:
    """Return the end of a log, from a line's beginning on; raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - most))
        data = file.read()
    return (data.partition(b"\n")[2] if size > most else data).decode("utf-8", "replace")


def parse(text: str) -> list[Entry]:
    """Return the messages of a log; lines that belong to none make one without a time (0)."""
    found: list[Entry] = []
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            when = time.mktime(time.strptime(head[1], "%Y-%m-%d %H:%M:%S"))
            found.append(Entry(when, head[2], head[3], head[4]))
            continue
        if line.startswith(_DIED):
            found.append(Entry(found[-1].time if found else 0.0, "ERROR", "aiorch.engine.revive", line))
            continue
        if not found:
            found.append(Entry(0.0, "", "", ""))
        _take(found[-1], line)
    return found


def outline(text: str) -> str:
    """Return times, levels, places in code and kinds of errors of a log, and none of its messages."""
    return "".join(f"{line}\n" for entry in parse(text) for line in _outlined(entry))


def _take(entry: Entry, line: str) -> None:
    frame = _FRAME.fullmatch(line)
    if frame:
        entry.frames.append((frame[1], int(frame[2])))
        # One more traceback of the same chain: its error is the last one.
        entry.error = ""
    elif entry.frames and not entry.error and _ERROR.match(line):
        entry.error = line
    else:
        entry.more += 1


def _outlined(entry: Entry) -> Iterator[str]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.time)) if entry.time else "-"
    yield f"{when} {entry.level or '-'} {known_logger(entry.logger)} ({len(entry.message)} characters)"
    for file, line in entry.frames:
        yield f"  {known_file(file)}:{line}"
    if entry.error:
        yield f"  {known_error(entry.error)}"


def known_logger(name: str) -> Known:
    """Return a logger's name if it is that of a module of ours."""
    path = paths.plugin_dir() / "python" / Path(*name.split("."))
    is_ours = name.startswith("aiorch") and re.fullmatch(r"[a-z_.]+", name) is not None
    return (
        Known(name) if is_ours and (path.is_dir() or path.with_suffix(".py").is_file()) else Known("(other)")
    )


def known_file(name: str) -> Known:
    """Return a source file's path from where it was installed, if it is one of ours or of a library."""
    path = Path(name)
    folders = [paths.plugin_dir() / "python", *(Path(entry) for entry in reversed(sys.path) if entry)]
    for folder in folders:
        if path.suffix == ".py" and ".." not in path.parts and path.is_relative_to(folder) and path.is_file():
            return Known(path.relative_to(folder))
    return Known("(other)")


def known_error(line: str) -> Known:
    """Return the kind of an error from the last line of a traceback, if it is one that everybody has."""
    found = _ERROR.match(line)
    module, _, name = found[1].rpartition(".") if found else ("", "", "")
    places = {"": builtins, "aiorch.errors": errors, "sqlite3": sqlite3}
    kind = getattr(places.get(module), name, None) if name else None
    is_kind = isinstance(kind, type) and issubclass(kind, BaseException)
    return Known(found[1]) if found and is_kind else Known("(another error)")
