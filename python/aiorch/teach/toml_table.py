"""Setting and taking out one table of a TOML file, the rest of the text untouched (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import tomli

from aiorch.errors import InstructionFileError

COMMENT = "# Written by `aiorch init --mcp`, taken out by `aiorch init --mcp --remove`."
_HEADER = re.compile(r"[ \t]*\[")
_DEL = "\\u007f"

Value = str | int | list[str]


def set_table(text: str, path: Sequence[str], values: Mapping[str, Value]) -> str:
    """Return a TOML text in which the table at a path has these values, at its end when it is new.

    Other keys that somebody gave the table stay. Raises InstructionFileError for what is no TOML, and for a
    table in a form that cannot be changed.
    """
    before = _parsed(text)
    known = _at(before, path)
    if isinstance(known, Mapping) and all(known.get(key) == value for key, value in values.items()):
        return text
    lines = [_line(key, value) for key, value in values.items()]
    if known is None:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        after = text + gap + "\n".join([COMMENT, f"[{'.'.join(path)}]", *lines]) + "\n"
    else:
        after = _with_values(text, path, values)
    return _checked(after, _with(before, path, values), path)


def take_table(text: str, path: Sequence[str]) -> str:
    """Return a TOML text without the table at a path and those in it; one without it as it is.

    Raises InstructionFileError for what is no TOML, and for a table in a form that cannot be taken out.
    """
    before = _parsed(text)
    if _at(before, path) is None:
        return text
    lines = text.splitlines(keepends=True)
    own = set(_own_lines(lines, path))
    after = "".join(line for index, line in enumerate(lines) if index not in own)
    # A gap of ours goes with it.
    if after.endswith("\n\n") and not text.endswith("\n\n"):
        after = after[:-1]
    return _checked(after, _with(before, path, None), path)


def _with_values(text: str, path: Sequence[str], values: Mapping[str, Value]) -> str:
    """Return a text in which a table that is there has these values, each on one line."""
    lines = text.splitlines(keepends=True)
    header = re.compile(rf"[ \t]*\[{re.escape('.'.join(path))}\][ \t]*(?:#.*)?$")
    start = next((index for index, line in enumerate(lines) if header.match(line.rstrip("\r\n"))), -1)
    if start < 0:
        return text
    end = next((index for index in range(start + 1, len(lines)) if _HEADER.match(lines[index])), len(lines))
    names = re.compile(rf"[ \t]*(?:{'|'.join(map(re.escape, values))})[ \t]*=")
    kept = [line for line in lines[start + 1 : end] if not names.match(line)]
    new = [f"{_line(key, value)}\n" for key, value in values.items()]
    return "".join([*lines[: start + 1], *new, *kept, *lines[end:]])


def _line(key: str, value: Value) -> str:
    # JSON's strings are TOML's, but for DEL.
    return f"{key} = {json.dumps(value).replace(chr(127), _DEL)}"


def _own_lines(lines: Sequence[str], path: Sequence[str]) -> Iterator[int]:
    """Yield the numbers of the lines of a table, its comment and its own tables."""
    name = ".".join(path)
    ours = re.compile(rf"[ \t]*\[{re.escape(name)}(?:\.[^\]]*)?\][ \t]*(?:#.*)?$")
    inside, last = False, -1
    for index, line in enumerate(lines):
        if _HEADER.match(line):
            inside = ours.match(line.rstrip("\r\n")) is not None
            if inside and index and lines[index - 1].strip() == COMMENT:
                yield index - 1
        if inside and line.strip() and not line.lstrip().startswith("#"):
            # What stands between two values is theirs; what stands behind the last is not.
            start = last + 1 if last >= 0 and all(_is_gap(one) for one in lines[last + 1 : index]) else index
            yield from range(start if not _HEADER.match(line) else index, index + 1)
            last = index


def _is_gap(line: str) -> bool:
    return not line.strip()


def _checked(text: str, wanted: object, path: Sequence[str]) -> str:
    """Return a text that says what is wanted, and nothing else."""
    try:
        is_right = tomli.loads(text) == wanted
    except tomli.TOMLDecodeError:
        is_right = False
    if not is_right:
        raise InstructionFileError(f"it has {'.'.join(path)} in a form of its own: change that by hand")
    return text


def _with(data: Mapping[str, object], path: Sequence[str], values: Mapping[str, Value] | None) -> object:
    """Return data whose table at a path has these values more, None: that is gone with what only held it."""
    name, *rest = path
    inner = data.get(name)
    known = inner if isinstance(inner, Mapping) else {}
    if rest:
        new: object = _with(known, rest, values)
    else:
        new = {**known, **values} if values is not None else {}
    if new or values is not None:
        return {**data, name: new}
    return {key: value for key, value in data.items() if key != name}


def _parsed(text: str) -> Mapping[str, object]:
    try:
        return tomli.loads(text)
    except (tomli.TOMLDecodeError, RecursionError) as error:
        raise InstructionFileError(f"it is no TOML ({error})") from error


def _at(data: object, path: Sequence[str]) -> object:
    for name in path:
        if not isinstance(data, Mapping) or name not in data:
            return None
        data = data[name]
    return data
