"""The run's journal."""

from aiorch.journal.rows import (
    ACTIVE,
    ENDED,
    Decision,
    DirectiveRow,
    DirectiveState,
    Event,
    Happening,
    Tag,
    Transition,
    WorkerRow,
    WorkerState,
)
from aiorch.journal.store import Journal

__all__ = [
    "ACTIVE",
    "ENDED",
    "Decision",
    "DirectiveRow",
    "DirectiveState",
    "Event",
    "Happening",
    "Journal",
    "Tag",
    "Transition",
    "WorkerRow",
    "WorkerState",
]
