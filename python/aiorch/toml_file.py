"""Reading TOML files with every mistake reported at once, by file, line and key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli

MAX_BYTES = 1 << 20

_HEADER = re.compile(r"\s*(\[{1,2})\s*([^\[\]#]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(
    r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*="""
)
_PIECE = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")

KeyPath = tuple[str | int, ...]


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line of every table and key of a TOML text that is known to be valid.

    tomli keeps no positions. Keys of inline tables count as on the line of their table.
    """
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    open_until: str | None = None
    depth = 0
    for number, line in enumerate(text.split("\n"), 1):
        if open_until is None and depth == 0:
            header = _HEADER.match(line)
            if header:
                table = _table_path(header, counts)
                for end in range(1, len(table) + 1):
                    lines.setdefault(table[:end], number)
                continue
            key = _KEY.match(line)
            if key:
                path = table + _pieces(key.group(1))
                for end in range(len(table) + 1, len(path) + 1):
                    lines.setdefault(path[:end], number)
                line = line[key.end() :]
        open_until, depth = _scan_value(line, open_until, depth)
    return lines


def _table_path(header: re.Match[str], counts: dict[KeyPath, int]) -> KeyPath:
    path: KeyPath = ()
    pieces = _pieces(header.group(2))
    for index, piece in enumerate(pieces):
        path += (piece,)
        is_last = index == len(pieces) - 1
        if is_last and header.group(1) == "[[":
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path += (counts[path] - 1,)
    return path


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(a or b or c for a, b, c in _PIECE.findall(text))


def _scan_value(line: str, open_until: str | None, depth: int) -> tuple[str | None, int]:
    """Follow strings and brackets to the end of a line: which string and how many lists are open."""
    at = 0
    while at < len(line):
        if open_until is not None:
            if line[at] == "\\" and open_until[0] == '"':
                at += 2
            elif line.startswith(open_until, at):
                at += len(open_until)
                open_until = None
            else:
                at += 1
            continue
        char = line[at]
        if char == "#":
            break
        if char in "\"'":
            open_until = char * 3 if line.startswith(char * 3, at) else char
            at += len(open_until)
            continue
        depth += (char in "[{") - (char in "]}")
        at += 1
    # A string of one line ends with its line.
    return (open_until if open_until and len(open_until) == 3 else None), max(depth, 0)


@dataclass
class TomlFile:
    """One file's data, where its keys are, and the mistakes found so far."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    text: str = ""
    _found: list[tuple[int, str]] = field(default_factory=list)
    _wrong: set[KeyPath] = field(default_factory=set)

    def problem(self, path: KeyPath, message: str) -> None:
        """Note a mistake at a key, with the line of the key or of the table around it.

        Only the first one at a key counts, and none inside of a table that is wrong itself.
        """
        if any(path[:end] in self._wrong for end in range(1, len(path) + 1)):
            return
        self._wrong.add(path)
        known = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in self.lines), ())
        line = self.lines.get(known, 1)
        self._found.append((line, f"{self.name}:{line}: {dotted(path)}: {message}"))

    @cached_property
    def lines(self) -> dict[KeyPath, int]:
        """The line of every table and key; counted when a mistake has to be told."""
        return key_lines(self.text)

    def all_problems(self) -> list[str]:
        """Return the mistakes in the order of the file."""
        return self.problems + [text for _, text in sorted(self._found, key=lambda found: found[0])]


def dotted(path: KeyPath) -> str:
    """Return a key path as TOML people write it: `rules[0].task`."""
    text = ""
    for piece in path:
        text += f"[{piece}]" if isinstance(piece, int) else f".{piece}" if text else piece
    return text or "file"


def read_toml(path: Path) -> TomlFile:
    """Return the file's data; a file that cannot be read or parsed has problems and no data."""
    file = TomlFile(str(path))
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            file.problems.append(f"{path}: larger than 1 MiB")
            return file
        text = raw.decode("utf-8")
        file.data = tomli.loads(text)
    except OSError as error:
        file.problems.append(f"{path}: {error.strerror or error}")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        file.problems.append(f"{path}:{line}: not UTF-8")
    except tomli.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(at.group(1)) if at else text.count("\n") + 1
        file.problems.append(f"{path}:{line}: {re.sub(r' [(]at .*', '', str(error))}")
    except RecursionError:
        file.problems.append(f"{path}: nested too deeply")
    else:
        file.text = text.replace("\r\n", "\n")
    return file


class Reader:
    """Takes the keys of one table one by one; what is left at the end is a mistake."""

    def __init__(self, file: TomlFile, path: KeyPath, table: object) -> None:
        self._file, self._path = file, path
        self._known: list[str] = []
        self.table: Mapping[str, Any] = table if isinstance(table, dict) else {}
        if not isinstance(table, dict):
            file.problem(path, "must be a table")

    def problem(self, key: str, message: str) -> None:
        """Note a mistake at one key of this table."""
        self._file.problem((*self._path, key), message)

    def text(
        self, key: str, default: str = "", *, choices: Collection[str] = (), filled: bool = False
    ) -> str:
        """Return a string, one of `choices` when there are any, not blank when `filled`."""

        def check(value: object) -> str | None:
            if not isinstance(value, str):
                return "must be a string"
            if choices and value not in choices:
                return f"must be one of {', '.join(choices)}{_near(value, choices)}"
            if (filled and not value.strip()) or "\0" in value:
                return "must not be empty or hold NUL"
            return None

        return str(self._get(key, default, check))

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return a number between `low` and `high`."""

        def check(value: object) -> str | None:
            good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
            return None if good else f"must be a number from {low:g} to {high:g}"

        return float(self._get(key, default, check))

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number between `low` and `high`."""

        def check(value: object) -> str | None:
            good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
            return None if good else f"must be a whole number from {low} to {high}"

        return int(self._get(key, default, check))

    def flag(self, key: str, default: bool = False) -> bool:
        """Return true or false."""

        def check(value: object) -> str | None:
            return None if isinstance(value, bool) else "must be true or false"

        return bool(self._get(key, default, check))

    def words(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a list of strings, none of them empty."""

        def check(value: object) -> str | None:
            good = isinstance(value, list) and all(isinstance(v, str) and v and "\0" not in v for v in value)
            return None if good else "must be a list of strings that are not empty"

        return tuple(self._get(key, default, check))

    def tables(self, key: str) -> list[Reader]:
        """Return the readers of a list of tables."""
        value = self._get(key, [], lambda v: None if isinstance(v, list) else f"must be written as [[{key}]]")
        return [Reader(self._file, (*self._path, key, index), item) for index, item in enumerate(value)]

    def sub(self, key: str) -> Reader:
        """Return the reader of a table inside; an empty one when it is not there."""
        self._known.append(key)
        return Reader(self._file, (*self._path, key), self.table.get(key, {}))

    def subs(self) -> dict[str, Reader]:
        """Return a reader for each key of a table whose keys are names."""
        self._known.extend(self.table)
        return {key: Reader(self._file, (*self._path, key), value) for key, value in self.table.items()}

    def finish(self) -> None:
        """Note every key that nobody asked for, with the nearest known one."""
        for key in self.table:
            if key not in self._known:
                self.problem(key, f"unknown key{_near(key, self._known)}")

    def _get(self, key: str, default: Any, check: Callable[[object], str | None]) -> Any:
        self._known.append(key)
        if key not in self.table:
            return default
        message = check(self.table[key])
        if message is None:
            return self.table[key]
        self.problem(key, message)
        return default


def _near(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""
