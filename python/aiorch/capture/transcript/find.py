"""Finding the session file that a running agent writes, with no set-up by the user.

What names it decides: the agent's own register of processes, an open file, the command line. Else it
is the one session of the agent's directory that was written since the agent began, as long as no other
agent of its kind is there. All else is given as uncertain, and never chosen silently.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from aiorch.capture.transcript.locate import files, lead
from aiorch.capture.transcript.locate.aider import AiderStore
from aiorch.capture.transcript.locate.codex import CodexStore
from aiorch.capture.transcript.locate.copilot import CopilotStore
from aiorch.capture.transcript.locate.found import Found, Store
from aiorch.capture.transcript.locate.gemini import GeminiStore
from aiorch.capture.transcript.locate.judge import alone, judge
from aiorch.capture.transcript.locate.opencode import OpenCodeStore
from aiorch.capture.transcript.locate.projects import ClaudeStore, QwenStore

__all__ = ["Found", "find", "find_ended", "places"]

_STORES: Mapping[str, Store] = {
    "aider": AiderStore(),
    "claude": ClaudeStore(),
    "codex": CodexStore(),
    "copilot": CopilotStore(),
    "gemini": GeminiStore(),
    "opencode": OpenCodeStore(),
    "qwen": QwenStore(),
}


def find(
    format: str, pid: int, cwd: str, environment: Mapping[str, str], started: float | None = None
) -> list[Found]:
    """Return the session files that the agent `pid` writes, best first; empty when there is none (yet).

    `environment` is that of the process, not ours; `started` in seconds since the epoch, by default what
    the process table says. An agent whose home is another file system than ours (a container) has none.
    Takes a few ms with hundreds of sessions: no session is read beyond its first and last lines.
    """
    store = _STORES.get(format)
    agent = lead.read(format, pid, cwd, environment, started) if store else None
    if store is None or agent is None:
        return []
    root = store.root(environment, agent.home)
    if not root.is_absolute() or not lead.sees_the_same(pid, root):
        return []
    named = store.named(agent)
    return judge(agent, store) if named is None else named


def find_ended(
    format: str, cwd: str, environment: Mapping[str, str], started: float, taken: Collection[tuple[Path, str]]
) -> Found | None:
    """Return the session file that an agent wrote which has ended; None when that is not certain.

    It is the one of its directory that was begun since it `started` and is none of those `taken` (file and
    conversation), as long as no other agent of its kind is there.
    """
    store = _STORES.get(format)
    home = environment.get("HOME", "")
    if store is None or not home.startswith("/"):
        return None
    agent = lead.Lead(format, 0, (), (format,), cwd, environment, started, Path(home))
    return alone(agent, store, taken) if store.root(environment, agent.home).is_absolute() else None


def places(format: str, pid: int, cwd: str, environment: Mapping[str, str]) -> dict[Path, Path]:
    """Return the folders in which a new session file would show, each with the folder to watch for it.

    They are the same where the folder is there; else it is the nearest one above that is: ask again when
    something appears in that which leads to the folder.
    """
    store = _STORES.get(format)
    agent = lead.read(format, pid, cwd, environment, None) if store else None
    if store is None or agent is None:
        return {}
    there = {folder: files.nearest(folder) for folder in store.places(agent)}
    return {folder: watched for folder, watched in there.items() if watched is not None}
