"""`aiorch send` and `aiorch tell`: a text for workers, or for the lead."""

from __future__ import annotations

import argparse

from aiorch import calls
from aiorch.client import request
from aiorch.errors import UsageError
from aiorch.given import text_given
from aiorch.places import root_of


def send(options: argparse.Namespace) -> int:
    """Hand a text to workers; return 1 when one of them was refused.

    Raises UsageError when nobody is named, RequestError in the engine's words when it refuses.
    """
    if bool(options.workers) is options.all:
        raise UsageError('name the workers or --all: aiorch send testing -- "Please go on"')
    return _hand_in("all" if options.all else options.workers, options)


def tell(options: argparse.Namespace) -> int:
    """Hand a text to the lead."""
    return _hand_in([options.who], options)


def _hand_in(to: object, options: argparse.Namespace) -> int:
    text = text_given(options.text)
    return calls.tell(request(root_of(options), {"verb": "send", "to": to, "text": text}), options)
