"""Results of workers as files, for agents that read files rather than call programs."""

from __future__ import annotations

import logging
from pathlib import Path

from aiorch.journal import WorkerRow
from aiorch.ui.findings import headline, plain
from aiorch.whole_file import write_whole

log = logging.getLogger(__name__)


def write_result(row: WorkerRow, folder: Path) -> None:
    """Put a worker's whole result into `folder`/NAME.md, or remove the one of an attempt before.

    A disk that is full costs the file and no more: the journal has the result.
    """
    path = folder / f"{row.name}.md"
    try:
        if not row.result:
            path.unlink(missing_ok=True)
            return
        write_whole(path, f"{headline(row)}\n\n{plain(row.result)}\n")
    except OSError:
        log.exception("no file for the result of %s", row.name)
