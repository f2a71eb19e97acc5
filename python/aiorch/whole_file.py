"""Writing a file so that others see it whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Put a text in the place of a file, for the user alone; raises OSError, and then nothing is changed.

    What no encoding takes (half a surrogate pair) becomes an escape.
    """
    temporary = path.with_name(f".{path.name}")
    # A file of its own: what lies there already may be a link or a pipe.
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
