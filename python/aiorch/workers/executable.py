"""Finding programs on a PATH that is not our own."""

from __future__ import annotations

import os
from pathlib import Path


def find_executable(name: str, path: str) -> str | None:
    """Return the absolute path of a program, None when it is not there.

    Empty and relative entries of the PATH are passed over: they would let a project's files pose as
    programs. `name` may be an absolute path itself, never a relative one.
    """
    if "/" in name:
        return name if _is_program(name) else None
    for folder in path.split(os.pathsep):
        if folder.startswith("/") and _is_program(candidate := os.path.join(folder, name)):  # noqa: PTH118
            return candidate
    return None


def _is_program(path: str) -> bool:
    return path.startswith("/") and Path(path).is_file() and os.access(path, os.X_OK)
