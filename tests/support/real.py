"""A worker of a real agent in a lab, behind a model that answers by script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiorch.answer import Answering, Dialog
from aiorch.journal import WorkerRow
from aiorch.paths import RunPaths
from aiorch.tmux.ask import Ask
from aiorch.workers.profile_file import load_profiles
from support import mock_claude, mock_codex
from support.lab import Lab, until
from support.mock_model import Answer, MockModel

CONFIG = 'mode = "interactive"\npermissions = "ask"\n'
NAME = "a"
START_SECONDS = 30.0


class RealWorker:
    """The only worker of a lab, an agent in its TUI that asks; `begin` starts it."""

    def __init__(self, lab: Lab, mock: MockModel, agent: str) -> None:
        self.lab, self.mock, self.agent = lab, mock, agent

    def begin(self) -> None:
        """Start the engine and the worker."""
        self.lab.start(CONFIG)
        self.lab.delegate({"name": NAME, "type": self.agent, "task": "please do it"})

    @property
    def row(self) -> WorkerRow:
        """Return the worker as the journal has it."""
        return self.lab.workers()[NAME]

    @property
    def screen(self) -> str:
        """Return what its pane shows."""
        return self.lab.tmux("capture-pane", "-p", "-t", self.row.pane)

    @property
    def segment(self) -> str:
        """Return the text in the status line."""
        return self.lab.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS")

    def explained(self) -> dict[str, Any]:
        """Return what `aiorch explain --json` says."""
        told: dict[str, Any] = json.loads(self.lab.aiorch("explain", NAME, "--json").stdout)
        return told

    def listed(self) -> dict[str, Any]:
        """Return its row of `aiorch ps --json`."""
        told: dict[str, Any] = json.loads(self.lab.aiorch("ps", "--json").stdout)["workers"][0]
        return told

    def wait(self, state: str, waits: str = "") -> None:
        """Wait until the worker is in a state, and for what it waits."""
        until(
            lambda: (str(self.row.state), self.row.waits) == (state, waits),
            f"{state} {waits}",
            START_SECONDS,
        )

    def steps(self) -> list[str]:
        """Return the states that it came through, each once in a row."""
        journal = self.lab.journal()
        states = [str(step.state) for step in journal.transitions()]
        journal.close()
        return [state for state, before in zip(states, ["", *states], strict=False) if state != before]

    def answer(self, *keys: str) -> None:
        """Press keys as `aiorch answer` does, each when the dialog is shown."""
        rules = load_profiles(None)[self.agent].states
        answering = Answering(Ask(str(self.lab.socket)), RunPaths(self.lab.run), self.row, rules)

        def shown() -> list[Dialog]:
            dialog = answering.look()
            return [dialog] if dialog.waits else []

        for key in keys:
            (dialog,) = until(shown, "a dialog")
            assert answering.press(dialog, key) == ""

    def press(self, key: str) -> None:
        """Press a key in its pane as a person there does."""
        self.lab.tmux("send-keys", "-t", self.row.pane, key)

    def say(self, text: str) -> None:
        """Type a prompt as a person does, and send it when the box shows it."""
        self.lab.tmux("send-keys", "-t", self.row.pane, "-l", text)
        until(lambda: text in self.screen, "the typed prompt")
        self.press("Enter")


@contextmanager
def real_worker(
    agent: str,
    program: Path,
    root: Path,
    *script: Answer,
    trusts: bool = True,
    size: tuple[int, int] = (160, 44),
) -> Iterator[RealWorker]:
    """Yield a worker of an agent whose program is installed, in a lab of its own."""
    with (mock_claude.MockClaude if agent == "claude" else mock_codex.MockCodex)(*script) as mock:
        nowhere = Path("/")
        theirs = (
            mock_claude.claude_env(nowhere, mock.url) if agent == "claude" else mock_codex.codex_env(nowhere)
        )
        env = {name: value for name, value in theirs.items() if name not in ("HOME", "PATH")}
        lab = Lab(root, env=env, size=size)
        lab.put_program(agent, f'#!/bin/sh\nexec "{program}" "$@"\n')
        if agent == "claude":
            mock_claude.prepare_home(lab.home, lab.project, trusts=trusts)
        else:
            mock_codex.prepare_home(lab.home, lab.project, mock.url, trusts=trusts)
        with lab:
            yield RealWorker(lab, mock, agent)
