"""Quoting for the languages that text meets on its way into tmux."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:=@,+-]+")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")


def word(text: str) -> str:
    """Return `text` as one argument of tmux's command language (control mode, config files).

    Formats (`#{…}`, `#(…)`) are not this language: commands that expand their argument need
    `literal()` first. Seen with tmux 3.3a.
    """
    if _PLAIN_WORD.fullmatch(text):
        return text
    escaped = "".join(_ESCAPES.get(char, char) for char in text)
    if text.startswith("~"):
        # A home directory even between double quotes.
        escaped = f"\\{escaped}"
    return '"' + _CONTROL.sub(lambda match: f"\\{ord(match[0]):03o}", escaped) + '"'


def line(argv: Iterable[str]) -> str:
    """Return one tmux command line made of `argv`, every argument kept as it is."""
    return " ".join(word(part) for part in argv)


def arguments(argv: Iterable[str]) -> list[str]:
    """Return the words of one tmux command as arguments of the program tmux.

    It takes a last `;` of an argument for the end of the command. Seen with tmux 3.3a.
    """
    return [f"{part[:-1]}\\;" if part.endswith(";") else part for part in argv]


def literal(text: str) -> str:
    """Return a format that shows `text` as it is where tmux draws it (menus, borders, titles).

    Doubling `#` keeps `#(…)`, `#{…}` and `#[…]` from being expanded. Only for drawn text: elsewhere
    tmux 3.3a leaves `##[` doubled, so paths and commands go through an option (`#{@name}`).
    """
    return text.replace("#", "##")


def shell(argv: Iterable[str]) -> str:
    """Return `argv` quoted for `sh -c`."""
    return shlex.join(argv)
