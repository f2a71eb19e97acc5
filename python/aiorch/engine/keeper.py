"""Looking after a run's journal: it is where it should be, and what a damaged one may lack does no harm."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from aiorch.errors import JournalDamagedError, JournalMovedError, TmuxError
from aiorch.journal import Tag
from aiorch.journal.rebuild import UNSURE
from aiorch.journal.repair import note_fault, put_back
from aiorch.ui.report import counted

if TYPE_CHECKING:
    from aiorch.engine.run import Run

log = logging.getLogger(__name__)

_REFUSED = "the journal was damaged, and this may have been carried out already: look first, then ask again"


def keep_in_place(run: Run) -> None:
    """See that the journal is where others look for it.

    Raises JournalMovedError when it was not: it is back then, and another engine goes on with it.
    """
    # Whoever deletes the run's directory wants it gone; the workers are still looked after.
    if run.journal.is_in_place() or not run.paths.root.is_dir():
        return
    try:
        put_back(run.journal, run.paths)
    except (OSError, sqlite3.Error):
        log.exception("the journal was taken away, and cannot be put back")
        return
    raise JournalMovedError("the journal was taken away, and is back")


def give_up(run: Run, error: JournalDamagedError) -> None:
    """Leave the journal to the next engine, and say why in the status bar."""
    if not isinstance(error, JournalMovedError):
        note_fault(run.paths, error)
    run.segment.finish()
    with suppress(TmuxError):
        run.session.show_status(" aiorch: the journal is damaged, what can be read is saved ")


def tell_unsure(run: Run) -> bool:
    """Return whether the journal may lack what was taken before: then nothing from before is to count.

    That is left out rather than run twice, and told.
    """
    if not run.journal.meta(UNSURE):
        return False
    refused = run.requests.refuse(_REFUSED)
    text = "what was said before now is not taken: it may have been taken already"
    told = f"; {counted(refused, 'request')} refused" if refused else ""
    run.journal.add_event(Tag.IGNORED, f"{text}{told}")
    return True
