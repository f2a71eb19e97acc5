"""Keeps the log of the primary being written: sees that it ended, opens it again, tells what was missed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from aiorch import disk
from aiorch.capture.directive import Sighting
from aiorch.capture.fuse import Serving
from aiorch.capture.gap import Missed
from aiorch.engine.primary import Primary
from aiorch.engine.transcripts import Transcripts
from aiorch.engine.witness import Witness
from aiorch.errors import AiorchError, TmuxGoneError
from aiorch.journal import Journal, Tag
from aiorch.launch.exits import ExitWatcher

ENDED = "its writer ended"
STALLED = "its writer does not take what the pane prints"
AWAY = "its writer ended while no engine ran"


class Upkeep:
    """Looks after one primary's pipe; every method is called on the engine's thread only.

    `read` takes what the log holds, `see` what the pane shows.
    """

    def __init__(
        self,
        primary: Primary,
        journal: Journal,
        transcripts: Transcripts,
        exits: ExitWatcher,
        read: Callable[[], None],
        see: Callable[[Sequence[Sighting]], None],
    ) -> None:
        self._primary, self._pipe, self._journal = primary, primary.pipe, journal
        self._transcripts, self._exits = transcripts, exits
        self._read, self._see = read, see

    @property
    def alarm(self) -> str:
        """Return the word for the status bar when nothing is read from the primary, else ''."""
        return "log" if self._pipe.retry_at is not None else ""

    @property
    def due(self) -> float | None:
        """Return when `pass_time` has something to do (seconds since the epoch)."""
        times = (self._pipe.check_at, self._pipe.retry_at)
        return min((at for at in times if at is not None), default=None)

    def watch(self, witness: Witness) -> None:
        """Have the kernel tell of what the pane prints, to see whether it comes to the log."""
        self._pipe.watch(witness)

    def begin(self) -> None:
        """Watch the pipe that was opened, or open one where an earlier engine's does not carry any more."""
        if self._journal.meta("gap") or self._pipe.writer is None:
            self._mend(AWAY)
        else:
            self._watch_writer()

    def ended(self, pid: int) -> bool:
        """Take note that a process is gone; return whether it was the log's writer."""
        if pid != self._pipe.writer:
            return False
        if self._pipe.is_flapping:
            self._read()
            self._primary.note_gap()
            self._put_off(
                f"the log of the primary cannot be written: {disk.trouble(self._primary.logs) or ENDED}"
            )
        else:
            self._mend(ENDED)
        return True

    def pass_time(self) -> None:
        """See whether what the pane printed has come, and try again to open a pipe."""
        now = time.time()
        check_at, retry_at = self._pipe.check_at, self._pipe.retry_at
        if check_at is not None and check_at <= now and self._pipe.is_stalled():
            self._mend(STALLED)
        elif retry_at is not None and retry_at <= now:
            self._mend(ENDED)

    def _mend(self, why: str) -> None:
        if self._primary.session.pane(self._primary.pane) is None:
            self._pipe.writer = self._pipe.retry_at = None
            return
        if not self._journal.meta("gap"):
            self._read()
            self._primary.note_gap()
        try:
            with self._journal.transaction():
                self._bridge(why)
        except TmuxGoneError:
            raise
        except AiorchError as error:
            self._put_off(str(error))
            return
        self._watch_writer()

    def _bridge(self, why: str) -> None:
        missed = self._primary.bridge()
        words = f"the log of the primary was interrupted ({why}): {self._told(missed)}"
        self._journal.add_event(Tag.ERROR, words)
        directives = [
            one for one in missed.directives if missed.is_exact or not self._journal.has_payload(one.payload)
        ]
        self._see(directives)

    def _told(self, missed: Missed) -> str:
        if self._transcripts.serving is Serving.FILE:
            return "the agent's session file has what was said meanwhile"
        if missed.is_whole:
            return "what was printed meanwhile was read from the pane"
        return "a directive that was printed meanwhile and is not to be seen any more is missing"

    def _put_off(self, reason: str) -> None:
        if self._pipe.put_off():
            self._journal.add_event(Tag.ERROR, f"{reason}. Nothing is read from the pane now")

    def _watch_writer(self) -> None:
        if self._pipe.writer is not None:
            self._exits.add(self._pipe.writer)
            self._pipe.look_out()
