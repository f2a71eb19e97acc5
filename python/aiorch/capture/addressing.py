"""Telling a program that draws a screen from one that prints lines, by its control sequences."""

from __future__ import annotations

import re

# Alternate screen; a move to a row; scroll region; inserted, deleted or scrolled lines; lines erased upwards.
# No line editor sends them.
_DRAWS = (
    rb"\?(?:\d+;)*(?:1049|1047|47)(?:;\d+)*h"
    rb"|\d+(?:;\d*)?[Hf]"
    rb"|;\d+[Hf]"
    rb"|\d*d"
    rb"|\d+;\d*r"
    rb"|\d*[LMST]"
    rb"|2K\x1b\[1?A"
)
# `clear` sends home and erase together; home alone starts a frame.
_HOME = rb"|(?P<home>(?:1;1|;)?[Hf])(?P<clear>\x1b\[[0-3]?J)?"
_MOVES = rb"|(?P<move>\d*[AEFG])"
_STATE = rb"|(?P<hide>\?25l)|(?P<show>\?25h)|(?P<edit>\?2004h)|(?P<run>\?2004l)"
# One literal prefix for all, and colours (most of what lines hold) left at the first character.
_SEQUENCE = re.compile(rb"\x1b\[(?![\d;]*m)(?:(?P<draws>" + _DRAWS + rb")" + _HOME + _MOVES + _STATE + rb")")
_UNFINISHED = re.compile(
    rb"\x1b(?:\[[0-?]{0,24}[ -/]{0,2})?\Z"
    rb"|\x1b\[2K(?:\x1b(?:\[1?)?)?\Z"
    rb"|\x1b\[(?:1;1|;)?[Hf](?:\x1b(?:\[[0-3]?)?)?\Z"
)
_LEAVES = re.compile(rb"\x1b\[\?(?:\d+;)*(?:1049|1047|47)(?:;\d+)*l")


class AddressingDetector:
    """Finds where a stream starts to address the cursor.

    Relative moves count only outside a line editor: readline, zsh and fish move up and erase while
    they edit a long command line, between `?2004h` and `?2004l`, with the cursor shown. Programs
    that draw hide it.
    """

    def __init__(self) -> None:
        self._carry = b""
        self._editing = False
        self._hidden = False

    def find(self, data: bytes) -> int | None:
        """Return the index in `data` where a drawing sequence starts (negative: in earlier data), or None."""
        if not self._carry and b"\x1b" not in data:
            return None
        text = self._carry + data
        for match in _SEQUENCE.finditer(text):
            if self._is_draw(match, text):
                start = match.start() - len(self._carry)
                self._carry = b""
                return start
        tail = _UNFINISHED.search(text, max(0, len(text) - 40))
        self._carry = text[tail.start() :] if tail else b""
        return None

    @property
    def held(self) -> int:
        """Return how many bytes at the end of the stream may be the start of a sequence."""
        return len(self._carry)

    def _is_draw(self, match: re.Match[bytes], text: bytes) -> bool:
        kind = match.lastgroup
        if kind == "hide":
            self._hidden = True
        elif kind == "show":
            self._hidden = False
        elif kind == "edit":
            self._editing = True
        elif kind == "run":
            self._editing = False
        elif kind == "move":
            return self._hidden or not self._editing
        elif kind == "home":
            # At the very end an erase may still follow; the carry brings the pair back.
            return not _UNFINISHED.match(text, match.start())
        return kind == "draws"


def leaves_alternate(before: bytes, data: bytes) -> int | None:
    """Return the index in `data` behind the first sequence that leaves the alternate screen, or None.

    `before` is what came just before `data`; the sequence may begin there.
    """
    match = _LEAVES.search(before + data)
    return match.end() - len(before) if match else None
