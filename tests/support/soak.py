"""An engine killed at random under load: what ran, what was lost, how soon it was back."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from aiorch.ui.status import StatusStyle, status_text
from support.actor import AGENT, Actor, directive
from support.lab import STEP, Lab, alive, until

CONFIG = f"""
default_type = "step"
max_workers = 4
max_per_minute = 0
max_per_run = 100000
[trust.plain]
roles = "run"
{STEP}"""
LONGEST_PAUSE = 0.5
LOAD_PAUSE = 0.15
LINES = '#!/bin/sh\nwhile :; do cat "$HOME/say.$TMUX_PANE"; done\n'


@dataclass(slots=True)
class Outcome:
    """What came of a soak; times in seconds from SIGKILL to a right status bar."""

    kills: int = 0
    said: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    refused: int = 0
    recoveries: list[float] = field(default_factory=list)


class Soak:
    """One lab under load; directives come as printed lines or in a session file, and by the command."""

    def __init__(self, lab: Lab, seed: int, *, agent: bool) -> None:
        self.lab, self.ledger = lab, lab.project / "ledger"
        self.outcome = Outcome()
        self._random = random.Random(seed)
        self._calls: list[subprocess.Popen[bytes]] = []
        self.ledger.touch()
        lab.be_primary(*("claude", AGENT) if agent else ("lines", LINES))
        lab.__enter__()
        self._actor = Actor(lab)
        self._say: Callable[[str], object] = self._actor.write if agent else self._print
        lab.start(CONFIG)

    def run(self, kills: int, progress: Callable[[int], None] = lambda _done: None) -> Outcome:
        """Kill the engine so often, let it all come to an end, and count."""
        while self.outcome.kills < kills:
            end = time.monotonic() + self._random.uniform(0, LONGEST_PAUSE)
            while time.monotonic() < end:
                self._load()
                time.sleep(LOAD_PAUSE * self._random.random())
            self._kill()
            progress(self.outcome.kills)
        self._finish()
        return self.outcome

    def _load(self) -> None:
        token = f"t{len(self.outcome.said)}"
        self.outcome.said.append(token)
        task = f"echo {token} >>ledger"
        if len(self.outcome.said) % 3:
            self._say(directive(task))
        else:
            argv = [sys.executable, "-E", "-s", str(self.lab.plugin / "python")]
            argv += ["--socket", str(self.lab.socket), "--session", "m", "run", task]
            with (self.lab.root / "calls").open("ab") as output:
                call = subprocess.Popen(
                    argv, env=self.lab.env, cwd=self.lab.project, stdout=output, stderr=output
                )
            self._calls.append(call)

    def _print(self, line: str) -> None:
        self._actor.say.write_text(f"{line}\n")

    def _kill(self) -> None:
        (pid,) = self.lab.engine_pids()
        # Each death counts for itself: it is not to be taken for an engine that always dies.
        (self.lab.run / "restarts").unlink(missing_ok=True)
        os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        self.outcome.kills += 1
        until(lambda: self.lab.engine_pids() not in ([], [pid]), "another engine")
        until(self._is_shown, "a right status bar")
        self.outcome.recoveries.append(time.monotonic() - begin)

    def _is_shown(self) -> bool:
        journal = self.lab.journal()
        shown = status_text(journal.counts(), journal.asking(), StatusStyle())
        journal.close()
        return self.lab.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS") == f"AIORCH_STATUS={shown}"

    def _finish(self) -> None:
        self.outcome.refused = sum(call.wait(timeout=60) != 0 for call in self._calls)
        until(self._is_over, "all workers have ended", 60)
        ran = Counter(self.ledger.read_text().split())
        self.outcome.lost = [token for token in self.outcome.said if not ran[token]]
        self.outcome.doubled = [token for token, times in ran.items() if times > 1]
        assert all(alive(pid) for pid in self.lab.engine_pids())

    def _is_over(self) -> bool:
        # What was said last may not have been read yet.
        rows = self.lab.workers().values()
        return len(rows) >= len(self.outcome.said) and all(row.state == "done" for row in rows)
