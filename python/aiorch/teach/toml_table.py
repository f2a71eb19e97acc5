"""Setting and taking out one table of a TOML file, the rest of the text untouched (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import tomli

from aiorch.errors import InstructionFileError

COMMENT = "# Written by `aiorch init --mcp`, taken out by `aiorch init --mcp --remove`."
_HEADER = re.compile(r"[ \t]*\[")


def set_table(text: str, path: Sequence[str], values: Mapping[str, str | Sequence[str]]) -> str:
    """Return a TOML text in which the table at a path has these values, at its end when it is new.

    Raises InstructionFileError for what is no TOML, and for a table in a form that cannot be replaced.
    """
    if _at(_parsed(text), path) == {key: _plain(value) for key, value in values.items()}:
        return text
    rest = take_table(text, path)
    block = [COMMENT, f"[{'.'.join(path)}]"]
    # JSON's strings are TOML's, but for DEL.
    block += [f"{key} = {json.dumps(_plain(value)).replace(chr(127), '')}" for key, value in values.items()]
    gap = "" if not rest else "\n" if rest.endswith("\n") else "\n\n"
    return _checked(rest + gap + "\n".join(block) + "\n")


def take_table(text: str, path: Sequence[str]) -> str:
    """Return a TOML text without the table at a path and those in it; one without it as it is.

    Raises InstructionFileError for what is no TOML, and for a table in a form that cannot be taken out.
    """
    before = _parsed(text)
    if _at(before, path) is None:
        return text
    lines = text.splitlines(keepends=True)
    kept = [line for index, line in enumerate(lines) if index not in set(_own_lines(lines, path))]
    after = "".join(kept)
    # A gap of ours goes with it.
    if after != text and after.endswith("\n\n") and not text.endswith("\n\n"):
        after = after[:-1]
    if _at(_parsed(after), path) is not None:
        raise InstructionFileError(f"it has {'.'.join(path)} in a form of its own: take that out by hand")
    return after


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


def _checked(text: str) -> str:
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise InstructionFileError(
            "it has such servers in a form that nothing can be added to: add the server by hand"
        ) from error
    return text


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


def _plain(value: str | Sequence[str]) -> str | list[str]:
    return value if isinstance(value, str) else list(value)
