"""Reading JSON that a program wrote: every string of it can be written down again (pure)."""

from __future__ import annotations

import json
import re
from typing import Any

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(text: str) -> Any:
    """Return what JSON text holds; half of a surrogate pair in its strings, which no file takes, is a `?`.

    Raises ValueError or RecursionError where it is no JSON.
    """
    value = json.loads(text)
    if _SURROGATE.search(text):
        whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        return json.loads(whole)
    return value
