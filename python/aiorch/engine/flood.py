"""A limit on how fast a pane can make the engine work: a program that prints markers without end."""

from __future__ import annotations

BURST = 50
"""Directives, and texts that look like one, that a pane may bring at once; a lead's plan has far fewer."""

PER_SECOND = 2.0


class Flood:
    """Counts what is taken against a bucket that fills again with time (seconds of any one clock)."""

    def __init__(self) -> None:
        self._room = float(BURST)
        self._at: float | None = None
        self.refused = 0

    def admits(self, now: float) -> bool:
        """Return whether one more may be looked at; one that may not is counted in `refused`."""
        if self._at is not None:
            self._room = min(BURST, self._room + max(0.0, now - self._at) * PER_SECOND)
        self._at = now
        # Once over the limit, a good part of the room has to be back: else every second brings a message.
        if self._room < (BURST / 2 if self.refused else 1):
            self.refused += 1
            return False
        return True

    def spend(self) -> None:
        """Note that one was taken."""
        self._room -= 1
