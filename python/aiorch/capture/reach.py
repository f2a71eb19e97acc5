"""Seeing from what a program sends that its pane is wider than we were told (pure)."""

from __future__ import annotations

import re
from functools import lru_cache

MOST = 998
"""Programs that want to know the size send the cursor to column 999 and ask where it is."""


@lru_cache(64)
def beyond(cols: int) -> re.Pattern[bytes]:
    """Return a pattern of the sequences that send the cursor to a column right of `cols` (group `column`).

    The note of a resize may come later than what the program draws at its new width.
    """
    if cols >= MOST:
        return re.compile(rb"(?!)(?P<column>)")
    digits = str(cols)
    forms = [rf"\d{{{len(digits) + 1},3}}"] if len(digits) < 3 else []
    for place, digit in enumerate(digits):
        if digit != "9":
            rest = len(digits) - place - 1
            forms.append(f"{digits[:place]}[{int(digit) + 1}-9]" + rf"\d{{{rest}}}")
    pattern = rf"\x1b\[(?:\d{{1,3}};)?(?!999)(?P<column>{'|'.join(forms)})[GH]"
    return re.compile(pattern.encode())
