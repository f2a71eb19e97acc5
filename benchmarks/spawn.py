"""Directive → last worker's first instruction, in three ways, interleaved in one run.

(a) floor: three splits by an open control-mode client, nothing else: no detection, plan or journal
(b) plain script: watchdog on a pipe-pane log, a regular expression, libtmux for splits, titles and layout
(c) aiorch: the engine as it runs for a user, from the pane's bytes through plan and journal

Each starts three workers that write one byte to a FIFO as their first act. Usage: spawn.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python")]

import libtmux  # noqa: E402
from watchdog.events import FileSystemEvent, FileSystemEventHandler  # noqa: E402
from watchdog.observers import Observer  # noqa: E402
from watchdog.observers.api import BaseObserver  # noqa: E402

from aiorch.tmux.control import ControlClient  # noqa: E402

WORKERS = 3
DIRECTIVE = '[ORCHESTRATE] {"task": "Build a REST API with authentication"}'
CONFIG = """default_type = "mark"
max_workers = 64
max_per_minute = 0
max_per_run = 100000
[trust.plain]
roles = "run"
[types.mark]
command = ["sh", "{worker}", "{{task}}"]
"""
ROUND_SECONDS = 20.0
observers: list[BaseObserver] = []


class Bench:
    """One private tmux server, and a FIFO on which workers say that they run."""

    def __init__(self, root: Path) -> None:
        self.root, self.socket = root, str(root / "tmux.sock")
        self.worker = root / "worker.sh"
        fifo = root / "fifo"
        os.mkfifo(fifo)
        self._fifo = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        self.worker.write_text(f"printf x >'{fifo}'\nexec sleep 0.3\n")
        self.env = {"HOME": str(root), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def tmux(self, *argv: str) -> str:
        command = ["tmux", "-S", self.socket, "-f", "/dev/null", *argv]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True)
        return done.stdout.rstrip("\n")

    def session(self, name: str) -> str:
        """Make a session of 200 x 50 whose primary prints nothing, and return the primary's terminal."""
        self.tmux("new-session", "-d", "-s", name, "-x", "200", "-y", "50", "--", "cat", "-u")
        return self.tmux("display-message", "-p", "-t", name, "#{pane_tty}")

    def wait_workers(self) -> float:
        """Return when the last worker said that it runs (seconds of the monotonic clock)."""
        left, end = WORKERS, time.monotonic() + ROUND_SECONDS
        while left:
            if not select.select([self._fifo], [], [], max(0.0, end - time.monotonic()))[0]:
                raise SystemExit(f"{left} workers never ran")
            left -= len(os.read(self._fifo, left))
        return time.monotonic()

    def wait_until(self, test: Callable[[], bool]) -> None:
        """Return once the test holds."""
        end = time.monotonic() + ROUND_SECONDS
        while not test():
            if time.monotonic() > end:
                raise SystemExit("a round did not end")
            time.sleep(0.02)

    def clear(self, session: str, keep: int) -> None:
        """Close all panes of a session but the first `keep`."""
        panes = self.tmux("list-panes", "-s", "-t", session, "-F", "#{pane_id}").split("\n")
        for pane in panes[keep:]:
            self.tmux("kill-pane", "-t", pane)


def say(terminal: str) -> None:
    """Print a directive in a pane, as a program in it would."""
    descriptor = os.open(terminal, os.O_WRONLY | os.O_NOCTTY)
    os.write(descriptor, f"{DIRECTIVE}\r\n".encode())
    os.close(descriptor)


def floor(bench: Bench) -> Callable[[], float]:
    bench.session("floor")
    control = ControlClient(bench.socket, "floor", lambda _: None)
    pane = bench.tmux("display-message", "-p", "-t", "floor", "#{pane_id}")
    split = ("split-window", "-d", "-l", "8", "-t", pane, "--", "sh", str(bench.worker), "task")

    def one() -> float:
        begin = time.monotonic()
        control.batch([split] * WORKERS)
        took = bench.wait_workers() - begin
        bench.clear("floor", 1)
        return took

    return one


class _Tail(FileSystemEventHandler):
    """What a first version of such a tool looks like."""

    def __init__(self, bench: Bench, log: Path) -> None:
        self._log, self._bench, self._offset = log, bench, 0
        server = libtmux.Server(socket_path=bench.socket)
        self._window = server.sessions.get(session_name="plain").active_window
        self._lock = threading.Lock()

    def on_modified(self, event: FileSystemEvent) -> None:
        with self._lock, self._log.open() as file:
            file.seek(self._offset)
            text = file.read()
            self._offset = file.tell()
            for found in re.finditer(r"\[ORCHESTRATE\]\s*({.*})", text):
                self._spawn(json.loads(found[1])["task"])

    def _spawn(self, task: str) -> None:
        for name in ("api-routes", "auth-system", "testing"):
            command = f"sh {self._bench.worker} '{task}'"
            pane = self._window.split(attach=False, shell=command)
            pane.set_option("remain-on-exit", "on")
            pane.set_title(name)
            self._window.select_layout("main-vertical")


def plain_script(bench: Bench) -> Callable[[], float]:
    terminal = bench.session("plain")
    folder = bench.root / "plain"
    folder.mkdir()
    log = folder / "log"
    log.touch()
    bench.tmux("pipe-pane", "-t", "plain", f"cat >>{log}")
    observer = Observer()
    observer.schedule(_Tail(bench, log), str(folder))
    observer.start()
    observers.append(observer)

    def one() -> float:
        begin = time.monotonic()
        say(terminal)
        took = bench.wait_workers() - begin
        # The script goes on with titles and layout; it must be done before the next round begins.
        while "testing" not in bench.tmux("list-panes", "-t", "plain", "-F", "#{pane_title}"):
            time.sleep(0.01)
        time.sleep(0.2)
        bench.clear("plain", 1)
        return took

    return one


def aiorch(bench: Bench) -> Callable[[], float]:
    terminal = bench.session("ours")
    folder = bench.root / ".config/aiorch"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG.format(worker=bench.worker))
    command = [sys.executable, "-E", "-s", str(ROOT / "python"), "--socket", bench.socket]
    pane = bench.tmux("display-message", "-p", "-t", "ours", "#{pane_id}")
    subprocess.run([*command, "start", "--pane", pane], env=bench.env, check=True, stdout=subprocess.DEVNULL)

    def one() -> float:
        begin = time.monotonic()
        say(terminal)
        took = bench.wait_workers() - begin
        # As a user finds it the next time: the workers have ended and were closed, the column is there.
        states = "list-panes", "-s", "-t", "ours", "-F", "#{@aiorch_state}"
        bench.wait_until(lambda: bench.tmux(*states).count("done") == WORKERS)
        subprocess.run(
            [*command, "--session", "ours", "tidy"], env=bench.env, check=True, capture_output=True
        )
        time.sleep(0.2)
        return took

    return one


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    root = Path(tempfile.mkdtemp(prefix="aiorch-bench-"))
    bench = Bench(root)
    ways = {"a floor": floor, "b plain script": plain_script, "c aiorch": aiorch}
    times: dict[str, list[float]] = {name: [] for name in ways}
    try:
        runs = {name: make(bench) for name, make in ways.items()}
        for index in range(rounds + 2):
            for name, run in runs.items():
                took = run() * 1000
                # The first two rounds warm caches and are not counted.
                if index >= 2:
                    times[name].append(took)
    finally:
        subprocess.run(["tmux", "-S", bench.socket, "kill-server"], check=False)
        for observer in observers:
            observer.stop()
            observer.join()
        time.sleep(0.5)
        shutil.rmtree(root, ignore_errors=True)
    print(f"{rounds} rounds, milliseconds to the first instruction of the last of {WORKERS} workers")
    for name, values in times.items():
        ordered = sorted(values)
        p90 = ordered[int(len(ordered) * 0.9) - 1]
        print(f"  {name:16} min {ordered[0]:7.2f}  median {statistics.median(values):7.2f}  p90 {p90:7.2f}")
    ours, least, plain = (times[name] for name in ("c aiorch", "a floor", "b plain script"))
    slower = statistics.median(c / a for c, a in zip(ours, least, strict=True))
    faster = statistics.median(b / c for b, c in zip(plain, ours, strict=True))
    print(f"  medians of the ratios round by round: c / a {slower:.2f}, b / c {faster:.1f}")


if __name__ == "__main__":
    main()
