"""Ends an engine by SIGKILL just before one of its effects; lives in the engine of a test (Lab.use_plugin).

An effect is what others can see of the engine: a statement that changes the journal for good, commands to
tmux, a file that is written, renamed or removed, a signal, a new process.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_CHANGES = ("COMMIT", "INSERT", "UPDATE", "DELETE")
_FILES = ("os.mkdir", "os.rename", "os.remove", "os.chmod", "os.kill", "os.killpg", "subprocess.Popen")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Failpoints:
    """Counts effects from when `orders` was written: a name, then at which effect this engine dies, and at
    which of theirs those that come after it.
    """

    def __init__(self, folder: Path) -> None:
        self._orders, self._trace = folder / "orders", folder / "trace"
        self._order = ""
        self._left = 0
        self.counting = self._inside = False

    def reach(self, name: str) -> None:
        """Note an effect that is about to happen, or end the process instead."""
        if self._inside or not self.counting:
            return
        self._inside = True
        try:
            self._count(name)
        finally:
            self._inside = False

    def _count(self, name: str) -> None:
        try:
            order, first, *rest = self._orders.read_text().split()
        except FileNotFoundError:
            return
        if order != self._order:
            self._order, self._left = order, int(first)
        self._left -= 1
        with self._trace.open("a") as trace:
            trace.write(f"{name}\n")
        if self._left == 0:
            with self._trace.open("a") as trace:
                trace.write("killed\n")
            if rest:
                self._orders.write_text(" ".join([f"{order}+", *rest]))
            else:
                self._orders.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def install(folder: str) -> None:
    """Let the engine that this process becomes die as `orders` in the folder says."""
    # Not before: only what the engine imports is to count.
    from aiorch.engine import daemon
    from aiorch.engine.target import Target
    from aiorch.tmux.control import ControlClient, Pending

    points = Failpoints(Path(folder))
    main = daemon.main

    def be_engine(target: Target, state: Path, ready: int) -> int:
        points.counting = True
        return main(target, state, ready)

    setattr(daemon, "main", be_engine)  # noqa: B010 - mypy takes no plain assignment to a function
    sys.addaudithook(lambda event, arguments: _audit(points, event, arguments))
    connect = sqlite3.connect

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            word = statement.split(maxsplit=1)[0]
            if word in _CHANGES and (word == "COMMIT" or not self.in_transaction):
                points.reach(f"journal {' '.join(statement.split()[:4])}")
            return super().execute(statement, *parameters)

    def counted(target: str, **options: Any) -> Any:
        return connect(target, **{**options, "factory": Connection} if "aiorch" in target else options)

    begin = ControlClient.begin

    def send(self: ControlClient, commands: Sequence[Sequence[str]]) -> Pending:
        points.reach(f"tmux {commands[0][0] if commands else ''}")
        return begin(self, commands)

    setattr(sqlite3, "connect", counted)  # noqa: B010
    setattr(ControlClient, "begin", send)  # noqa: B010


def _audit(points: Failpoints, event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _FILES and not (event == "open" and arguments[2] & _WRITES):
        return
    target = arguments[0]
    if event in ("os.kill", "os.killpg") and arguments[1] == 0:
        # A question, no signal.
        return
    # What is opened by its number was opened by its name before; byte code is Python's own business.
    if (event == "open" and isinstance(target, int)) or "pycache" in str(target):
        return
    points.reach(f"{event} {Path(str(target)).name}")
