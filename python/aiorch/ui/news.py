"""Waiting for something to happen in a run, without looking again and again."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Self

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from aiorch.errors import JournalError


class News(FileSystemEventHandler):
    """Wakes who waits when the engine has written to the journal; a context manager.

    `folder` holds the one file that the engine touches then.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._observer = Observer()

    def __enter__(self) -> Self:
        try:
            self._observer.schedule(self, str(self._folder), recursive=False)
            self._observer.start()
        except OSError as error:
            raise JournalError(f"{self._folder.parent} is no run that can be followed: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._observer.stop()
        self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake who waits; also when the folder is gone, since then nothing more will come."""
        if event.event_type in ("modified", "created", "moved", "deleted"):
            self.wake()

    def wake(self) -> None:
        """Let `wait` return; may be called from a signal handler."""
        self._wakes.put(None)

    def wait(self, seconds: float | None = None) -> bool:
        """Return True when something has happened since the last call, False when nothing has for so long."""
        try:
            self._wakes.get(timeout=seconds)
        except queue.Empty:
            return False
        while not self._wakes.empty():
            self._wakes.get()
        return True
