"""Typing into a pane only while it is as it was seen: the check and the keys are one step of the tmux server.

Between a look and a key there is always time in which the user may press another, or a second engine may
have done the same. So each step names all that was seen, and what was typed before stands in an option of the
pane.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiorch.errors import TmuxError, TmuxGoneError
from aiorch.tmux.ask import Ask
from aiorch.tmux.control import ControlClient

_GUARD = (
    *("pane_in_mode", "pane_synchronized", "pane_pid", "pane_width", "pane_height", "cursor_x", "cursor_y"),
    # Changes with every key that a user presses in the session.
    *("alternate_on", "session_activity", "@aiorch_message"),
)
_KEY = re.compile(r"[a-z0-9-]+")
_PANE = re.compile(r"%[0-9]+")
_FACTS = "\t".join(f"#{{{name}}}" for name in (*_GUARD, "pane_dead", "cursor_flag", "pane_title"))


@dataclass(frozen=True, slots=True)
class Shown:
    """What a pane shows and is at one moment; rows with their styles, `active` is when a client that shows it
    was last used (seconds since the epoch, 0 for never).
    """

    rows: tuple[str, ...]
    facts: Mapping[str, str]
    active: float = 0.0

    @property
    def cursor(self) -> tuple[int, int]:
        """Return column and row of the cursor."""
        return int(self.facts["cursor_x"]), int(self.facts["cursor_y"])

    @property
    def columns(self) -> int:
        """Return the pane's width."""
        return int(self.facts["pane_width"])

    @property
    def message(self) -> str:
        """Return what was last typed into it by us, `pasted-7` for instance."""
        return self.facts["@aiorch_message"]


def look(control: ControlClient, pane: str) -> Shown | None:
    """Return what a pane shows, None when it is gone. Raises TmuxGoneError with the server."""
    commands = [
        ("capture-pane", "-p", "-e", "-t", pane),
        ("display-message", "-p", "-t", pane, _FACTS),
        ("list-clients", "-F", "#{client_control_mode} #{pane_id} #{client_activity}"),
    ]
    try:
        rows, facts, clients = control.batch(commands)
    except TmuxGoneError:
        raise
    except TmuxError:
        return None
    names = (*_GUARD, "pane_dead", "cursor_flag", "pane_title")
    values = dict(zip(names, "\t".join(facts).split("\t", len(names) - 1), strict=False))
    if len(values) < len(names) or not values["pane_width"].isdigit():
        return None
    times = (row.split(" ") for row in clients)
    active = [float(one[2]) for one in times if one[:2] == ["0", pane] and one[2].isdigit()]
    return Shown(tuple(rows), values, max(active, default=0.0))


class Typist:
    """Types into the panes of one tmux server."""

    def __init__(self, control: ControlClient, socket: str) -> None:
        self.control = control
        self._ask = Ask(socket)

    def paste(self, pane: str, seen: Shown, key: str, text: str) -> bool:
        """Paste a text if the pane is still as it was seen; return whether it was.

        In brackets, where its program asked for them; line ends stay line ends, which submit nothing. Raises
        TmuxError when it is not known.
        """
        name = f"aiorch-{_checked(key)}"
        _expected(pane, seen)
        self.control.run("set-buffer", "-b", name, text)
        paste = f"paste-buffer -p -r -d -b {name} -t {pane}"
        return self._guarded(pane, seen, f"pasted-{key}", paste, f"delete-buffer -b {name}")

    def enter(self, pane: str, seen: Shown, key: str) -> bool:
        """Press Enter if the pane is still as it was seen; return whether it was."""
        return self._guarded(pane, seen, f"entered-{_checked(key)}", f"send-keys -t {pane} Enter")

    def _guarded(self, pane: str, seen: Shown, note: str, keys: str, otherwise: str = "") -> bool:
        """Send keys and note in the pane's option that it was done, both or nothing of it."""
        as_seen = f"#{{==:{' '.join(f'#{{{name}}}' for name in _GUARD)},{_expected(pane, seen)}}}"
        # tmux 3.6 tells whether the program wants brackets; before that it is '', and the box says enough.
        condition = f"#{{&&:{as_seen},#{{!=:#{{bracket_paste_flag}},0}}}}"
        done = f"{keys} ; set-option -p -t {pane} @aiorch_message {note} ; display-message -p done"
        refused = f"{otherwise} ; display-message -p refused" if otherwise else "display-message -p refused"
        return self._ask.run("if-shell", "-F", "-t", pane, condition, done, refused) == "done"


def _expected(pane: str, seen: Shown) -> str:
    """Return what a pane is to be like when keys come; raises TmuxError where that is no plain text."""
    expected = " ".join(seen.facts[name] for name in _GUARD)
    if not _PANE.fullmatch(pane) or not re.fullmatch(r"[a-z0-9 -]*", expected):
        # Somebody else has put something into our option.
        raise TmuxError(f"pane {pane} is marked by somebody else (@aiorch_message)")
    return expected


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise TmuxError(f"no key of a message: {key!r:.40}")
    return key
