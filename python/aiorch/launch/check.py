"""The check of an attempt: a program that decides whether a worker is done, run apart from its pane."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from aiorch import paths, process
from aiorch.launch.local import LocalLauncher, number_in, read_file, write_file

OUTPUT_LIMIT = 64 * 1024
_MARK = "AIORCH_CHECK"


class CheckRunner:
    """Starts checks on this machine and finds them again; its files are in the attempts' directories.

    A check is a session of its own: neither the end of the engine nor that of tmux ends it.
    """

    def __init__(self, launcher: LocalLauncher) -> None:
        self._launcher = launcher
        self._script = str(paths.script("check.sh"))
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, action: str, argv: Sequence[str], directory: str, environment: Mapping[str, str]) -> int:
        """Start the check of an attempt and return its pid. Raises OSError when it cannot be started."""
        self.clear(action)
        folder = self._launcher.directory(action)
        folder.mkdir(mode=0o700, exist_ok=True)
        write_file(f"{folder}/check.start", f"{'':10}\n")
        write_file(f"{folder}/check.exit", f"{'':3}\n")
        write_file(self.log(action), "")
        given = {**environment, _MARK: str(folder), "TERM": "dumb"}
        with open(self.log(action), "ab") as log:  # noqa: PTH123 - the path is a text on this way
            child = subprocess.Popen(
                ["/bin/sh", self._script, str(folder), *argv],
                cwd=directory, env=given, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._children[child.pid] = child
        return child.pid

    def attach(self, action: str) -> int | None:
        """Return the pid of a check that runs, whoever started it; None when none does."""
        folder = self._launcher.directory(action)
        # The environment tells it even before it has written down that it began.
        found = process.belongings(0, f"{_MARK}={folder}")
        noted = number_in(folder / "check.start", 10)
        if noted in found:
            return noted
        scripts = [pid for pid in found if self._script in process.command_line(pid)]
        return min(scripts, default=None)

    def poll(self, action: str) -> int | None:
        """Return the exit status of a check that has ended (128 + n after signal n), None without one."""
        for pid in [pid for pid, child in self._children.items() if child.poll() is not None]:
            del self._children[pid]
        return number_in(self._launcher.directory(action) / "check.exit", 3)

    def clear(self, action: str) -> None:
        """Kill what a check left behind that was killed itself: two must not work at once."""
        for pid in process.belongings(0, f"{_MARK}={self._launcher.directory(action)}"):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def log(self, action: str) -> str:
        """Return the path of the file with the output of a check."""
        return f"{self._launcher.directory(action)}/check.log"

    def last_lines(self, action: str, most: int) -> list[str]:
        """Return the last lines of a check's output that are not blank."""
        return last_lines(Path(self.log(action)), most)


def last_lines(path: Path, most: int) -> list[str]:
    """Return the last lines of a file that are not blank; none when it is no regular file."""
    text = read_file(path, OUTPUT_LIMIT, from_end=True).decode("utf-8", "replace")
    return [line.rstrip() for line in text.splitlines() if line.strip()][-most:]
