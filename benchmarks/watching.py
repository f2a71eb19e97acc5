"""What knowing the states of 50 workers costs, and how soon a dialog is known: watching.py [cost|dialogs]...

cost: CPU of the engine, and of tmux with and without an engine, while all 50 draw as working agents do (a
spinner, ten times a second), then while half of them show dialogs. dialogs: the time from the last byte of a
dialog to the text in the status bar.
"""

from __future__ import annotations

import io
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from support.lab import Lab, until  # noqa: E402
from support.puppet import CONFIG, Puppet, install  # noqa: E402

WORKERS = 50
LIMITS = "max_workers = 200\nmax_per_minute = 0\n"
# As Claude Code draws: a spinner row near the bottom; while `dialog` is there a menu instead, which is still.
AGENT = """import os, sys, time
dialog = sys.argv[1] if sys.argv[2] == "even" else ""
rows = "\\n".join(f"  step {n} of the plan, with some words about it" for n in range(12))
sys.stdout.write("\\033[2J\\033[H" + rows)
turn = 0
while True:
    if dialog and os.path.exists(dialog):
        sys.stdout.write("\\033[15;1H\\033[J Do you want to go on?\\n > 1. Yes\\n   2. No\\n\\n Esc cancels")
        sys.stdout.flush()
        while os.path.exists(dialog): time.sleep(0.6)
    turn += 1
    sys.stdout.write(f"\\033[15;1H\\033[J{'|/-'[turn % 3]} Working... ({turn // 10}s - esc to interrupt)")
    sys.stdout.flush()
    time.sleep(0.1)
"""


@contextmanager
def lab(config: str) -> Iterator[Lab]:
    """Return a lab with a run; what it tells about itself is for tests that fail."""
    with tempfile.TemporaryDirectory(prefix="aiorch-bench-", ignore_cleanup_errors=True) as root:
        run = Lab(Path(root) / "lab", size=(200, 50))
        install(run)
        run.__enter__()
        try:
            run.start(config)
            yield run
        finally:
            with redirect_stdout(io.StringIO()):
                run.__exit__(None, None, None)


def cost(seconds: float = 30.0) -> None:
    """Print the CPU that 50 workers take, in percent of a core."""
    own = f'[types.agent]\ncommand = ["{sys.executable}", "-S", "-c", "exec(open(0).read())"]\n'
    with lab(LIMITS + own.replace('-c", "exec(open(0).read())"', 'agent.py", "{task}"')) as run:
        (run.project / "agent.py").write_text(AGENT)
        script, dialog = run.project / "agent.py", run.root / "dialog"
        run.configure(f'{LIMITS}[types.agent]\ncommand = ["sh", "-c", "{{task}}"]\n')
        for begin in range(0, WORKERS, 25):
            run.delegate(*[
                {"name": f"w{n}", "type": "agent",
                 "task": f"exec {sys.executable} -S {script} {dialog} {'odd' if n % 2 else 'even'}"}
                for n in range(begin, begin + 25)
            ])  # fmt: skip
        run.wait_state(**{f"w{n}": "working" for n in range(WORKERS)})
        (engine,) = run.engine_pids()
        server = int(run.tmux("display-message", "-p", "#{pid}"))
        run.tmux("set-option", "-g", "status-interval", "0")
        time.sleep(10)
        for words, waiting in (("all draw", False), ("half of them show a dialog", True)):
            if waiting:
                dialog.touch()
                time.sleep(5)
            with_engine, alone = _in_turn(engine, server, seconds)
            counts = sum(row.state == "waiting" for row in run.workers().values())
            print(
                f"{WORKERS} workers, {words}: engine {with_engine[0]:.2f} % of a core,"
                f" tmux {with_engine[1]:.2f} % (without an engine {alone:.2f} %); {counts} known to wait"
            )


def _in_turn(engine: int, server: int, seconds: float, turns: int = 4) -> tuple[list[float], float]:
    """Return what engine and tmux take with an engine, and what tmux takes without one, in turn."""
    both, alone = [], []
    for _ in range(turns):
        both.append(_percent([engine, server], seconds / turns))
        os.kill(engine, signal.SIGSTOP)
        alone += _percent([server], seconds / turns)
        os.kill(engine, signal.SIGCONT)
    return [statistics.mean(column) for column in zip(*both, strict=True)], statistics.mean(alone)


def dialogs(count: int = 40) -> None:
    """Print how long after a dialog was drawn the status bar had it."""
    delays = []
    with lab(CONFIG) as run:
        puppet = Puppet(run)
        puppet.begin()
        until(lambda: "puppet" in run.workers()["a"].agent, "it runs")
        for number in range(count):
            puppet.title("working")
            until(lambda: "!" not in _segment(run), "it works")
            puppet.title(f"waiting permission: {number}")
            began = time.monotonic()
            until(lambda: "1 !" in _segment(run), "the status bar has it")
            delays.append((time.monotonic() - began) * 1000)
    worst = max(delays)
    print(f"{count} dialogs: in the status bar after {statistics.median(delays):.0f} ms, {worst:.0f} at most")


def _segment(run: Lab) -> str:
    return run.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS")


def _percent(pids: list[int], seconds: float) -> list[float]:
    before = [_cpu(pid) for pid in pids]
    time.sleep(seconds)
    return [(_cpu(pid) - old) * 100 / seconds for pid, old in zip(pids, before, strict=True)]


def _cpu(pid: int) -> float:
    text = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(text[11]) + int(text[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    parts = {"cost": cost, "dialogs": dialogs}
    for name in sys.argv[1:] or parts:
        parts[name]()
