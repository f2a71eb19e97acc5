"""An agent with an input box of its own, whose state a test sets and whose words it can read."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from support.lab import Lab, until

PROGRAM = f"#!{sys.executable}\n" + Path(__file__).with_name("boxer_agent.py").read_text()
PROFILE = """title = "Boxer"
processes = ["boxer"]
[oneshot]
argv = ["{agent}", "{task}"]
[interactive]
argv = ["{agent}", "{task}"]
[input]
first = '''❯ (?!\\d)'''
above = '''─{3,}'''
below = '''─{3,}'''
pasted = '''\\[Pasted text #\\d+(?: \\+(?P<lines>\\d+) lines)?\\]'''
[states]
common = false
"""
for _state in ("working", "idle", "waiting"):
    PROFILE += f"""
[[states.rules]]
name = "{_state}"
state = "{_state}"
region = "title"
match = '^STATE {_state}'
reason = "its title says so"
"""
CONFIG = 'mode = "interactive"\n'


class Boxer:
    """The boxer in a pane of a lab: a worker by its name, or the `lead`."""

    def __init__(self, lab: Lab, name: str = "a") -> None:
        self.lab, self.name = lab, name

    def begin(self) -> None:
        """Start it as a worker and let its first turn end."""
        self.lab.delegate({"name": self.name, "type": "boxer", "task": "box with me"})
        until((self.lab.home / f"orders-{self.name}").exists, f"{self.name} runs")
        until(lambda: self.lab.workers()[self.name].worked, "it is seen at work")
        self.be("idle")
        until(lambda: self.lab.workers()[self.name].state == "done", "its turn is over")

    def be(self, order: str) -> None:
        """Let it be idle, working or in a dialog, draw nothing any more (mute), or exit."""
        orders, obeyed = (self.lab.home / f"{kind}-{self.name}" for kind in ("orders", "obeyed"))
        with orders.open("a") as file:
            file.write(f"{order}\n")
        count = orders.read_text().count("\n")
        if order != "exit":
            until(lambda: obeyed.exists() and obeyed.read_text() == str(count), f"{self.name} obeys")
        if order in ("idle", "working", "dialog"):
            state = "waiting" if order == "dialog" else order
            until(lambda: self.title == f"STATE {state}", f"{self.name} is {state}")

    def run(self, argv: list[str], text: str = "") -> str:
        """Let it run a command with a text on its standard input, and return what that printed."""
        told = self.lab.home / f"told-{time.time_ns()}"
        with (self.lab.home / f"orders-{self.name}").open("a") as file:
            file.write(f"run {json.dumps([argv, text, str(told)])}\n")
        until(lambda: told.exists() and told.read_text().endswith("\0"), "the command ends")
        return told.read_text()[:-1]

    @property
    def title(self) -> str:
        """Return the title of its pane."""
        return self.lab.tmux("display", "-p", "-t", self.pane, "#{pane_title}")

    @property
    def pane(self) -> str:
        """Return the pane that it is in."""
        return "%0" if self.name == "lead" else self.lab.workers()[self.name].pane

    @property
    def heard(self) -> list[str]:
        """Return what was sent off to it, prompt by prompt."""
        path = self.lab.home / f"heard-{self.name}"
        return path.read_text().split("\0")[:-1] if path.exists() else []

    @property
    def keys(self) -> str:
        """Return all that it read."""
        path = self.lab.home / f"keys-{self.name}"
        return path.read_text() if path.exists() else ""

    @property
    def screen(self) -> str:
        """Return what its pane shows."""
        return self.lab.tmux("capture-pane", "-p", "-t", self.pane)

    def type(self, text: str) -> None:
        """Type as its user does, and wait until it is drawn."""
        self.lab.tmux("send-keys", "-t", self.pane, "-l", text)
        until(lambda: text in self.screen, f"{text} is drawn")

    def type_unseen(self, text: str) -> None:
        """Type while nothing is drawn, and wait until it was read."""
        self.lab.tmux("send-keys", "-t", self.pane, "-l", text)
        until(lambda: self.keys.endswith(text), f"{text} is read")

    def press(self, key: str) -> None:
        """Press a key as its user does."""
        self.lab.tmux("send-keys", "-t", self.pane, key)

    def wait_heard(self, *texts: str) -> None:
        """Wait until it has heard so many prompts, and check what is in each."""
        until(lambda: len(self.heard) >= len(texts), f"{len(texts)} prompts: {self.heard}")
        assert [text in prompt for text, prompt in zip(texts, self.heard, strict=True)] == [True] * len(texts)

    def wait_told(self, text: str) -> None:
        """Wait until the event log tells why a message waits."""
        self.lab.wait_told("QUEUED", text)


def install(lab: Lab) -> None:
    """Put the program and its profile in place; before the engine starts."""
    lab.put_program("boxer", PROGRAM)
    profiles = lab.home / ".config" / "aiorch" / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    (profiles / "boxer.toml").write_text(PROFILE)


def quiet(seconds: float) -> None:
    """Let time pass in which nothing is to happen."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, "time passes")


def states(lab: Lab) -> dict[int, str]:
    """Return the states of all messages by their numbers."""
    journal = lab.journal()
    found = {row.number: str(row.state) for row in journal.messages()}
    journal.close()
    return found
