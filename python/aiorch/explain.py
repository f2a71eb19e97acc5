"""`aiorch explain`: the state that a stored screen shows, and the rule that says so."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from aiorch import paths
from aiorch.capture.screen import Screen
from aiorch.errors import ExplainError, UsageError
from aiorch.ui.terminal import printable
from aiorch.workers.profile import AgentProfile
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.state import Glance, Verdict, judge
from aiorch.workers.state_rules import StateRules

MAX_BYTES = 4 << 20
"""Of a screen's file; the largest pane has far fewer."""

MAX_SIZE = 10000
"""Columns or rows that tmux 3.3a gives a window at most."""

# Colours and links change no text; anything else moves the cursor.
_COLOURS = re.compile(r"\x1b(?:\[[0-9;:]*m|\][^\x07\x1b]*(?:\x07|\x1b\\)|\([0-9A-B])|[\x0e\x0f]")
# A pane of a program that is no agent, as recordings name it.
_NO_AGENT = {"plain": "shell"}


def explain(options: argparse.Namespace) -> int:
    """Print what a stored screen says about an agent's state, and return the exit code.

    Raises ExplainError when the file cannot be read, UsageError for a wrong size or without a file.
    """
    if options.screen is None:
        raise UsageError("name the file of a screen: aiorch explain --agent claude --screen FILE")
    for name in ("cols", "rows"):
        size = getattr(options, name)
        if size is not None and not 1 <= size <= MAX_SIZE:
            raise UsageError(f"--{name} must be from 1 to {MAX_SIZE}")
    text = _read(options.screen)
    glance = stored_glance(text, title=options.title, cols=options.cols, rows=options.rows)
    verdict = judge(rules_for(options.agent, load_profiles(paths.config_dir() / "profiles")), glance)
    print(_json(verdict) if options.json else _sentence(verdict), flush=True)  # noqa: T201 - the output
    return 0


def rules_for(agent: str, profiles: Mapping[str, AgentProfile]) -> StateRules:
    """Return the rules of an agent; those for any program when nobody knows it."""
    profile = profiles.get(_NO_AGENT.get(agent, agent))
    return profile.states if profile else StateRules()


def stored_glance(text: str, *, title: str = "", cols: int | None = None, rows: int | None = None) -> Glance:
    """Return what a pane showed whose rows are the lines of a text, as `capture-pane` prints them.

    The last `rows` lines count, all without it. A text with escape sequences other than colours is drawn.
    """
    plain = _COLOURS.sub("", text)
    lines = [line.rstrip() for line in plain.replace("\r\n", "\n").split("\n")]
    if "\x1b" in plain or "\r" in plain.replace("\r\n", "\n"):
        screen = Screen(cols or 80, rows or max(24, len(lines)))
        screen.feed_text(re.sub(r"(?<!\r)\n", "\r\n", text))
        screen.flush()
        lines = [row.text for row in screen.view()]
    elif lines and not lines[-1]:
        # The newline that ends the last row.
        lines.pop()
    shown = tuple(lines[-rows:] if rows else lines)
    return Glance(shown, title, cols or max((len(line) for line in shown), default=80))


def _read(name: str) -> str:
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ExplainError(f"{name} cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        raise ExplainError(f"{name} is larger than any screen ({MAX_BYTES >> 20} MiB)")
    return raw.decode("utf-8", "replace")


def _json(verdict: Verdict) -> str:
    record = {"state": str(verdict.state), "reason": verdict.reason, "rule": verdict.rule}
    return json.dumps(record | {"source": verdict.source}, ensure_ascii=False)


def _sentence(verdict: Verdict) -> str:
    reason = f": {verdict.reason}" if verdict.reason else ""
    return printable(f"{verdict.state}{reason}") + f"\nby its {verdict.source}, rule {verdict.rule}"
