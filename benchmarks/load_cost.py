"""What loading the plugin costs every start of tmux: programs, forks and CPU, next to TPM itself.

Counts come from strace and are exact; CPU is the least of several runs, which other work on the machine
disturbs least. Usage: python benchmarks/load_cost.py [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
TPM = Path("/usr/share/tmux-plugin-manager/tpm")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took."""

    what: str
    execs: int
    tmux_calls: int
    forks: int
    cpu_ms: float
    wall_ms: float


class Lab:
    """A private tmux server with an empty configuration."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {
            "HOME": str(root),
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "TMUX_TMPDIR": str(root),
        }
        (root / ".tmux.conf").write_text("")

    def tmux(self, *words: str) -> str:
        """Run one tmux command on the private server."""
        done = subprocess.run(
            ["tmux", *words],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip()

    def fresh(self) -> None:
        """Start a server on which nothing was loaded."""
        self.stop()
        self.tmux("new-session", "-d", "cat")
        self.env["TMUX"] = self.tmux("display-message", "-p", "#{socket_path},#{pid},0")

    def stop(self) -> None:
        """End the server and wait until its socket no longer answers."""
        self.tmux("kill-server")
        while self.tmux("list-sessions"):
            time.sleep(0.01)

    def run(self, argv: list[str]) -> tuple[float, float]:
        """Run a command; return its CPU and wall time in milliseconds, children included."""
        began = time.perf_counter()
        with subprocess.Popen(
            argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            _, _, used = os.wait4(child.pid, 0)
            child.returncode = 0
        return (used.ru_utime + used.ru_stime) * 1000, (time.perf_counter() - began) * 1000

    def counts(self, argv: list[str]) -> tuple[int, int, int]:
        """Return how many programs, how many of them tmux, and how many forks a command made."""
        log = self.root / "strace"
        trace = ["strace", "-f", "-qq", "-e", "trace=execve,fork,vfork,clone,clone3", "-o", str(log)]
        self.run([*trace, *argv])
        lines = log.read_text().splitlines()
        execs = [line for line in lines if "execve(" in line and line.endswith("= 0")]
        forks = [line for line in lines if "fork(" in line or "clone" in line]
        made = [line for line in forks if not line.endswith("<unfinished ...>") and " = -1" not in line]
        return len(execs), sum('/tmux"' in line for line in execs), len(made)


def measure(lab: Lab, what: str, argv: list[str], rounds: int, prepare: Callable[[], None]) -> Cost:
    """Return the counts and the least times of a command, each run after `prepare`."""
    prepare()
    execs, calls, forks = lab.counts(argv)
    times = []
    for _ in range(rounds):
        prepare()
        times.append(lab.run(argv))
    cpu, wall = (round(min(column), 1) for column in zip(*times, strict=True))
    return Cost(what, execs, calls, forks, cpu, wall)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="cost of loading the plugin")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not shutil.which("strace"):
        print("strace is needed: apt-get install strace", file=sys.stderr)
        return 1
    plugin = [str(REPO / "aiorch.tmux")]
    with tempfile.TemporaryDirectory() as root:
        lab = Lab(Path(root))
        try:
            costs = [measure(lab, "aiorch.tmux, first load", plugin, options.rounds, lab.fresh)]
            costs.append(measure(lab, "aiorch.tmux, reload", plugin, options.rounds, lambda: None))
            if TPM.exists():
                costs.append(measure(lab, "TPM without plugins", [str(TPM)], options.rounds, lab.fresh))
            else:
                print("TPM is not installed, so it is not in the table", file=sys.stderr)
        finally:
            lab.stop()
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=2))
        return 0
    print(f"{'':26}{'execs':>7}{'of tmux':>9}{'forks':>7}{'CPU ms':>8}{'wall ms':>9}")
    for cost in costs:
        print(f"{cost.what:26}{cost.execs:7}{cost.tmux_calls:9}{cost.forks:7}{cost.cpu_ms:8}{cost.wall_ms:9}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
