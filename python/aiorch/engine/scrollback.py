"""The user's history limit, which is ours while a worker's pane is made."""

from __future__ import annotations

from aiorch.journal import Journal
from aiorch.tmux.session import Session


def keep_limit(session: Session, journal: Journal) -> None:
    """Remember the user's limit: an engine killed while it was ours must not take ours for it."""
    noted = journal.meta("history")
    if not isinstance(noted, list):
        noted = list(session.user_history())
        journal.set_meta("history", noted)
    local, limit = noted
    session.limits = (None if local is None else str(local), int(str(limit)))
    restore_limit(session)


def restore_limit(session: Session) -> None:
    """Put the user's limit back."""
    if session.user_history() != session.limits:
        session.set_history(session.limits[0])
