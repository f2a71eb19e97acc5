"""What panes show at this moment, for judging: rows, title, cursor; two commands a pane, no fork."""

from __future__ import annotations

from collections.abc import Collection

from aiorch.errors import TmuxError, TmuxGoneError
from aiorch.tmux.control import ControlClient
from aiorch.workers.state import Glance

_FACTS = "#{pane_width} #{cursor_flag} #{alternate_on} #{pane_title}"


def glances(control: ControlClient, panes: Collection[str]) -> dict[str, Glance]:
    """Return what each pane shows; one that is gone is left out. Raises TmuxGoneError with the server."""
    asked = [(pane, control.begin([("capture-pane", "-p", "-t", pane), _facts_of(pane)])) for pane in panes]
    found = {}
    for pane, pending in asked:
        try:
            rows, facts = pending.wait()
        except TmuxGoneError:
            raise
        except TmuxError:
            continue
        # What a title holds may look like more than one line.
        width, cursor, alternate, title = (" ".join(facts).split(" ", 3) + [""] * 4)[:4]
        if width.isdigit():
            found[pane] = Glance(
                tuple(row.rstrip() for row in rows), title, int(width), cursor == "1", alternate == "1"
            )
    return found


def _facts_of(pane: str) -> tuple[str, ...]:
    return ("display-message", "-p", "-t", pane, _FACTS)
