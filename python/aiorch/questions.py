"""The directives that wait for the user's answer, as the command line answers them."""

from __future__ import annotations

import argparse

from aiorch.errors import UsageError
from aiorch.given import workers_given


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
