"""Results of workers as files, for agents that read files rather than call programs."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from aiorch.journal import WorkerRow
from aiorch.ui.findings import headline, plain

log = logging.getLogger(__name__)


def write_result(row: WorkerRow, folder: Path) -> None:
    """Put a worker's whole result into `folder`/NAME.md, or remove the one of an attempt before.

    A disk that is full costs the file and no more: the journal has the result.
    """
    path = folder / f"{row.name}.md"
    temporary = path.with_name(f".{row.name}.new")
    try:
        if not row.result:
            path.unlink(missing_ok=True)
            return
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{headline(row)}\n\n{plain(row.result)}\n")
        temporary.replace(path)
    except OSError:
        log.exception("no file for the result of %s", row.name)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
