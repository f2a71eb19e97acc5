"""What a lead that printed a directive is told of it: lines in a file that its hook reads and takes away."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from aiorch.capture.directive import Source
from aiorch.ui.terminal import one_line

MOST_BYTES = 8192
# Whoever calls by a command, a key or MCP has its answer.
_PRINTED = frozenset({Source.SCREEN, Source.PLAIN, Source.TRANSCRIPT})

log = logging.getLogger(__name__)


class Acknowledgements:
    """The file of one primary in a folder of the run; what its lead does not fetch is limited in size."""

    def __init__(self, folder: Path, pane: str) -> None:
        self._folder = folder
        self._path = folder / pane

    def add(self, source: str, text: str) -> None:
        """Note what became of a directive from this source; a disk that is full costs the note alone."""
        if source not in _PRINTED:
            return
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace") as file:
                if os.fstat(descriptor).st_size < MOST_BYTES:
                    file.write(f"{one_line(text)}\n")
        except OSError:
            log.exception("a directive could not be acknowledged")
