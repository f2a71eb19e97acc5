"""Following a session file that holds one JSON record a line."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from aiorch.capture.grammar import MARKER
from aiorch.capture.json_text import loads
from aiorch.capture.transcript.line_file import Line, LineFile
from aiorch.capture.transcript.said import Said

Record = Mapping[str, object]

_REMEMBERED = 256
_HEAD = 4096


class Format(Protocol):
    """What one agent's records mean; no I/O.

    `heads` are byte strings of which one is in the beginning of each record that `take` needs besides
    those that hold a marker. `state` is all that it remembers between records, small and JSON-able.
    """

    heads: tuple[bytes, ...]
    state: dict[str, object]

    def take(self, record: Record, position: str) -> Iterable[Said]:
        """Yield the texts of the assistant's own in one record."""


class RecordFile:
    """Follows a file of JSON records; lines that are no records, or unknown ones, change nothing."""

    def __init__(self, path: Path, form: Format, cursor: object = None, *, marker: str = MARKER) -> None:
        self.path = path
        self._marker = marker
        self._form = form
        known = cursor if isinstance(cursor, Mapping) else {}
        self._file = LineFile(path, known.get("file"))
        self._restarts = 0
        state = known.get("state")
        if isinstance(state, dict) and self._file.offset:
            form.state.update(state)
        self._recent = Recent()

    @property
    def restarts(self) -> int:
        """Return how often the file began anew."""
        return self._restarts

    @property
    def watched(self) -> tuple[Path, ...]:
        """Return the file itself."""
        return (self.path,)

    @property
    def cursor(self) -> object:
        """Return how far the file was read, with what later records need of earlier ones."""
        return {"file": self._file.cursor, "state": self._form.state}

    def read(self) -> list[Said]:
        """Return the texts with the marker in the lines that were completed since the last read."""
        found: list[Said] = []
        for line in self._file.read():
            if self._file.restarts != self._restarts:
                self._restarts = self._file.restarts
                self._form.state.clear()
                self._recent = Recent()
            found.extend(self._take(line))
        return found

    def finish(self) -> list[Said]:
        """Return what `read` does, and the last line although nothing ended it."""
        found = self.read()
        rest = self._file.rest()
        return found + (self._take(rest) if rest else [])

    def _take(self, line: Line) -> list[Said]:
        if self._marker.encode() not in line.data and not any(
            head in line.data[:_HEAD] for head in self._form.heads
        ):
            return []
        record = parse(line.data)
        if record is None:
            return []
        position = f"{self.path.name}:{line.offset}"
        said = self._form.take(record, position)
        return [one for one in said if self._marker in one.text and self._recent.add(one)]


class Recent:
    """Remembers the last texts, since some agents write a message again when it gets a tool result."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int], None] = OrderedDict()

    def add(self, said: Said) -> bool:
        """Say whether this text is new."""
        key = (said.message, hash(said.text))
        if key in self._known:
            self._known.move_to_end(key)
            return False
        self._known[key] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return True


def parse(data: bytes) -> Record | None:
    """Return the JSON object in `data`, or None; bytes that are no UTF-8 become U+FFFD."""
    try:
        record = loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def part(record: Record, name: str) -> Record:
    """Return the object under a name, or an empty one."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def word(record: Record, name: str) -> str:
    """Return the string under a name, or an empty one."""
    value = record.get(name)
    return value if isinstance(value, str) else ""


def moment(record: Record) -> float | None:
    """Return the record's `timestamp` in seconds since the epoch, or None."""
    try:
        time = datetime.fromisoformat(word(record, "timestamp"))
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def texts(content: object, kinds: tuple[str | None, ...] = (None,)) -> list[str]:
    """Return the texts of a message's content: a string, or a list of blocks of some kinds.

    Neighbouring blocks stay apart; what is marked as a thought is left out.
    """
    if isinstance(content, str):
        return [content]
    blocks = content if isinstance(content, list) else []
    return [
        block["text"]
        for block in blocks
        if isinstance(block, dict)
        and isinstance(block.get("text"), str)
        and block.get("type") in kinds
        and not block.get("thought")
    ]
