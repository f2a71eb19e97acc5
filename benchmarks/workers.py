"""What many workers cost, and whether their ends are known: workers.py [exits|deaths|idle|log|rounds]...

exits: 1000 of them, by status and by signal, a part of them while no engine runs. deaths: 100 at once.
idle: memory and CPU with 50 workers that do nothing, and with 10. log: memory when the lead has printed 1 GB.
rounds: an engine killed, tmux killed or a client detached while panes are busy; nothing may hang.
"""

from __future__ import annotations

import io
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from aiorch.journal import ENDED, WorkerRow  # noqa: E402
from support.client import Client  # noqa: E402
from support.lab import STEP, Lab, alive, until  # noqa: E402

CONFIG = f"max_workers = 200\nmax_per_minute = 0\nmax_per_run = 100000\n{STEP}"
# Status and signal as `sh` tells them; the last ones end the wrapper, too.
ENDS: dict[str, tuple[str, int]] = {
    **{f"exit {status}": (f"exit {status}", status) for status in (0, 1, 2, 3, 42, 126, 127, 200, 255)},
    **{f"{name} to itself": (f"kill -{name} $$", 128 + int(getattr(signal, f"SIG{name}")))
       for name in ("TERM", "KILL", "SEGV", "ABRT", "PIPE", "HUP")},
    # Once tmux has been told to keep the pane, 1 ms after the start: before that nobody can know.
    "KILL to its wrapper": ("sleep 0.3; kill -KILL $PPID; sleep 9", 128 + int(signal.SIGKILL)),
}  # fmt: skip


@contextmanager
def lab(size: tuple[int, int] = (200, 50)) -> Iterator[Lab]:
    """Return a lab with a run; what it tells about itself is for tests that fail."""
    with tempfile.TemporaryDirectory(prefix="aiorch-bench-", ignore_cleanup_errors=True) as root:
        run = Lab(Path(root) / "lab", size=size)
        run.__enter__()
        try:
            run.start(CONFIG)
            yield run
        finally:
            with redirect_stdout(io.StringIO()):
                run.__exit__(None, None, None)


def exits(count: int = 1000, batch: int = 20) -> None:
    """Let workers end in every way, every fourth batch while no engine runs; count what is known wrong."""
    wrong: list[str] = []
    names = list(ENDS)
    with lab() as run:
        for begin in range(0, count, batch):
            wanted = {f"w{n}": names[n % len(names)] for n in range(begin, min(begin + batch, count))}
            away = begin // batch % 4 == 3
            gate = run.root / f"gate-{begin}"
            hold = f"while [ ! -e {gate} ]; do sleep 0.02; done; "
            run.delegate(*[(name, (hold if away else "") + ENDS[end][0]) for name, end in wanted.items()])
            if away:
                run.wait_state(**dict.fromkeys(wanted, "working"))
                (run.run / "restarts").write_text(f"{2**40}\n" * 5)
                run.kill_guard()
                run.kill_engine()
                until(lambda: "engine died" in _segment(run), "no other engine is tried")
                gate.touch()
                pids = [run.workers()[name].pid for name in wanted]
                until(lambda pids=pids: not any(map(alive, pids)), "they ended")  # type: ignore[misc]
                (run.run / "restarts").unlink()
                run.aiorch("start", "--pane", "%0")
            rows = until(lambda wanted=wanted: _ended(run, wanted), "their ends are known")  # type: ignore[misc]
            wrong += [f"{name} ({wanted[name]}): {row.status} {row.state}" for name, row in rows.items()
                      if (row.status or 0) != ENDS[wanted[name]][1]]  # fmt: skip
            run.aiorch("tidy")
            print(f"\r  {begin + batch}", end="", file=sys.stderr)
    print(f"\nexits: {count - len(wrong)} of {count} right", *wrong[:9], sep="\n  ")


def _segment(run: Lab) -> str:
    return run.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS")


def _ended(run: Lab, wanted: dict[str, str]) -> dict[str, WorkerRow]:
    rows = {name: row for name, row in run.workers().items() if name in wanted}
    return rows if all(row.state in ENDED for row in rows.values()) else {}


def deaths(count: int = 100) -> None:
    """Let workers end one after the other, then all at once; how long until each end is in the journal."""
    with lab() as run:
        fifo = run.root / "gate"
        os.mkfifo(fifo)
        for name in (f"one{n}" for n in range(30)):
            run.delegate((name, "sleep 0.2; exit 3"))
            run.wait_state(**{name: "failed"})
        delays = sorted(_delays(run, "one"))
        print(f"one end known after {statistics.median(delays):.1f} ms (median), {delays[-2]:.1f} ms (p95)")
        run.aiorch("tidy")
        _delegate(run, {f"many{n}": f"read x <{fifo}; exit 3" for n in range(count)})
        names = {f"many{n}": "working" for n in range(count)}
        until(lambda: all(run.workers()[name].state == "working" for name in names), "all work", 60)
        time.sleep(1)
        fifo.open("wb").close()
        until(lambda: all(run.workers()[name].state == "failed" for name in names), "all ended", 60)
        ends = _ends(run, "many")
        last = max(record for record, _ in ends)
        print(
            f"{count} ends at once: records within {(last - min(r for r, _ in ends)) * 1000:.0f} ms, "
            f"the last known {(max(known for _, known in ends) - last) * 1000:.0f} ms after the last record"
        )


def _ends(run: Lab, prefix: str) -> list[tuple[float, float]]:
    """Return when each end was recorded by its wrapper, and when it was in the journal."""
    journal = run.journal()
    known = {step.worker: step.time for step in journal.transitions() if step.state == "failed"}
    rows = [row for row in journal.workers() if row.name.startswith(prefix)]
    journal.close()
    files = {row.number: run.run / "workers" / row.action / "exit" for row in rows}
    return [(path.stat().st_mtime_ns / 1e9, known[number]) for number, path in files.items()]


def _delays(run: Lab, prefix: str) -> list[float]:
    return [(known - record) * 1000 for record, known in _ends(run, prefix)]


def idle(seconds: float = 60.0) -> None:
    """Print memory and CPU of the engine and of tmux with workers that do nothing."""
    for count in (10, 50):
        with lab() as run:
            names = [f"w{n}" for n in range(count)]
            _delegate(run, dict.fromkeys(names, "exec sleep 9999"))
            run.wait_state(**dict.fromkeys(names, "working"))
            (engine,) = run.engine_pids()
            server = int(run.tmux("display-message", "-p", "#{pid}"))
            # Nobody asks tmux anything, and its own clock stands.
            run.tmux("set-option", "-g", "status-interval", "0")
            time.sleep(3)
            before = [_cost(pid) for pid in (engine, server)]
            time.sleep(seconds)
            after = [_cost(pid) for pid in (engine, server)]
            for name, old, new, pid in zip(("engine", "tmux"), before, after, (engine, server), strict=True):
                cpu, switches = (new[0] - old[0]) * 3600 / seconds, (new[1] - old[1]) / seconds
                print(f"{count} idle workers, {name}: {cpu:.3f} CPU-s/h, {switches:.2f} switches/s,", end=" ")
                print(f"{_rss(pid)} MB")


def log(size: int = 1 << 30) -> None:
    """Let the lead print a gigabyte; tell what engine and guard hold at most, and what is on the disk."""
    with lab() as run:
        pids = {"engine": run.engine_pids()[0], "guard": run.guard}
        run.type(f"yes 'a line of what a build has to say, again and again' | head -c {size}; echo OVE''R")
        began = time.monotonic()
        until(lambda: "OVER" in run.tmux("capture-pane", "-p", "-t", "%0"), "it is printed", 900)
        took = time.monotonic() - began
        run.delegate(("a", "true"))
        run.wait_state(a="done")
        left = sum(path.stat().st_size for path in (run.run / "log").iterdir())
        held = ", ".join(f"{name} {_most(pid) / 2**20:.0f} MB" for name, pid in pids.items())
        print(
            f"log: {size / 2**20:.0f} MB in {took:.0f} s; at most {held}; {left / 2**20:.0f} MB on the disk"
        )


def _most(pid: int) -> int:
    """Return how many bytes of memory a process has held at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def _delegate(run: Lab, tasks: dict[str, str], most: int = 25) -> None:
    """Ask for workers, as many at once as a plan may have."""
    specs = list(tasks.items())
    for begin in range(0, len(specs), most):
        run.delegate(*specs[begin : begin + most])


def _cost(pid: int) -> tuple[float, int]:
    """Return the CPU seconds and the context switches of all threads of a process so far."""
    cpu = switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu += int((task / "schedstat").read_text().split()[0])
        lines = (task / "status").read_text().splitlines()
        switches += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return cpu / 1e9, switches


def _rss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024


def rounds(count: int = 100) -> None:
    """Kill the engine, kill tmux or detach a client while panes print without end; nothing may hang."""
    hung: list[str] = []
    for number in range(count):
        kind = ("SIGKILL engine", "kill-server", "detach")[number % 3]
        with lab((120, 40)) as run:
            run.delegate(("busy", "yes busy"))
            run.type("yes primary")
            until(lambda run=run: "primary" in run.tmux("capture-pane", "-p", "-t", "%0"), "it prints")  # type: ignore[misc]
            hung += [f"{number}: {kind}" for step in _round(run, kind) if not step()]
        print(f"\r  {number + 1}", end="", file=sys.stderr)
    print(f"\nrounds: {count} of killed engines, killed servers, detached clients: {len(hung)} hung", *hung)


def _round(run: Lab, kind: str) -> Iterator[Callable[[], bool]]:
    """Yield what must work within seconds, each after something was done."""
    server = int(run.tmux("display-message", "-p", "#{pid}"))
    if kind == "kill-server":
        subprocess.run(run._argv("kill-server"), env=run.env, capture_output=True, check=False)
        yield lambda: _within(10, lambda: not alive(server))
        run.__enter__()
    elif kind == "detach":
        with Client(str(run.socket), size=(100, 30)):
            run.tmux("detach-client", "-s", "m")
        yield lambda: _grows(run)
    else:
        killed = run.kill_engine()
        yield lambda: _within(10, lambda: run.engine_pids() not in ([], [killed]))
        yield lambda: _grows(run)
    yield lambda: _answers(run)


def _grows(run: Lab) -> bool:
    """Say whether the primary still prints, and what it prints comes to its log."""
    size = sum(path.stat().st_size for path in (run.run / "log").iterdir())
    newest = lambda: sum(path.stat().st_size for path in (run.run / "log").iterdir())  # noqa: E731
    return _within(10, lambda: newest() != size)


def _answers(run: Lab) -> bool:
    argv = run._argv("list-sessions")
    try:
        return subprocess.run(argv, env=run.env, capture_output=True, check=False, timeout=10).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _within(seconds: float, found: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found():
            return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    parts = {"exits": exits, "deaths": deaths, "idle": idle, "log": log, "rounds": rounds}
    for name in sys.argv[1:] or parts:
        parts[name]()
