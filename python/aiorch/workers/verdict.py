"""What an exit code means, and whether exit code 0 is one (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from aiorch.capture.transcript.last import Last
from aiorch.workers.exits import NotDone
from aiorch.workers.profile import AgentProfile
from aiorch.workers.state import MAX_REASON, short

MAX_DETAIL = MAX_REASON
NOT_ALLOWED = "it was not allowed what it wanted to do"


def exit_words(status: int, profile: AgentProfile | None) -> str:
    """Return an exit code in words, `exit 55: it does not trust this folder` for instance."""
    known = profile.exits.get(status) if profile else None
    if known:
        return f"exit {status}: {known}"
    return f"exit {status}" if status <= 128 else f"signal {status - 128}"


def refuted(profile: AgentProfile | None, screen: str, last: Last, seconds: float) -> str:
    """Return why exit code 0 means nothing, `permission: …` for instance; '' when nothing speaks against it.

    `screen` is the last one, `last` what the agent's own record says, `seconds` how long the attempt took.
    """
    denied = short(", ".join(dict.fromkeys(_denials(screen))))
    if denied:
        return f"permission: it was not allowed to use {denied}"
    if last.denied:
        return f"permission: {NOT_ALLOWED} ({short(last.denied[0])})"
    for rule in profile.not_done if profile else ():
        found = _shown(rule, screen, last, seconds)
        if found is not None:
            return f"{rule.reason}: {rule.means} ({short(found)})"
    return ""


def _shown(rule: NotDone, screen: str, last: Last, seconds: float) -> str | None:
    """Return the text that a rule fits, None when it fits none."""
    lines = screen.splitlines() if not rule.within or seconds < rule.within else []
    lower = tuple(word.lower() for word in rule.screen)
    found = (
        *_that_begin(lines, lower),
        *(text for text in last.failed if text.startswith(rule.tool)),
        *(text for text in last.failed_last if text.startswith(rule.last_tool)),
        *(text for text in last.notes if text.startswith(rule.notes)),
    )
    return found[0] if found else None


def _that_begin(lines: Sequence[str], words: tuple[str, ...]) -> Iterator[str]:
    return (line for line in lines if line.strip().lower().startswith(words))


def _denials(screen: str) -> Iterable[str]:
    """Yield the tools that a result in JSON says were denied (`claude -p --output-format json`)."""
    start = screen.rfind('{"type":"result"')
    if start < 0:
        return
    try:
        # Rows of a screen break a long line anywhere; blanks at a break are lost, which changes no name.
        result, _ = json.JSONDecoder().raw_decode(screen[start:].replace("\n", ""))
    except ValueError:
        return
    denials = result.get("permission_denials") if isinstance(result, dict) else None
    for one in denials if isinstance(denials, list) else ():
        yield str(one.get("tool_name", "a tool")) if isinstance(one, dict) else "a tool"
