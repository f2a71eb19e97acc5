"""What is lost when an engine is killed at random under load: faults.py [KILLS]

Half of the kills while directives come as printed lines and by the command, half while they come in an
agent's session file and by the command. Prints what was lost and doubled, and how soon the status bar was
right again.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from support.lab import Lab  # noqa: E402
from support.soak import Outcome, Soak  # noqa: E402


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    for name, agent in {"printed": False, "session file": True}.items():
        show(name, soak(kills // 2, agent))


def soak(kills: int, agent: bool) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="aiorch-bench-") as root:
        run = Soak(Lab(Path(root) / "lab", size=(200, 50)), seed=1, agent=agent)
        try:
            return run.run(kills, lambda done: print(f"\r  {done}", end="", file=sys.stderr))
        finally:
            print(file=sys.stderr)
            # It tells the story of the run, for tests that fail.
            with redirect_stdout(io.StringIO()):
                run.lab.__exit__(None, None, None)


def show(name: str, outcome: Outcome) -> None:
    times = sorted(outcome.recoveries)
    p95 = times[int(len(times) * 0.95) - 1]
    print(f"{name}: {outcome.kills} kills, {len(outcome.said)} directives,", end=" ")
    print(
        f"{len(outcome.lost)} lost, {len(outcome.doubled)} doubled, {outcome.refused} calls unanswered;",
        end=" ",
    )
    print(f"status right after {statistics.median(times) * 1000:.0f} ms (median), {p95 * 1000:.0f} ms (p95)")


if __name__ == "__main__":
    main()
