"""What a call costs, and how soon a worker begins after it: calls.py [ROUNDS]

The processor time of whole commands, of their shell script and of what they ask tmux included, beside that of
a Python that does nothing; then the wall time from the start of `aiorch run` to its worker's first
instruction. Milliseconds; a tmux server and a home of its own.
"""

from __future__ import annotations

import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from support.lab import Lab, until  # noqa: E402

CONFIG = 'default_type = "none"\n[types.none]\ncommand = ["true", "{task}"]\n'
STAMP = '[types.stamp]\ncommand = ["sh", "-c", "date +%s.%N >{task}"]\n'
CALLS = (
    *(("ps",), ("ps", "--json"), ("show", "one"), ("log",), ("logs", "one"), ("collect",)),
    *(("wait", "one"), ("run", "x"), ("kill", "one")),
)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(io.StringIO()))
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        with Lab(Path(folder) / "lab") as lab:
            lab.load_plugin()
            lab.start("max_per_minute = 0\n" + CONFIG + STAMP)
            lab.aiorch("run", "x", "--workers", json.dumps([{"name": "one"}]), "--wait")
            bare = [cpu(lab, [sys.executable, "-I", "-S", "-c", ""]) for _ in range(rounds)]
            rows = [("python -I -S", bare)]
            program = [str(ROOT / "scripts/aiorch"), "--socket", str(lab.socket), "--session", "m"]
            rows += [(" ".join(call), [cpu(lab, [*program, *call]) for _ in range(rounds)]) for call in CALLS]
            starts = [begin(lab, program, index) for index in range(rounds)]
    print(f"{rounds} rounds each; CPU in ms: min, median, and how many times that of a bare Python")
    least = statistics.median(bare)
    for name, times in rows:
        median = statistics.median(times)
        print(f"  {name:22} {min(times):6.1f} {median:6.1f} {median / least:6.1f}")
    middle = statistics.median(starts)
    print("`aiorch run` to its worker's first instruction, wall: "
          f"min {min(starts):.0f}, median {middle:.0f}, max {max(starts):.0f}")  # fmt: skip


def cpu(lab: Lab, argv: list[str]) -> float:
    """Return the processor time of one whole command, its children's too, in milliseconds."""
    before = spent()
    subprocess.run(
        argv, env=lab.env, cwd=lab.project, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return spent() - before


def spent() -> float:
    """Return the processor time of all children so far, in milliseconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def begin(lab: Lab, program: list[str], index: int) -> float:
    """Return how long after its call a worker began, in milliseconds."""
    mark = lab.root / f"began{index}"
    workers = json.dumps([{"name": f"w{index}", "type": "stamp", "task": str(mark)}])
    start = time.time()
    subprocess.run(
        [*program, "run", "x", "--workers", workers],
        env=lab.env,
        cwd=lab.project,
        capture_output=True,
        check=True,
    )
    until(lambda: mark.exists() and mark.read_text().strip() != "", "the worker began")
    began = float(mark.read_text())
    until(lambda: lab.workers()[f"w{index}"].ended is not None, "it ended")
    return (began - start) * 1000


if __name__ == "__main__":
    main()
