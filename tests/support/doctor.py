"""`aiorch doctor` called in a pane, as a person does, and its remedies carried out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from support.lab import REPO, Lab


@dataclass(frozen=True)
class Found:
    """What one call of the doctor found."""

    code: int
    facts: dict[str, Any]
    findings: list[dict[str, Any]]
    problems: list[str]

    def of(self, area: str, *levels: str) -> list[dict[str, Any]]:
        """Return the findings of an area, notes and problems when no level is named."""
        wanted = levels or ("note", "problem")
        return [one for one in self.findings if one["area"] == area and one["level"] in wanted]

    def one(self, area: str, text: str) -> dict[str, Any]:
        """Return the only finding of an area that says this."""
        (found,) = [one for one in self.of(area) if text in one["text"]]
        return found

    @property
    def session(self) -> dict[str, Any]:
        """Return the facts of the first session with a run."""
        found: dict[str, Any] = self.facts["sessions"]["with_a_run"][0]
        return found


def inside(lab: Lab) -> dict[str, str]:
    """Return the environment of a shell in the lab's first pane."""
    pid = lab.tmux("display-message", "-p", "#{pid}")
    return {**lab.env, "TMUX": f"{lab.socket},{pid},0", "TMUX_PANE": "%0"}


def shell(lab: Lab, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell of the lab's first pane, with the command `aiorch` at hand."""
    words = f'#!/bin/sh\nexec {sys.executable} -E -s {lab.plugin / "python"} "$@"\n'
    lab.put_program("aiorch", words)
    return subprocess.run(
        ["sh", "-c", line], env={**inside(lab), **env}, cwd=lab.project, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def doctor(lab: Lab, **env: str) -> Found:
    done = shell(lab, "aiorch doctor --json", **env)
    assert done.stderr == "", done.stderr
    return Found(done.returncode, **json.loads(done.stdout))


def heal(lab: Lab, finding: dict[str, Any]) -> None:
    """Carry out the commands of a finding's remedy."""
    assert finding["commands"], finding
    for line in finding["commands"]:
        done = shell(lab, line)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def load_plugin(lab: Lab) -> None:
    """Load the plugin as tmux.conf does."""
    lab.tmux("run-shell", str(REPO / "aiorch.tmux"))


def forget_hooks(lab: Lab) -> None:
    """Let nobody start an engine again."""
    lab.kill_guard()
    lab.tmux("set-hook", "-gu", "client-detached[4207]")
