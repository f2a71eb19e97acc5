"""The run's journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiorch.journal.rows import (
    ACTIVE,
    ENDED,
    OPEN,
    Decision,
    DirectiveRow,
    DirectiveState,
    Event,
    Happening,
    MessageRow,
    MessageState,
    Tag,
    Transition,
    WorkerRow,
    WorkerState,
)

if TYPE_CHECKING:
    from aiorch.journal.store import Journal

__all__ = [
    "ACTIVE",
    "ENDED",
    "OPEN",
    "Decision",
    "DirectiveRow",
    "DirectiveState",
    "Event",
    "Happening",
    "Journal",
    "MessageRow",
    "MessageState",
    "Tag",
    "Transition",
    "WorkerRow",
    "WorkerState",
]


def __getattr__(name: str) -> Any:
    # Whoever only reads a journal is spared what its writer needs.
    if name == "Journal":
        from aiorch.journal.store import Journal

        return Journal
    raise AttributeError(name)
