"""Values and sentences of the doctor, which know what of them may stand in a bug report.

What a program or person wrote is a plain `str` and stays at home. A word of ours is `Known`, and numbers,
times, and the parts of a path that we named are harmless: all that leaves is on this list.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, Union


class Known(str):
    """A word of ours, or one that is the same on many machines: a version, a state."""

    __slots__ = ()


class Size(int):
    """A number of bytes."""


class Moment(float):
    """A time, in seconds since the epoch."""


class Seconds(float):
    """How long something took."""


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence: a fixed template with `{}` for each value, or a command line with its values quoted."""

    template: str
    values: tuple[Value, ...] = ()
    is_command: bool = False

    def __str__(self) -> str:
        values = map(shown, self.values)
        return self.template.format(*map(shlex.quote, values) if self.is_command else values)


Value: TypeAlias = Union[str, int, float, bool, Path, Words, Mapping[str, "Value"], Sequence["Value"], None]  # noqa: UP007


def say(template: str, *values: Value) -> Words:
    """Return a sentence; the template is fixed text of ours, all else is a value."""
    return Words(template, values)


def command(template: str, *values: Value) -> Words:
    """Return a command line for a person's shell; values are quoted in it."""
    return Words(template, values, is_command=True)


def shown(value: Value) -> str:
    """Return a value as a person reads it."""
    match value:
        case Size():
            return _size(value)
        case Moment():
            return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
        case Seconds():
            return f"{value:.1f} s" if value < 60 else f"{value / 60:.0f} min"
        case bool():
            return "yes" if value else "no"
        case None:
            return "-"
        case Mapping():
            return ", ".join(f"{name} {shown(one)}" for name, one in value.items()) or "none"
        case str() | int() | float() | Path() | Words():
            return str(value)
    return ", ".join(map(shown, value)) or "none"


def plain(value: Value) -> object:
    """Return a value as JSON has it."""
    match value:
        case bool() | None:
            return value
        case int():
            return int(value)
        case float():
            return float(value)
        case str() | Path() | Words():
            return str(value)
        case Mapping():
            return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value]


def _size(number: int) -> str:
    size, units = float(number), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.1f} {units[0]}" if size < 10 and units[0] != "bytes" else f"{size:.0f} {units[0]}"
