"""Setting and taking out one member of a JSON file, the rest of the text untouched (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]  # public for long, and not in the stubs
from typing import NamedTuple

from aiorch.errors import InstructionFileError

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class _Member(NamedTuple):
    """Where a member of an object stands: its name from `start`, its value from `value` to `end`."""

    name: str
    start: int
    value: int
    end: int


class _Object(NamedTuple):
    """An object of the text, from its `{` to behind its `}`."""

    start: int
    end: int
    members: list[_Member]


def set_member(text: str, path: Sequence[str], value: Mapping[str, object]) -> str:
    """Return a JSON text in which the member at a path has a value; objects on the way are made.

    Other members of that value stay. An empty text becomes an object.

    Raises InstructionFileError for what is no JSON object, or has something
    else than an object on the way.
    """
    if not text.strip():
        return json.dumps(_nested(path, value), indent=2, ensure_ascii=False) + "\n"
    found = _document(text)
    for depth, name in enumerate(path):
        member = _member(found, name)
        if member is None:
            return _with_new(text, found, name, _nested(path[depth + 1 :], value))
        if depth == len(path) - 1:
            known = json.loads(text[member.value : member.end])
            merged = {**known, **value} if isinstance(known, dict) else value
            if known == merged:
                return text
            new = _dumped(text, member, merged)
            return text[: member.value] + new + text[member.end :]
        found = _inner(text, member)
    return text


def take_member(text: str, path: Sequence[str]) -> str:
    """Return a JSON text without the member at a path, and without the objects that only it was in.

    One without it is returned as it is, '' when nothing else is left. Raises InstructionFileError for what is
    no JSON object.
    """
    if not text.strip():
        return text
    found, way = _document(text), []
    for name in path:
        member = _member(found, name)
        if member is None:
            return text
        way.append((found, member))
        if len(way) == len(path):
            break
        if text[member.value] != "{":
            return text
        found = _inner(text, member)
    while way and len(way[-1][0].members) == 1:
        way.pop()
    return _without(text, *way[-1]) if way else ""


def _document(text: str) -> _Object:
    start = _blank(text, 1 if text.startswith("\ufeff") else 0)
    try:
        found = _object(text, start)
    except (ValueError, IndexError, RecursionError) as error:
        raise InstructionFileError(
            f"it is no JSON that can be changed without a loss ({error}): add the server by hand"
        ) from error
    if text[found.end :].strip():
        raise InstructionFileError("there is something behind its JSON object: add the server by hand")
    return found


def _object(text: str, start: int) -> _Object:
    if text[start : start + 1] != "{":
        raise ValueError("an object is expected")
    members: list[_Member] = []
    at = _blank(text, start + 1)
    if text[at] == "}":
        return _Object(start, at + 1, members)
    while True:
        if text[at] != '"':
            raise ValueError(f"a name is expected at character {at}")
        name, after = scanstring(text, at + 1, True)
        colon = _blank(text, after)
        if text[colon] != ":":
            raise ValueError(f"`:` is expected at character {colon}")
        value = _blank(text, colon + 1)
        _, end = _DECODER.raw_decode(text, value)
        members.append(_Member(name, at, value, end))
        at = _blank(text, end)
        if text[at] == "}":
            return _Object(start, at + 1, members)
        if text[at] != ",":
            raise ValueError(f"`,` is expected at character {at}")
        at = _blank(text, at + 1)


def _inner(text: str, member: _Member) -> _Object:
    if text[member.value] != "{":
        raise InstructionFileError(f'"{member.name}" is no object in it: add the server by hand')
    return _object(text, member.value)


def _member(found: _Object, name: str) -> _Member | None:
    same = [one for one in found.members if one.name == name]
    if len(same) > 1:
        raise InstructionFileError(f'it has "{name}" twice: leave one of them')
    return same[0] if same else None


def _with_new(text: str, found: _Object, name: str, value: object) -> str:
    last = found.members[-1] if found.members else None
    outer = _indent(text, found.start)
    if last is not None:
        gap = text[_end_of_blank(text, last.start) : last.start]
        unit = gap.rpartition("\n")[2] if "\n" in gap else ""
        body = (
            _indented(value, unit, _unit(outer, unit))
            if "\n" in gap
            else json.dumps(value, ensure_ascii=False)
        )
        return f"{text[: last.end]},{gap or ' '}{json.dumps(name)}: {body}{text[last.end :]}"
    newline = _newline(text)
    unit = outer + "  "
    body = _indented(value, unit, "  ").replace("\n", newline)
    inside = f"{{{newline}{unit}{json.dumps(name)}: {body}{newline}{outer}}}"
    return text[: found.start] + inside + text[found.end :]


def _without(text: str, found: _Object, member: _Member) -> str:
    index = found.members.index(member)
    if index:
        start = found.members[index - 1].end
        return text[:start] + text[member.end :]
    return text[: member.start] + text[found.members[1].start :]


def _dumped(text: str, member: _Member, value: object) -> str:
    if "\n" not in text[member.value : member.end]:
        return json.dumps(value, ensure_ascii=False)
    return _indented(value, _indent(text, member.start), "  ").replace("\n", _newline(text))


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indented(value: object, first: str, unit: str) -> str:
    """Return a value over several lines, those after the first behind `first`."""
    lines = json.dumps(value, indent=unit or "  ", ensure_ascii=False).split("\n")
    return "\n".join([lines[0], *(first + line for line in lines[1:])])


def _unit(outer: str, inner: str) -> str:
    """Return by how much an object's members stand further in than the object."""
    return inner.removeprefix(outer) if inner.startswith(outer) and inner != outer else "  "


def _indent(text: str, at: int) -> str:
    """Return the blanks at the beginning of the line of a character."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _end_of_blank(text: str, at: int) -> int:
    return len(text[:at].rstrip(" \t\r\n"))


def _blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _nested(path: Sequence[str], value: object) -> object:
    for name in reversed(path):
        value = {name: value}
    return value
