"""The plugin's own code: seen to change under an engine, and tried before another one takes over."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from aiorch import paths

QUIET_SECONDS = 1.0
"""Time without a change after which an update counts as complete."""

_TRY_SECONDS = 20.0
_TRIAL = "import aiorch.cli, aiorch.commands, aiorch.engine.start, aiorch.engine.revive"
_VENV = """plugin=$1; . "$plugin/scripts/common.sh"; venv_for "$plugin/python/requirements.lock" """


class Code:
    """The code that this process runs, as it lies on the disk."""

    def __init__(self) -> None:
        self._stamp = self._seen = _stamp()
        self._looked = time.monotonic()

    def is_same(self) -> bool:
        """Say whether the files are those of this process."""
        return _stamp() == self._stamp

    def is_new(self) -> bool:
        """Say whether the files are other than those of this process, once for each change."""
        if time.monotonic() < self._looked + QUIET_SECONDS:
            return False
        self._looked = time.monotonic()
        now = _stamp()
        if now in (self._stamp, self._seen) or now[0] / 1e9 > time.time() - QUIET_SECONDS:
            return False
        self._seen = now
        return True


def python_for_update() -> tuple[str, str]:
    """Return the interpreter that the files on the disk run with, or '' and why they do not.

    One of our private environments is named by what it holds: an update may need another one.
    """
    python = sys.executable
    if Path(python).parents[2] == paths.data_dir():
        shell = ["/bin/sh", "-c", _VENV, "sh", str(paths.plugin_dir())]
        done = subprocess.run(shell, capture_output=True, text=True, check=False)
        python = f"{done.stdout.strip()}/bin/python"
        if not os.access(python, os.X_OK):
            return "", f"it needs other packages: run {paths.plugin_dir()}/install.sh"
    argv = [python, "-E", "-s", "-B", "-c", f"import sys; sys.path.insert(0, sys.argv[1]); {_TRIAL}"]
    try:
        trial = subprocess.run(
            [*argv, str(paths.plugin_dir() / "python")],
            capture_output=True, text=True, check=False, timeout=_TRY_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "", "its code does not load"
    words = trial.stderr.strip().rpartition("\n")[2]
    return ("", f"its code does not load ({words})") if trial.returncode != 0 else (python, "")


def _stamp() -> tuple[int, int, int]:
    """Return the newest time (ns), the number and the size of all files of the code."""
    newest = count = size = 0
    for entry in _files(paths.plugin_dir() / "python" / "aiorch"):
        facts = entry.stat()
        newest, count, size = max(newest, facts.st_mtime_ns), count + 1, size + facts.st_size
    return newest, count, size


def _files(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__":
            yield from _files(entry.path)
        elif entry.name.endswith((".py", ".toml")):
            yield entry
