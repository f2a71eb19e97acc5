"""The run's journal."""

from aiorch.journal.rows import (
    ACTIVE,
    ENDED,
    DirectiveRow,
    DirectiveState,
    Event,
    Tag,
    Transition,
    WorkerRow,
    WorkerState,
)
from aiorch.journal.store import Journal

__all__ = [
    "ACTIVE",
    "ENDED",
    "DirectiveRow",
    "DirectiveState",
    "Event",
    "Journal",
    "Tag",
    "Transition",
    "WorkerRow",
    "WorkerState",
]
