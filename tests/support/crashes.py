"""What an engine is killed in the midst of, and how to see that nothing came of it."""

from __future__ import annotations

import itertools
import os
import signal
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from aiorch.ui.status import StatusStyle, status_text
from support.actor import Actor, directive
from support.lab import REPO, STEP, Lab, until
from support.lives import check_lives
from support.repository import Repo

BEFORE = f"""
import sys
sys.path.append({str(REPO / "tests")!r})
from support import failpoints
failpoints.install({{folder!r}})
"""
NEVER = 10**9
READS = ("list-panes", "list-clients", "capture-pane", "display-message", "show-options")


class Crashes:
    """A run whose engine dies where it is told to, and what its workers wrote down."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.ledger = lab, lab.project / "ledger"
        self._orders, self._trace = lab.root / "orders", lab.root / "trace"
        self.ledger.touch()
        lab.use_plugin(BEFORE.format(folder=str(lab.root)))

    def note(self, token: str) -> str:
        """Return the command that puts a token into the ledger."""
        return f"echo {token} >>ledger"

    def order(self, *counts: int) -> None:
        """Let the engine die at the `count`-th effect from now on, the one after it at its own, and so on."""
        self._trace.write_text("")
        whole = self._orders.with_suffix(".new")
        whole.write_text(" ".join(map(str, [time.time_ns(), *counts])))
        whole.rename(self._orders)

    def disarm(self) -> None:
        """Let no engine die any more, and none be taken for one that always dies."""
        self._orders.unlink(missing_ok=True)
        for path in (self.lab.home / ".local/state/aiorch/runs").glob("*/restarts"):
            path.unlink(missing_ok=True)

    @property
    def killed(self) -> int:
        """Return how often an engine died since the last order."""
        return self._trace.read_text().split("\n").count("killed")

    @property
    def effects(self) -> list[str]:
        """Return the effects since the last order."""
        return self._trace.read_text().split("\n")[:-1]

    def wait_noted(self, *tokens: str) -> None:
        until(lambda: set(tokens) <= set(self.ledger.read_text().split()), f"{tokens} ran")

    def wait_right(self, *tokens: str) -> None:
        """Wait until the engine is there and all is done, then check what was done."""
        self.wait_noted(*tokens)
        until(self._is_over, f"all is over after {tokens}")
        assert all(times == 1 for times in Counter(self.ledger.read_text().split()).values()), tokens
        self._check_panes()
        journal = self.lab.journal()
        check_lives(journal)
        journal.close()

    def _is_over(self) -> bool:
        journal = self.lab.journal()
        rows, asking, counts = journal.workers(), journal.asking(), journal.counts()
        open_directives = [row for row in journal.directives() if row.state in ("running", "asking")]
        journal.close()
        shown = status_text(counts, asking, StatusStyle())
        segment = self.lab.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS")
        return (
            not open_directives
            and all(row.state in ("done", "killed") for row in rows)
            and segment == f"AIORCH_STATUS={shown}"
        )

    def _check_panes(self) -> None:
        """Check that every pane of ours is known as such, and none runs any more."""
        known = {row.action for row in self.lab.workers().values()}
        for command, action, dead in self.lab.panes("pane_start_command", "@aiorch_action", "pane_dead"):
            if "worker.sh" in command:
                assert (action in known, dead) == (True, "1"), (command, action)


class Rounds:
    """One thing done again and again: first as it is, then with an engine that dies before each effect of it.

    Every `stride`-th effect has its round. With `begun` the engine dies at that effect first, and what is
    tried are the effects of the one that takes up the run.
    """

    def __init__(self, crashes: Crashes, stride: int, begun: int | None = None) -> None:
        self._crashes, self._stride = crashes, stride
        self._before = () if begun is None else (begun,)
        self._numbers, self._died = [NEVER], 0
        self._round = -1

    def __iter__(self) -> Iterator[int]:
        """Yield the number of each round; `arm` and `disarm` are to be called in it."""
        for self._round in itertools.count():
            if self._round == len(self._numbers):
                break
            yield self._round
        # How often tmux is asked, and what comes in one read, differs: the last effects may not come.
        assert self._died >= max(1, 0.8 * (len(self._numbers) - 2))

    def arm(self) -> None:
        """Let the engine die from now on, as this round wants it."""
        self._crashes.order(*self._before, self._numbers[self._round])

    def disarm(self) -> None:
        """Note what came of it, and let no engine die any more."""
        if self._round == 0:
            effects = self._crashes.effects
            effects = effects[effects.index("killed") + 1 :] if self._before else effects
            self._numbers += telling(effects)[:: self._stride]
        self._died += self._crashes.killed > len(self._before)
        self._crashes.disarm()


class Step(ABC):
    """One kind of thing that an engine does, set off anew for each crash."""

    def __init__(self, crashes: Crashes) -> None:
        self.crashes, self.lab = crashes, crashes.lab

    @abstractmethod
    def begin(self, token: str) -> None:
        """Set it off."""

    def finish(self, token: str) -> None:  # noqa: B027 - most steps need nothing
        """Do what the user does in the midst of it."""

    def tokens(self, token: str) -> list[str]:
        """Return what is in the ledger in the end."""
        return [token]


class Printed(Step):
    """The lead prints a directive."""

    def begin(self, token: str) -> None:
        self.lab.say({"task": self.crashes.note(token)})


class Stalled(Step):
    """The lead prints a directive that does not come to its log."""

    def begin(self, token: str) -> None:
        with suppress(ProcessLookupError):
            os.kill(int((self.lab.run / "pipe.pid").read_text()), signal.SIGSTOP)
        self.lab.say({"task": self.crashes.note(token)})


class Recorded(Step):
    """The lead's session file holds a directive; nothing is on its screen."""

    def __init__(self, crashes: Crashes) -> None:
        super().__init__(crashes)
        self._actor = Actor(self.lab)

    def begin(self, token: str) -> None:
        self._actor.write(directive(self.crashes.note(token)))


class Called(Step):
    """The lead calls the command."""

    def begin(self, token: str) -> None:
        self.lab.delegate((f"w{token}", self.crashes.note(token)))


class Answered(Step):
    """A directive asks, and the user says yes."""

    def begin(self, token: str) -> None:
        specs = [{"name": f"w{token}", "type": "own", "task": self.crashes.note(token)}]
        self.lab.say({"task": "ask first", "workers": specs})

    def finish(self, token: str) -> None:
        until(self._asks, "it asks")
        self.lab.aiorch("approve")

    def _asks(self) -> bool:
        journal = self.lab.journal()
        asking = journal.asking()
        journal.close()
        return bool(asking)


class Retried(Step):
    """A worker fails and is tried again by itself."""

    def begin(self, token: str) -> None:
        tried = self.lab.root / f"tried-{token}"
        once = f"[ -e {tried} ] || {{ touch {tried}; exit 1; }}"
        self.lab.delegate((f"w{token}", f"{once}; {self.crashes.note(token)}"))


class Again(Step):
    """The user has a worker that is done tried once more."""

    def begin(self, token: str) -> None:
        first = self.lab.root / f"first-{token}"
        once = f"[ -e {first} ] || {{ touch {first}; exit 0; }}"
        self.lab.delegate((f"w{token}", f"{once}; {self.crashes.note(token)}"))

    def finish(self, token: str) -> None:
        name = f"w{token}"
        until(lambda: name in self.lab.workers() and self.lab.workers()[name].state == "done", "it is done")
        self.lab.aiorch("retry", name)


class Killed(Step):
    """The user ends a worker that works."""

    def begin(self, token: str) -> None:
        self.lab.delegate((f"w{token}", f"{self.crashes.note(token)}; exec sleep 60"))

    def finish(self, token: str) -> None:
        self.crashes.wait_noted(token)
        self.lab.aiorch("kill", f"w{token}")


class Held(Step):
    """The user holds a worker that works, and lets it go on."""

    def begin(self, token: str) -> None:
        gate = self.lab.root / f"gate-{token}"
        wait = f"while [ ! -e {gate} ]; do sleep 0.02; done"
        self.lab.delegate((f"w{token}", f"{wait}; {self.crashes.note(token)}"))

    def finish(self, token: str) -> None:
        name = f"w{token}"
        until(lambda: name in self.lab.workers() and self.lab.workers()[name].pid, "it works")
        self.lab.aiorch("pause", name)
        (self.lab.root / f"gate-{token}").touch()
        self.lab.aiorch("resume", name)


class Queued(Step):
    """Three workers with room for two, the last of which waits for the first."""

    def begin(self, token: str) -> None:
        specs: list[dict[str, object]] = [
            {"name": f"w{name}", "type": "step", "task": self.crashes.note(name)}
            for name in self.tokens(token)
        ]
        specs[2]["after"] = [specs[0]["name"]]
        self.lab.delegate(*specs)

    def tokens(self, token: str) -> list[str]:
        return [f"{token}{letter}" for letter in "abc"]


class Apart(Step):
    """The worker gets a worktree of its own."""

    def __init__(self, crashes: Crashes) -> None:
        super().__init__(crashes)
        self._repo = Repo(self.lab.project, {"a.txt": "a"})
        self._tokens: list[str] = []

    def begin(self, token: str) -> None:
        self._tokens.append(token)
        task = f"cat a.txt && echo {token} >>{self.crashes.ledger}"
        self.lab.delegate({"name": f"w{token}", "type": "apart", "task": task})

    def finish(self, token: str) -> None:
        self.crashes.wait_noted(token)
        # One for each, whatever an engine died of.
        assert self._repo.branches == [*sorted(f"aiorch/w{each}" for each in self._tokens), "main"]
        assert self._repo.git("worktree", "list").count("\n") == len(self._tokens)


STEPS: dict[str, type[Step]] = {
    "printed": Printed,
    "stalled": Stalled,
    "recorded": Recorded,
    "called": Called,
    "answered": Answered,
    "retried": Retried,
    "again": Again,
    "killed": Killed,
    "held": Held,
    "queued": Queued,
    "apart": Apart,
}
CONFIG = f"""
default_type = "step"
max_workers = 2
max_per_minute = 0
retries = 1
retry_delay = 0.05
[trust.plain]
roles = "run"
{STEP}
[types.own]
command = ["sh", "-c", "{{task}}"]
[types.apart]
command = ["sh", "-c", "{{task}}"]
isolation = "worktree"
"""


def telling(effects: list[str]) -> list[int]:
    """Return the numbers of effects; what only asks tmux changes nothing before what comes next."""
    return [n for n, name in enumerate(effects, 1) if name.removeprefix("tmux ") not in READS]
