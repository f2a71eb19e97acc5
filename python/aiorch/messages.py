"""`aiorch send` and `aiorch tell`: a text for workers, or for the lead."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from aiorch.errors import UsageError

LEAD = "lead"
MAX_INPUT = 4 * 1024 * 1024


def add_send(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `aiorch send`."""
    parser.add_argument("workers", nargs="*", metavar="WORKER", help="who is to read it")
    parser.add_argument("--all", action="store_true", help="all workers that can be told something")
    parser.add_argument("text", metavar="TEXT", help="what to say, after `--`; `-` reads standard input")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_tell(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `aiorch tell`."""
    parser.add_argument("who", choices=(LEAD,), help="the lead")
    parser.add_argument("text", metavar="TEXT", help="what to say; `-` reads standard input")
    parser.add_argument("--json", action="store_true", help="print JSON")


def send(root: Path, options: argparse.Namespace) -> int:
    """Hand a text to workers; return 1 when one of them was refused.

    Raises UsageError when nobody is named, RequestError in the engine's words when it refuses.
    """
    if bool(options.workers) is options.all:
        raise UsageError('name the workers or --all: aiorch send testing -- "Please go on"')
    return _hand_in(root, "all" if options.all else options.workers, options)


def tell(root: Path, options: argparse.Namespace) -> int:
    """Hand a text to the lead."""
    return _hand_in(root, [options.who], options)


def _hand_in(root: Path, to: object, options: argparse.Namespace) -> int:
    from aiorch.client import request
    from aiorch.ui.report import printable

    reply = request(root, {"verb": "send", "to": to, "text": _text(options.text)})
    answers = reply.get("answers")
    for answer in answers if isinstance(answers, list) else []:
        text = json.dumps(answer) if options.json else printable(str(answer["text"]))
        print(text, flush=True)  # noqa: T201 - the command's output
    return 0


def _text(given: str) -> str:
    if given != "-":
        return given
    try:
        return sys.stdin.buffer.read(MAX_INPUT).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is no UTF-8: {error}") from error
