"""One entry of the event log as a line for people."""

from __future__ import annotations

import time

from aiorch.journal import Event, Tag

MIN_WRAP = 24
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
    Tag.COLLECTED: "36",
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
        import textwrap

        text = "\n".join(textwrap.wrap(text, width, subsequent_indent=" " * len(f"{clock} ")))
    if not color:
        return text
    return text.replace(f"{clock} {tag}", f"\033[2m{clock}\033[0m \033[{_COLOURS[event.tag]}m{tag}\033[0m", 1)
