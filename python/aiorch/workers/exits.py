"""What a profile says of exit codes: what they mean, and when 0 means nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiorch.toml_file import Reader


@dataclass(frozen=True, slots=True)
class NotDone:
    """What shows that exit code 0 was none; one that fits is enough.

    `screen` are beginnings of lines of the last screen (any case), when it ended `within` so many seconds
    (0: whenever). `tool` are beginnings of what a tool answered that failed, by the agent's own record;
    `last_tool` count only when nothing more was said after it. `notes` are beginnings of the agent's own
    lines after its last message.
    """

    reason: str
    means: str
    screen: tuple[str, ...] = ()
    within: float = 0.0
    tool: tuple[str, ...] = ()
    last_tool: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_exits(reader: Reader) -> dict[int, str]:
    """Return what exit codes mean, by the `[exit]` table of a profile."""
    found = {}
    for key in reader.table:
        text = reader.text(key, filled=True)
        if re.fullmatch(r"[1-9][0-9]{0,2}", key) and int(key) < 256:
            found[int(key)] = text
        else:
            reader.problem(key, "an exit code is a number from 1 to 255")
    reader.finish()
    return found


def read_not_done(reader: Reader) -> NotDone:
    """Return one `[[not_done]]` table of a profile."""
    found = NotDone(
        reason=reader.text("reason", "no work", filled=True),
        means=reader.text("means", "it did nothing", filled=True),
        screen=reader.words("screen"),
        within=reader.number("within", 0.0, 0, 86400),
        tool=reader.words("tool"),
        last_tool=reader.words("last_tool"),
        notes=reader.words("notes"),
    )
    reader.finish()
    if not (found.screen or found.tool or found.last_tool or found.notes):
        reader.problem("reason", "needs screen, tool, last_tool or notes to be known by")
    return found
