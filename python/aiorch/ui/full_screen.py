"""A program that has the whole terminal: each key at once, and everything as it was in the end."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import termios
import tty
from collections.abc import Sequence
from typing import Self

LEAVE = "\x03"
_PRESSED = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z~]|O[A-Za-z])?|[^\x00-\x1f\x7f]+|.", re.DOTALL)
# The other screen, no cursor, and rows that are too long are cut.
_ENTER, _RESTORE = "\033[?1049h\033[?25l\033[?7l", "\033[?7h\033[?25h\033[?1049l"


class FullScreen:
    """Has the whole terminal as a context manager; it is as before in the end."""

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(0)
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def lend(self, argv: Sequence[str]) -> int:
        """Run another program on the terminal, which is ours again when it ends; return its exit status.

        Raises OSError when it cannot be run.
        """
        # Ctrl-C is the other program's; a signal that we ignored it would ignore, too.
        was = signal.signal(signal.SIGINT, lambda _number, _frame: None)
        self._give_back()
        try:
            return subprocess.run(argv, check=False).returncode
        finally:
            self._take()
            signal.signal(signal.SIGINT, was)

    def _take(self) -> None:
        tty.setraw(0)
        draw(_ENTER)

    def _give_back(self) -> None:
        termios.tcsetattr(0, termios.TCSADRAIN, self._before)
        draw(_RESTORE)


def draw(text: str) -> None:
    """Write to the terminal at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def pressed(seconds: float) -> list[str]:
    """Return the keys that are pressed within a time, LEAVE when the terminal is gone.

    A special key is its escape sequence; what is typed or pasted at once is one text.
    """
    if not select.select([0], [], [], seconds)[0]:
        return []
    try:
        data = os.read(0, 1024)
    except OSError:
        data = b""
    return _PRESSED.findall(data.decode("utf-8", "ignore")) if data else [LEAVE]


def forget_typed() -> None:
    """Forget the keys that were pressed before now."""
    termios.tcflush(0, termios.TCIFLUSH)
