"""The orchestrator's column: the event log with time and colour. It is a view; closing it stops nothing."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from aiorch.journal import Event, Journal, Tag

MIN_WRAP = 24
REWRITTEN = 200
CLEAR = "\033[2J\033[3J\033[H"
_COLOURS = {
    Tag.LISTENING: "36",
    Tag.RECEIVED: "1;35",
    Tag.ASKING: "1;33",
    Tag.SPAWNING: "34",
    Tag.SPAWNED: "1;34",
    Tag.QUEUED: "36",
    Tag.DONE: "1;32",
    Tag.FAILED: "1;31",
    Tag.RETRYING: "33",
    Tag.PAUSED: "33",
    Tag.RESUMED: "34",
    Tag.IGNORED: "2",
    Tag.ERROR: "1;31",
    Tag.WORKERS: "1",
    Tag.STOPPED: "33",
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


def use_color(env: Mapping[str, str] = os.environ) -> bool:
    """Return whether colours are wanted: on a terminal, unless NO_COLOR is set."""
    return sys.stdout.isatty() and not env.get("NO_COLOR")


class _Wake(FileSystemEventHandler):
    def __init__(self, wakes: queue.SimpleQueue[None]) -> None:
        self._wakes = wakes

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in ("modified", "created", "moved"):
            self._wakes.put(None)


def follow(journal_path: Path, *, forever: bool = True) -> None:
    """Print the event log, and what is added to it until interrupted."""
    color = use_color()
    wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
    observer = Observer()
    observer.schedule(_Wake(wakes), str(journal_path.parent / "news"), recursive=False)
    observer.start()
    journal = Journal(journal_path, read_only=True)
    last, printed, width = 0, False, 0
    signal.signal(signal.SIGWINCH, lambda *_: wakes.put(None))
    try:
        while True:
            now = shutil.get_terminal_size().columns
            if printed and now != width:
                # Broken to another width: written anew, tmux would only cut the old lines.
                print(CLEAR, end="")  # noqa: T201 - the view
                last, printed = max(0, last - REWRITTEN), False
            width = now
            for event in journal.events(last):
                last = event.number
                # The line end comes first: a strip of five rows has none to spare for the cursor.
                text = format_event(event, color=color, width=width)
                print(f"\n{text}" if printed else text, end="", flush=True)  # noqa: T201 - the view
                printed = True
            if not forever:
                return
            wakes.get()
            while not wakes.empty():
                wakes.get()
    except KeyboardInterrupt:
        return
    finally:
        observer.stop()
        observer.join()
        journal.close()
