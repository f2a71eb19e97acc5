"""The orchestrator's column: the event log with time and colour. It is a view; closing it stops nothing."""

from __future__ import annotations

import shutil
import signal
import textwrap
import time
from pathlib import Path

from aiorch.errors import JournalError
from aiorch.journal import Event, Tag
from aiorch.journal.fault import reading
from aiorch.paths import RunPaths
from aiorch.ui.news import News
from aiorch.ui.report import printable, use_color

MIN_WRAP = 24
REWRITTEN = 200
CLEAR = "\033[2J\033[3J\033[H"
_COLOURS = {
    Tag.LISTENING: "36",
    Tag.RECEIVED: "1;35",
    Tag.ASKING: "1;33",
    Tag.SPAWNING: "34",
    Tag.SPAWNED: "1;34",
    Tag.WAITING: "1;33",
    Tag.QUEUED: "36",
    Tag.CHECKING: "36",
    Tag.DONE: "1;32",
    Tag.FAILED: "1;31",
    Tag.SKIPPED: "33",
    Tag.RETRYING: "33",
    Tag.PAUSED: "33",
    Tag.RESUMED: "34",
    Tag.IGNORED: "2",
    Tag.ERROR: "1;31",
    Tag.WORKERS: "1",
    Tag.STOPPED: "33",
    Tag.ISOLATED: "34",
    Tag.OVERLAP: "1;33",
    Tag.MERGED: "1;32",
    Tag.DISCARDED: "33",
    Tag.MESSAGE: "1;36",
    Tag.SENT: "36",
}


def format_event(event: Event, *, color: bool, width: int = 0) -> str:
    """Return one entry of the event log, `12:01:07 [SPAWNED] testing in pane %7` for instance.

    With a width in columns it is broken between words, the rest indented below the tag.
    """
    clock, tag = time.strftime("%H:%M:%S", time.localtime(event.time)), f"[{event.tag}]"
    text = f"{clock} {tag} {event.text}"
    if width > MIN_WRAP:
        text = "\n".join(textwrap.wrap(text, width, subsequent_indent=" " * len(f"{clock} ")))
    if not color:
        return text
    return text.replace(f"{clock} {tag}", f"\033[2m{clock}\033[0m \033[{_COLOURS[event.tag]}m{tag}\033[0m", 1)


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
