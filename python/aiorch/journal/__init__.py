"""The run's journal."""

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
