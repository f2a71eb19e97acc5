"""A private tmux server for the tests of the demo and of the test tools."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self


def wait_until(true: Callable[[], object], seconds: float = 10.0, what: str = "condition") -> None:
    """Return when `true()` holds; fail at the deadline."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not after {seconds} s"
        time.sleep(0.02)


class PrivateServer:
    """One tmux server with one session, gone with the `with` block; panes get a bare environment."""

    def __init__(self, folder: Path, size: tuple[int, int], env: dict[str, str] | None = None) -> None:
        self.socket = str(folder / "sock")
        self.size = size
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
            **(env or {}),
        }

    def __enter__(self) -> Self:
        cols, rows = map(str, self.size)
        self.run("new-session", "-d", "-x", cols, "-y", rows, "-s", "test", "sleep", "600")
        self.run("set", "-g", "status", "off", ";", "set", "-g", "remain-on-exit", "on")
        return self

    def __exit__(self, kind: object, error: object, at: object) -> None:
        self.run("kill-server")

    def run(self, *command: str) -> str:
        """Run one tmux command (or several, with `;` between) and return what it prints."""
        argv = ["tmux", "-u", "-S", self.socket, "-f", "/dev/null", *command]
        done = subprocess.run(argv, env=self.env, check=True, capture_output=True, text=True)
        return done.stdout

    def start(self, *argv: str) -> str:
        """Replace the session's process by another; return its pane id."""
        self.run("respawn-pane", "-k", "-t", "test", *argv)
        return self.run("display", "-p", "-t", "test", "#{pane_id}").strip()

    def screen(self, pane: str = "test") -> str:
        """Return the visible text of a pane."""
        return self.run("capture-pane", "-p", "-t", pane)
