"""Messages that are under way, for people and for programs."""

from __future__ import annotations

from aiorch.journal import MessageRow


def message_line(row: MessageRow) -> str:
    """Return one line about a message that was not delivered yet."""
    why = f": {row.reason}" if row.reason else ""
    return f"message {row.number} for {row.name} is {row.state}{why}"


def message_record(row: MessageRow) -> dict[str, object]:
    """Return a message as JSON has it; times are seconds since the epoch."""
    return {
        "number": row.number, "to": row.name, "from": row.origin, "state": str(row.state),
        "reason": row.reason, "created": row.created, "text": row.text,
    }  # fmt: skip
