"""An engine killed before any one of its effects: every directive runs once, and nothing is left behind."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator

import pytest

from aiorch.ui.status import StatusStyle, status_text
from support.lab import REPO, STEP, Lab, until

BEFORE = f"""
import sys
sys.path.append({str(REPO / "tests")!r})
from support import failpoints
failpoints.install({{folder!r}})
"""
CONFIG = f"""
default_type = "step"
max_workers = 2
retries = 1
retry_delay = 0.05
[trust.plain]
roles = "run"
{STEP}"""
NEVER = 10**9


class Crashes:
    """A run whose engine dies where it is told to, and what its workers wrote down."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.ledger = lab, lab.project / "ledger"
        self.orders, self.trace = lab.root / "orders", lab.root / "trace"
        self.ledger.touch()
        self.trace.touch()
        lab.use_plugin(BEFORE.format(folder=str(lab.root)))

    def note(self, token: str) -> str:
        """Return the command that puts a token into the ledger."""
        return f"echo {token} >>ledger"

    def order(self, *counts: int) -> None:
        whole = self.orders.with_suffix(".new")
        whole.write_text(" ".join(map(str, [time.time_ns(), *counts])))
        whole.rename(self.orders)

    def disarm(self) -> None:
        self.orders.unlink(missing_ok=True)
        (self.lab.run / "restarts").unlink(missing_ok=True)

    def killed(self) -> int:
        return self.trace.read_text().split("\n").count("killed")

    def effects(self) -> list[str]:
        return self.trace.read_text().split("\n")[:-1]

    def wait_noted(self, *tokens: str) -> None:
        until(lambda: set(tokens) <= set(self.ledger.read_text().split()), f"{tokens} ran")

    def wait_right(self, *tokens: str) -> None:
        """Wait until the engine is there and all is done, then check what was done."""
        self.wait_noted(*tokens)
        until(self._is_over, f"all is over after {tokens}")
        assert all(times == 1 for times in Counter(self.ledger.read_text().split()).values()), tokens

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
    def begin(self, token: str) -> None:
        self.lab.say({"task": self.crashes.note(token)})


class Called(Step):
    def begin(self, token: str) -> None:
        self.lab.delegate((f"w{token}", self.crashes.note(token)))


class Retried(Step):
    def begin(self, token: str) -> None:
        tried = self.lab.root / f"tried-{token}"
        self.lab.delegate(
            (f"w{token}", f"[ -e {tried} ] || {{ touch {tried}; exit 1; }}; {self.crashes.note(token)}")
        )


class Killed(Step):
    def begin(self, token: str) -> None:
        self.lab.delegate((f"w{token}", f"{self.crashes.note(token)}; exec sleep 60"))

    def finish(self, token: str) -> None:
        self.crashes.wait_noted(token)
        self.lab.aiorch("kill", f"w{token}")


class Waiting(Step):
    """Three that follow one another, with room for two."""

    def begin(self, token: str) -> None:
        specs: list[dict[str, object]] = [
            {"name": f"w{name}", "type": "step", "task": self.crashes.note(name)}
            for name in self.tokens(token)
        ]
        specs[2]["after"] = [specs[0]["name"]]
        self.lab.delegate(*specs)

    def tokens(self, token: str) -> list[str]:
        return [f"{token}{letter}" for letter in "abc"]


STEPS: dict[str, type[Step]] = {
    "printed": Printed,
    "called": Called,
    "retried": Retried,
    "killed": Killed,
    "waiting": Waiting,
}


def explore(step: Step, stride: int) -> Iterator[tuple[int, list[str]]]:
    """Yield, for every `stride`-th effect of the step, its number and the effects until the engine died."""
    crashes = step.crashes
    effects = _whole(step)
    # What is asked of tmux over and over changes nothing between.
    telling = [n for n, name in enumerate(effects, 1) if n == 1 or name != effects[n - 2]]
    for number in telling[::stride]:
        token = f"t{number}"
        crashes.trace.write_text("")
        crashes.order(number)
        step.begin(token)
        step.finish(token)
        yield number, effects[:number]
        crashes.disarm()


def _whole(step: Step) -> list[str]:
    """Do the step once without a crash and return its effects."""
    crashes = step.crashes
    crashes.order(NEVER)
    step.begin("t0")
    step.finish("t0")
    crashes.wait_right()
    crashes.disarm()
    effects = crashes.effects()
    print("\n".join(effects))
    return effects


@pytest.mark.parametrize("name", STEPS)
def test_an_engine_killed_at_any_effect_does_everything_once(lab: Lab, name: str) -> None:
    crashes = Crashes(lab)
    lab.start(CONFIG)
    step = STEPS[name](crashes)
    died = 0
    tokens = step.tokens("t0")
    for number, _ in explore(step, stride=1):
        tokens += step.tokens(f"t{number}")
        crashes.wait_right(*tokens)
        died += crashes.killed()
    assert died
    print(died)
