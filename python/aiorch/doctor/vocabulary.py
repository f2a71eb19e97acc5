"""The words that may stand in a bug report: ours, and tmux's. What is not on a list here is left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from aiorch import workers
from aiorch.capture.directive import Source
from aiorch.doctor.words import Known
from aiorch.journal import DirectiveState, Tag, WorkerState

RUN_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
SHAPES = re.compile(r"%\d{1,6}|\$\d{1,6}|@\d{1,6}|\d{6}-\.[a-z]{0,8}(:\d{1,15})?")
"""Ids of tmux, names of log segments and places in them."""

_TYPES = ("simple", "sparc", "swarm", "auto")
_WORDS = frozenset(map(str, (*DirectiveState, *WorkerState, *Tag, *Source, *_TYPES)))
# Values of options of tmux's own; what else an option says may be the user's.
_TMUX = re.compile(
    r"\d{1,9}|on|off|both|failed|latest|largest|smallest|manual|previous|next|no-detached|top|bottom"
)
# Names below a run directory that we give.
_PARTS = frozenset(
    {"runs", "sessions", "profiles", "scripts", "python", "bin", "log", "inbox", "answers", "workers", "news"}
    | {"journal.db", "engine.log", "config.toml", "aiorch", "aiorch.tmux", "install.sh", "options.conf"}
)
# Whole texts of the event log; {worker} is a name, which is given as a number.
_EVENTS = (
    r"by the user",
    r"(?P<worker>[^\s:]+)",
    r"(?P<worker>[^\s:]+) in pane %\d+",
    r"(?P<worker>[^\s:]+): (exit|signal) \d+",
    r"(?P<worker>[^\s:]+): (stopped by the user|its pane was closed|ended without a record)",
    r"(?P<worker>[^\s:]+): attempt \d+ of \d+ in [\d.]+ s",
    r"\d+ workers?",
    r"\d+ working of \d+",
    r"\d+ waiting for a free place \(at most \d+ work at once\)",
    r"pane %\d+: again, after the engine was restarted",
    r"pane %\d+: (Claude Code|Codex|Gemini CLI|OpenCode|Copilot CLI|Qwen Code|Aider|claude-flow|no agent)",
    r"pane %\d+: a program we do not know: its directives ask first",
    r"the run goes on after tmux was lost",
    r"directives are read from the screen alone \(unverified\): (the agent is not a process of this pane"
    r"|no session file is known to be this agent's)",
    r"the primary pane is gone: no directives can come from it; workers go on",
    r"the log of the primary was interrupted \([a-z ]{1,60}\): (the agent's session file has what was said"
    r" meanwhile|what was printed meanwhile was read from the pane|a directive that was printed meanwhile"
    r" and is not to be seen any more is missing)",
)


@cache
def agents() -> frozenset[str]:
    """Return the names of the agents whose profiles are ours."""
    folder = Path(workers.__file__).with_name("profiles")
    return frozenset(path.stem for path in folder.glob("*.toml"))


def known_shape(text: str) -> str:
    """Return an id of tmux's as a word of ours, any other text as it is."""
    return Known(text) if SHAPES.fullmatch(text) else text


def known_agent(name: str) -> str:
    """Return an agent's name, as a word of ours if it is one."""
    return Known(name) if name in agents() else name


def word(text: str) -> str | None:
    """Return a text that is one word of ours or one shape of ours, None for any other."""
    return text if text in _WORDS or text in agents() or SHAPES.fullmatch(text) else None


def tmux_value(text: str) -> str | None:
    """Return the value of one of tmux's own options if it is a number or a word of tmux's."""
    return text if _TMUX.fullmatch(text) else None


def part(name: str) -> str:
    """Return one part of a path, an ellipsis for one that we did not name."""
    return name if name in _PARTS or RUN_NAME.fullmatch(name) else "…"


def event(text: str, workers: Mapping[str, int]) -> str | None:
    """Return the text of an event when it holds nobody's words, with workers by number; else None."""
    for pattern in _EVENTS:
        found = re.fullmatch(pattern, text, re.ASCII)
        if found is None:
            continue
        name = found.groupdict().get("worker")
        if name is None:
            return text
        if name in workers:
            return f"worker {workers[name]}{text[len(name) :]}"
    return None
