"""The plugin directory that `aiorch up` hands to Claude Code; its files are kept beside this module.

`python -m aiorch.teach.claude_plugin` writes them anew after a change of the lesson.
"""

from __future__ import annotations

import json
from pathlib import Path

from aiorch import __version__
from aiorch.teach.lesson import FENCE, lesson

FOLDER = Path(__file__).with_name("claude-plugin")

# A process of its own for every start, clearing and compacting of a conversation: so `cat`, and no Python.
_HOOK = 'cat "${CLAUDE_PLUGIN_ROOT}/hooks/session-start.json"'
_PROMPT = '/bin/sh "${CLAUDE_PLUGIN_ROOT}/hooks/prompt.sh"'
_PROMPT_SCRIPT = """#!/bin/sh
# With each prompt: tells the lead what became of the directives that it printed, once. No Python for that.
[ -n "${TMUX_PANE-}" ] && [ -z "${AIORCH_WORKER-}" ] || exit 0
run=$(tmux show-options -qv -t "$TMUX_PANE" @aiorch_run 2>/dev/null)
file=$run/acknowledged/$TMUX_PANE
[ -n "$run" ] && [ -s "$file" ] && mv "$file" "$file.told" 2>/dev/null || exit 0
echo 'aiorch took what you delegated:'
cat "$file.told"
"""
_STOP = '/bin/sh "${CLAUDE_PLUGIN_ROOT}/hooks/stop.sh"'
_STOP_SECONDS = 24 * 3600
_STOP_SCRIPT = """#!/bin/sh
# When the lead's turn is over: waits in the background for its workers, and wakes it with their results.
[ -n "${TMUX_PANE-}" ] && [ -z "${AIORCH_WORKER-}" ] || exit 0
root=$(cd "${0%/*}/../../../../.." && pwd -P) && [ -x "$root/scripts/aiorch" ] || exit 0
exec "$root/scripts/aiorch" report
"""
_DESCRIPTION = (
    "How to delegate work to worker agents in tmux panes beside you (aiorch). Use it when work splits into"
    " independent parts, or when the user speaks of workers, delegating or working in parallel."
)
_BRIEF = (
    "You are the lead agent of an aiorch session: you can hand work to worker agents, which appear in tmux"
    ' panes beside you. To delegate, print one line of the form "[ORCHESTRATE] {...}" in a code fence: the'
    ' marker first, then one JSON object with "task" (what is to be done) and "id" (a new one each time).'
    " Never print such a line as an example: each one is carried out. Before you delegate for the first time,"
    " load the skill aiorch:delegate: it says when to delegate, how to plan the workers yourself, and how to"
    " see their results."
)


def files() -> dict[str, str]:
    """Return the text of every file of the plugin directory, by its path in it."""
    manifest = {
        "name": "aiorch",
        "version": __version__,
        "description": "Delegate work to worker agents in tmux panes.",
        "author": {"name": "aiorch"},
    }
    hook = {"type": "command", "command": _HOOK, "timeout": 5}
    # In the background: the turn is over at once, and exit code 2 wakes the agent later.
    stop = {"type": "command", "command": _STOP, "async": True, "asyncRewake": True, "timeout": _STOP_SECONDS}
    prompt = {"type": "command", "command": _PROMPT, "timeout": 5}
    hooks = {"SessionStart": hook, "UserPromptSubmit": prompt, "Stop": stop}
    context = {"hookEventName": "SessionStart", "additionalContext": _BRIEF}
    return {
        ".claude-plugin/plugin.json": _json(manifest),
        "hooks/hooks.json": _json({"hooks": {name: [{"hooks": [one]}] for name, one in hooks.items()}}),
        "hooks/prompt.sh": _PROMPT_SCRIPT,
        "hooks/stop.sh": _STOP_SCRIPT,
        "hooks/session-start.json": _json({"hookSpecificOutput": context}),
        "skills/delegate/SKILL.md": (
            f"---\nname: delegate\ndescription: {json.dumps(_DESCRIPTION)}\n---\n\n"
            f"# Delegating to worker agents\n\n{lesson(FENCE)}"
        ),
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


if __name__ == "__main__":
    for name, text in files().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
