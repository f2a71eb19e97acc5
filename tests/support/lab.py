"""One private tmux server, home and run for an end-to-end test of the engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiorch import process
from aiorch.journal import Event, Journal, WorkerRow

REPO = Path(__file__).resolve().parents[2]
SECONDS = 15.0
# A worker that needs no agent: it prints its task as it came and ends.
ECHO = '[types.echo]\ncommand = ["printf", "%s\\\\n", "{task}"]\n'
# A worker whose task says how it goes on: `sleep 60`, `exit 2`. The user's own type, so it may be a shell.
STEP = '[types.step]\ncommand = ["sh", "-c", "{task}"]\n'

T = TypeVar("T")


def until(found: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """Return the first true value; raises AssertionError naming `what` after the time."""
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Lab:
    """A tmux server whose first session `m` has one pane that runs `primary`; a context manager."""

    def __init__(
        self,
        root: Path,
        *,
        size: tuple[int, int] = (160, 44),
        primary: Sequence[str] = ("sh",),
        project: str = "project",
        env: dict[str, str] | None = None,
    ) -> None:
        self.root, self.home, self.socket = root, root / "home", root / "tmux.sock"
        self.project = root / project
        self.plugin = REPO
        self._size, self._primary, self._said = size, primary, 0
        for path in (self.home, self.project):
            path.mkdir(parents=True, exist_ok=True)
        self.env = {
            "HOME": str(self.home),
            "PATH": f"{root / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "PS1": "$ ",
            **(env or {}),
        }

    def __enter__(self) -> Self:
        cols, rows = self._size
        self.tmux("set-option", "-g", "default-shell", "/bin/sh", ";", "new-session", "-d", "-s", "m",
                  "-x", str(cols), "-y", str(rows), "--", *self._primary)  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        pids = self.engine_pids()
        subprocess.run(self._argv("kill-server"), env=self.env, capture_output=True, check=False)
        self._tell()
        until(lambda: not any(alive(pid) for pid in pids), "the engine ends with its server")

    def tmux(self, *argv: str) -> str:
        done = subprocess.run(
            self._argv(*argv), env=self.env, cwd=self.project, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"tmux {argv}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def aiorch(
        self, *argv: str, check: bool = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-E", "-s", str(self.plugin / "python"), "--socket", str(self.socket)]
        command += [] if argv[0] == "up" else ["--session", "m"]
        done = subprocess.run(
            [*command, *argv], env={**self.env, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, cwd=self.project, check=False, timeout=60,
        )  # fmt: skip
        assert not check or done.returncode == 0, (
            f"aiorch {argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def configure(self, text: str) -> None:
        folder = self.home / ".config" / "aiorch"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(text)

    def start(self, config: str = STEP, *argv: str) -> None:
        self.configure(config)
        self.aiorch("start", "--pane", "%0", *argv)

    def load_plugin(self) -> None:
        """Load the plugin into the server, with our environment where the key looks for its own."""
        script = f'. "{REPO}/scripts/common.sh"; venv_for "{REPO}/python/requirements.lock"'
        found = subprocess.run(["sh", "-c", script], env=self.env, check=True, capture_output=True, text=True)
        venv = Path(found.stdout.strip())
        if not venv.exists():
            venv.parent.mkdir(parents=True)
            venv.symlink_to(sys.prefix)
        env = {**self.env, "TMUX": f"{self.socket},1,0"}
        subprocess.run([str(REPO / "aiorch.tmux")], env=env, check=True)

    def type(self, text: str) -> None:
        """Type a line into the primary."""
        self.tmux("send-keys", "-t", "%0", "-l", text)
        self.tmux("send-keys", "-t", "%0", "Enter")

    def say(self, payload: object) -> None:
        """Let the primary's shell print a directive on a line of its own."""
        self.say_line(f"[ORCHESTRATE] {payload if isinstance(payload, str) else json.dumps(payload)}")

    def say_line(self, text: str) -> None:
        self._said += 1
        path = self.root / f"said{self._said}"
        path.write_text(text + "\n")
        # What is typed ahead is echoed in the middle of what the last command prints.
        until(
            lambda: self.tmux("capture-pane", "-p", "-t", "%0").rstrip().endswith("$"), "the shell's prompt"
        )
        self.tmux("send-keys", "-t", "%0", "-l", f"cat {path}")
        # The prompt is there until it is echoed: nobody is to take it for the next one.
        until(lambda: str(path) in self.tmux("capture-pane", "-p", "-J", "-t", "%0"), "what was typed")
        self.tmux("send-keys", "-t", "%0", "Enter")

    def delegate(self, *workers: tuple[str, str] | dict[str, Any], id: str | None = None) -> None:
        """Ask for workers of type `step` by the command line, which needs no approval."""
        specs = [w if isinstance(w, dict) else {"name": w[0], "type": "step", "task": w[1]} for w in workers]
        argv = ["run", "do it", "--workers", json.dumps(specs)]
        self.aiorch(*argv, *(["--id", id] if id else []))

    @property
    def run(self) -> Path:
        return Path(self.tmux("show-options", "-v", "-t", "m", "@aiorch_run"))

    def journal(self) -> Journal:
        return Journal(self._newest() / "journal.db", read_only=True)

    def workers(self) -> dict[str, WorkerRow]:
        journal = self.journal()
        rows = {row.name: row for row in journal.workers()}
        journal.close()
        return rows

    def workers_by_state(self, *states: str) -> list[str]:
        return [name for name, row in self.workers().items() if row.state in states]

    def events(self) -> list[Event]:
        journal = self.journal()
        events = journal.events()
        journal.close()
        return events

    def journal_numbers(self) -> list[int]:
        journal = self.journal()
        numbers = [row.number for row in journal.directives()]
        journal.close()
        return numbers

    def told(self, tag: str, text: str = "") -> bool:
        return any(event.tag == tag and text in event.text for event in self.events())

    def wait_told(self, tag: str, text: str = "") -> None:
        until(lambda: self.told(tag, text), f"[{tag}] {text}")

    def wait_state(self, **states: str) -> None:
        """Wait until workers, by name (`_` for `-`), are in these states."""
        wanted = {name.replace("_", "-"): state for name, state in states.items()}
        until(
            lambda: (
                {name: str(row.state) for name, row in self.workers().items() if name in wanted} == wanted
            ),
            f"{wanted}",
        )

    def panes(self, *fields: str) -> list[list[str]]:
        form = "\t".join(f"#{{{name}}}" for name in fields)
        return [row.split("\t") for row in self.tmux("list-panes", "-s", "-t", "m", "-F", form).split("\n")]

    def finds(self, name: str) -> bool:
        """Return whether a file of this name is in the lab, where others still make and take away files."""
        return any(name in files for _, _, files in os.walk(self.root))

    def engine_pids(self) -> list[int]:
        done = subprocess.run(
            self._argv("show-options", "-qv", "-t", "m", "@aiorch_engine"),
            env=self.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return [int(done.stdout)] if done.stdout.strip().isdigit() else []

    @property
    def guard(self) -> int:
        """Return the process that starts another engine when this one is killed."""
        (pid,) = self.engine_pids()
        guard = process.parent(pid)
        assert guard is not None and guard > 1
        return guard

    def kill_guard(self) -> None:
        """Leave the engine without the process that starts another one at once: the hook of tmux does it."""
        os.kill(self.guard, signal.SIGKILL)

    def kill_engine(self) -> int:
        (pid,) = self.engine_pids()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid), "the engine is dead")
        return pid

    def request(self, body: object, name: str = "") -> None:
        """Hand the engine a request as keys do, without waiting for the answer."""
        path = self.run / "inbox" / f".{name or f'test-{time.time_ns()}'}.json"
        path.write_text(json.dumps(body))
        path.rename(path.with_name(path.name[1:]))

    def put_program(self, name: str, text: str) -> Path:
        """Put an executable script on the PATH of everything in the lab."""
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def be_primary(self, name: str, text: str) -> None:
        """Have a script run in the first pane; to be called before the server is there."""
        self._primary = [str(self.put_program(name, text))]

    def use_plugin(self, before: str) -> None:
        """Run from a copy of the plugin from now on, whose every process executes `before` first."""
        self.plugin = self.root / "plugin"
        for name in ("python/aiorch", "scripts"):
            shutil.copytree(REPO / name, self.plugin / name, ignore=shutil.ignore_patterns("__pycache__"))
        main = (REPO / "python/__main__.py").read_text()
        (self.plugin / "python/__main__.py").write_text(f"{before}\n{main}")

    def _newest(self) -> Path:
        journals = (self.home / ".local/state/aiorch/runs").glob("*/journal.db")
        return max(journals, key=lambda path: path.stat().st_mtime_ns).parent

    def _argv(self, *argv: str) -> list[str]:
        return [shutil.which("tmux") or "tmux", "-u", "-f", "/dev/null", "-S", str(self.socket), *argv]

    def _tell(self) -> None:
        """Print what is needed to understand a failed test; pytest shows it only then."""
        for path in (self.home / ".local/state/aiorch/runs").glob("*"):
            log = path / "engine.log"
            print(f"--- {path.name}\n{log.read_text() if log.exists() else 'no engine.log'}")
            try:
                journal = Journal(path / "journal.db", read_only=True)
                print("\n".join(f"[{event.tag}] {event.text}" for event in journal.events()))
                journal.close()
            except sqlite3.Error as error:
                print(f"no journal: {error}")


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
