"""The directives that wait for the user's answer, as the command line answers them."""

from __future__ import annotations

import argparse
import json
import sys

from aiorch.errors import UsageError


def request_body(options: argparse.Namespace) -> dict[str, object]:
    """Return the request of `aiorch approve` or `decline`. Raises UsageError when it does not say which."""
    number = "" if options.all or options.number is None else str(options.number)
    body: dict[str, object] = {"verb": options.command, "number": number}
    if options.command != "approve":
        return body
    if options.drop:
        body["drop"] = options.drop
    if options.workers is not None:
        body["workers"] = workers_given(options.workers)
    if options.always:
        body["always"] = True
    if not number and (options.drop or options.workers is not None):
        raise UsageError("say which one: aiorch approve NUMBER --drop NAME (`aiorch status` lists them)")
    return body


def workers_given(text: str) -> object:
    """Return workers given as JSON, `-` for standard input. Raises UsageError for what is none."""
    try:
        return json.loads(sys.stdin.read() if text == "-" else text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--workers is no JSON: {error}") from error
