"""What commands print: text that does nothing to a terminal, with colour or without."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def say(text: str) -> None:
    """Print a command's output at once."""
    print(text, flush=True)  # noqa: T201 - the command's output


def printable(text: str) -> str:
    """Return text that does nothing to a terminal: what is not printable is shown as its escape.

    Line ends are kept. Half of a surrogate pair, which no stream takes, becomes an escape too.
    """
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """Return text as one line that does nothing to a terminal."""
    return printable(" ".join(text.split()))


def use_color(env: Mapping[str, str] = os.environ) -> bool:
    """Return whether colours are wanted: on a terminal, unless NO_COLOR is set."""
    return sys.stdout.isatty() and not env.get("NO_COLOR")
