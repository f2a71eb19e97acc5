"""The text in the status line, shown by a thread of its own: no decision waits for a busy tmux."""

from __future__ import annotations

import contextlib
import threading

from aiorch.errors import TmuxError
from aiorch.tmux.session import Session


class Segment:
    """Shows the last text that it was given; what came before it and was not shown yet is left out."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wanted: str | None = None
        self._busy = False
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    def show(self, text: str) -> None:
        """Have a text shown soon."""
        with self._change:
            self._wanted = text
            self._change.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="segment", daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """Show nothing any more, and return when nothing is under way."""
        with self._change:
            self._wanted = None
            self._change.wait_for(lambda: not self._busy)

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._wanted is not None)
                text, self._wanted, self._busy = self._wanted or "", None, True
            # Whoever uses the connection next meets what is wrong with it.
            with contextlib.suppress(TmuxError):
                self._session.show_status(text)
            with self._change:
                self._busy = False
                self._change.notify_all()
