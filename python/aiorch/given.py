"""What is given to a command as text: on its command line, or on standard input."""

from __future__ import annotations

import json
import sys

from aiorch.errors import UsageError

MAX_INPUT = 4 << 20


def text_given(word: str) -> str:
    """Return a text, `-` for standard input. Raises UsageError for one that cannot be read."""
    if word != "-":
        return word
    data = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise UsageError("standard input is longer than 4 MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError("what was given is not valid UTF-8: write it in UTF-8") from error


def workers_given(word: str) -> object:
    """Return workers given as JSON, `-` for standard input. Raises UsageError for what is none."""
    try:
        return json.loads(text_given(word))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--workers is no JSON: {error}") from error
