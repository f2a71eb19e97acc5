"""An agent in a worker's pane that shows and does what a test tells it."""

from __future__ import annotations

from aiorch.journal import WorkerRow
from support.lab import Lab, until

PROGRAM = """#!/bin/sh
strings=$HOME/strings-$AIORCH_WORKER
exec 3<&0
stty -icanon -echo
cat <&3 >>"$HOME/keys-$AIORCH_WORKER" &
[ -e "$strings" ] || mkfifo "$strings"
while :; do
  while IFS= read -r line; do
    case $line in exit*) exit "${line#exit }" ;; esac
    printf '%b' "$line"
  done <"$strings"
done
"""
PROFILE = """title = "Puppet"
[oneshot]
argv = ["{agent}", "{task}"]
[interactive]
argv = ["{agent}", "{task}"]
[states]
common = false
"""
for _state in ("working", "idle", "waiting", "error"):
    PROFILE += f"""
[[states.rules]]
name = "{_state}"
state = "{_state}"
region = "title"
match = '^STATE {_state} ?(?P<what>.*)'
reason = "{{what}}"
"""
CONFIG = 'mode = "interactive"\n'


class Puppet:
    """The worker `name` of a lab, whose program is the puppet, installed as `agent`."""

    def __init__(self, lab: Lab, name: str = "a", agent: str = "puppet") -> None:
        self.lab, self.name, self.agent = lab, name, agent

    def begin(self) -> None:
        """Start the worker and wait until it can be told something."""
        self.lab.delegate({"name": self.name, "type": self.agent, "task": "dance"})
        until((self.lab.home / f"strings-{self.name}").exists, "it runs")

    def draw(self, text: str) -> None:
        """Print text; escapes as in printf."""
        with (self.lab.home / f"strings-{self.name}").open("w") as strings:
            strings.write(f"{text}\n")

    def title(self, state: str) -> None:
        """Set the title of the pane, by which this agent tells its state."""
        self.draw(rf"\033]2;STATE {state}\007")

    @property
    def keys(self) -> str:
        """Return what was pressed in the pane."""
        return (self.lab.home / f"keys-{self.name}").read_text()

    @property
    def row(self) -> WorkerRow:
        """Return the worker as the journal has it."""
        return self.lab.workers()[self.name]

    def wait(self, state: str, waits: str | None = None) -> None:
        """Wait until the worker is in a state, and for what it waits."""
        until(
            lambda: str(self.row.state) == state and waits in (None, self.row.waits),
            f"{self.name} {state} {waits}",
        )


def install(lab: Lab, agent: str = "puppet") -> None:
    """Put the puppet's program and profile in place; before the engine starts."""
    lab.put_program(agent, PROGRAM)
    profiles = lab.home / ".config" / "aiorch" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / f"{agent}.toml").write_text(f'processes = ["{agent}"]\n{PROFILE}')
