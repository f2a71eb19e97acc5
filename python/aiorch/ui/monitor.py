"""The orchestrator's column: the event log with time and colour. It is a view; closing it stops nothing."""

from __future__ import annotations

import shutil
import signal
import textwrap
from pathlib import Path

from aiorch.errors import JournalError
from aiorch.journal.reading import reading
from aiorch.paths import RunPaths
from aiorch.ui.event_line import MIN_WRAP, format_event
from aiorch.ui.news import News
from aiorch.ui.terminal import printable, use_color

REWRITTEN = 200
CLEAR = "\033[2J\033[3J\033[H"


def follow(paths: RunPaths, *, forever: bool = True) -> None:
    """Print the event log, and what is added to it until interrupted."""
    with News(paths.news) as news:
        view = _View(paths.journal)
        signal.signal(signal.SIGWINCH, lambda *_: news.wake())
        try:
            view.show()
            while forever:
                news.wait()
                view.show()
        except KeyboardInterrupt:
            return


class _View:
    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._color = use_color()
        self._last, self._width = 0, 0
        self._printed = False
        self._fault = ""

    def show(self) -> None:
        """Print what is new; all of it anew when the width has changed."""
        width = shutil.get_terminal_size().columns
        if self._printed and width != self._width:
            # Broken to another width: written anew, tmux would only cut the old lines.
            print(CLEAR, end="")  # noqa: T201 - the view
            self._last, self._printed = max(0, self._last - REWRITTEN), False
        self._width = width
        try:
            # Opened each time: a damaged journal is replaced by another file.
            with reading(self._journal) as journal:
                self._last = min(self._last, journal.newest)
                events = journal.events(self._last)
        except JournalError as error:
            # The engine saves it, and tells.
            if str(error) != self._fault:
                self._fault = str(error)
                self._print("\n".join(textwrap.wrap(printable(self._fault), max(width, MIN_WRAP))))
            return
        self._fault = ""
        for event in events:
            self._last = event.number
            self._print(format_event(event, color=self._color, width=width))

    def _print(self, text: str) -> None:
        # The line end comes first: a strip of five rows has none to spare for the cursor.
        print(f"\n{text}" if self._printed else text, end="", flush=True)  # noqa: T201 - the view
        self._printed = True
