"""A process that stands in for an agent: it has the agent's name and writes what it is told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aiorch import process
from aiorch.capture.transcript import find as finding
from aiorch.capture.transcript.find import Found

# One command a line, answered when it is done. As a launcher it only runs itself again, as some agents do.
_SCRIPT = """
import json, os, sqlite3, subprocess, sys
if os.environ.pop("STANDIN_LAUNCHES", ""):
    sys.exit(subprocess.run([sys.executable, *sys.argv]).returncode)
held = []
def append(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a") as file:
        file.write(text)
def hold(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    held.append(open(path, "a"))
def sql(path, statements):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    database = sqlite3.connect(path)
    held.append(database)
    for statement in statements:
        database.execute(*statement)
    database.commit()
print(os.getpid(), flush=True)
for line in sys.stdin:
    name, *words = json.loads(line)
    {"append": append, "hold": hold, "sql": sql}[name](*words)
    print("done", flush=True)
"""


class StandIn:
    """A child process named as an agent, in a home and a directory of its own; a context manager."""

    def __init__(
        self,
        format: str,
        home: Path,
        cwd: Path,
        *words: str,
        env: dict[str, str] | None = None,
        launches: bool = False,
        before: Sequence[str] = (),
        script: str = "",
    ) -> None:
        self.format, self.home, self.cwd = format, home, cwd
        path = home.parent / "bin" / (script or format)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_SCRIPT, encoding="utf-8")
        self.environment = {"HOME": str(home), "PATH": os.environ["PATH"], **(env or {})}
        if launches:
            self.environment["STANDIN_LAUNCHES"] = "1"
        self._argv = [*before, sys.executable, str(path), *words]

    def __enter__(self) -> Self:
        self.child = subprocess.Popen(
            self._argv,
            cwd=self.cwd,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # As a shell does: a job has a process group of its own.
            process_group=0,
        )
        self.pid = self.child.pid
        self.writer = int(self._answer())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self.child.stdin and self.child.stdout
        self.child.stdin.close()
        self.child.wait(timeout=10)
        self.child.stdout.close()

    def append(self, path: Path, *records: object) -> Path:
        """Let it append records to a file, each as a line."""
        text = "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in records)
        self._tell("append", str(path), text)
        return path

    def hold(self, path: Path) -> None:
        """Let it open a file for appending, and keep it open."""
        self._tell("hold", str(path))

    def sql(self, path: Path, *statements: tuple[str, list[object]] | tuple[str]) -> Path:
        """Let it change a database, which it keeps open."""
        self._tell("sql", str(path), statements)
        return path

    def find(self) -> list[Found]:
        """Look for its session file, as the engine does."""
        cwd = process.working_directory(self.pid)
        assert cwd is not None
        return finding.find(self.format, self.pid, cwd, self.environment, process.started(self.pid))

    def places(self) -> list[Path]:
        """Return where its session file would appear, as the engine does."""
        return list(
            dict.fromkeys(finding.places(self.format, self.pid, str(self.cwd), self.environment).values())
        )

    def _tell(self, *command: object) -> None:
        assert self.child.stdin
        self.child.stdin.write(json.dumps(command) + "\n")
        self.child.stdin.flush()
        assert self._answer() == "done"

    def _answer(self) -> str:
        assert self.child.stdout
        answer = self.child.stdout.readline().strip()
        assert answer, "the stand-in has died"
        return answer
