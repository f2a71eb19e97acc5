"""How soon a real agent's dialog is in the status bar: waiting.py [claude|codex] [DIALOGS].

Each dialog asks whether a command may run, and is answered with yes. The time is from when `capture-pane`,
asked every 5 ms, shows the question to when the text of the status bar counts a worker that waits.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from aiorch.tmux.control import ControlClient  # noqa: E402
from support.lab import until  # noqa: E402
from support.mock_claude import install_claude  # noqa: E402
from support.mock_codex import install_codex  # noqa: E402
from support.mock_model import Answer  # noqa: E402
from support.real import RealWorker, real_worker  # noqa: E402

PAUSE = 0.005
ASKS = {"claude": "Do you want to proceed?", "codex": "Would you like to run"}
INSTALL = {"claude": install_claude, "codex": install_codex}


def main(agent: str = "claude", count: str = "12") -> None:
    """Print the median and the longest time in milliseconds."""
    asks = [threading.Event() for _ in range(int(count))]
    script = [Answer("I go on.", run=f"touch x{number}", held=may) for number, may in enumerate(asks)]
    with (
        tempfile.TemporaryDirectory(prefix="aiorch-bench-", ignore_cleanup_errors=True) as root,
        # What a lab tells about itself is for tests that fail.
        redirect_stdout(io.StringIO()),
        real_worker(agent, INSTALL[agent](), Path(root) / "lab", *script) as worker,
    ):
        worker.begin()
        times = [1000 * _delay(worker, ASKS[agent], number, may) for number, may in enumerate(asks)]
        worker.wait("done")
    middle, longest = statistics.median(times), max(times)
    print(f"{agent}: {len(times)} dialogs, median {middle:.0f} ms, longest {longest:.0f} ms")


def _delay(worker: RealWorker, question: str, number: int, may_ask: threading.Event) -> float:
    until(lambda: worker.row.worked and "⏸" not in worker.segment, "it works", 30)
    control = ControlClient(str(worker.lab.socket), "m", lambda _: None)
    try:
        look = "capture-pane", "-p", "-t", worker.row.pane
        may_ask.set()
        shown = _when(lambda: _has(control, look, question, f"touch x{number}"))
        told = _when(lambda: _has(control, ("show-environment", "-h", "-t", "m", "AIORCH_STATUS"), "⏸"))
    finally:
        control.close()
    worker.wait("waiting", f"permission: touch x{number}")
    worker.answer("\r")
    return told - shown


def _has(control: ControlClient, command: tuple[str, ...], *texts: str) -> bool:
    rows = "\n".join(control.run(*command))
    return all(text in rows for text in texts)


def _when(found: Callable[[], bool]) -> float:
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end, "not within a minute"
        time.sleep(PAUSE)
    return time.monotonic()


if __name__ == "__main__":
    main(*sys.argv[1:])
