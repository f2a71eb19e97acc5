"""An agent whose screen and session files a test writes."""

from __future__ import annotations

import json
import os
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiorch.journal import DirectiveRow
from support.lab import STEP, Lab, until
from support.sessions import first, stamp

CONFIG = f'default_type = "step"\nmax_workers = 16\n{STEP}'
# Prints what it is told, as an agent that draws; started again it is another process.
AGENT = '#!/bin/sh\necho $$ >>"$HOME/pids"\nwhile :; do cat "$HOME/say.$TMUX_PANE"; done\n'


class Actor:
    """An agent in a pane whose screen and session files the test writes."""

    def __init__(self, lab: Lab, pane: str = "%0") -> None:
        self.lab, self.say = lab, lab.home / f"say.{pane}"
        os.mkfifo(self.say)
        self.session = str(uuid.uuid4())
        coded = re.sub("[^a-zA-Z0-9]", "-", str(lab.project))
        self.folder = lab.home / ".claude" / "projects" / coded

    @property
    def file(self) -> Path:
        return self.folder / f"{self.session}.jsonl"

    def draw(self, text: str) -> None:
        """Clear the screen and show an answer, as Claude Code does."""
        rows = "\r\n  ".join(text.split("\n"))
        self.say.write_bytes(f"\x1b[2J\x1b[H\x1b[38;5;231m●\x1b[39m {rows}\r\n".encode())

    def write(self, text: str, *, time: str = "", **more: object) -> str:
        """Append an answer to the session file and return its id."""
        name = str(uuid.uuid4())
        record = {
            "type": "assistant",
            "uuid": name,
            "sessionId": self.session,
            "timestamp": time or datetime.now(UTC).isoformat(),
            "cwd": str(self.lab.project),
            "message": {"role": "assistant", "content": [{"type": "text", "text": text}]},
            **more,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps(record) + "\n")
        return name

    def state(self) -> str:
        """Return what the engine remembers of what the screen showed, as JSON."""
        journal = self.lab.journal()
        text = json.dumps(journal.meta("fusion"))
        journal.close()
        return text

    def both(self, text: str) -> None:
        self.draw(text)
        self.write(text)


def directive(task: str, **more: object) -> str:
    return f"[ORCHESTRATE] {json.dumps({'task': task, **more})}"


def taken(lab: Lab) -> list[DirectiveRow]:
    journal = lab.journal()
    rows = journal.directives()
    journal.close()
    return rows


def tasks(lab: Lab, *states: str) -> list[object]:
    wanted = states or ("running", "done")
    return [row.payload.get("task") for row in taken(lab) if row.state in wanted]


def asking(lab: Lab) -> list[object]:
    """Return what asks, once nothing that the screen showed waits for its session file any more."""
    until(lambda: not _waiting(lab), "all is decided")
    return tasks(lab, "asking")


def _waiting(lab: Lab) -> object:
    journal = lab.journal()
    state = journal.meta("fusion")
    journal.close()
    return state["waiting"] if isinstance(state, dict) else None


def pids(lab: Lab) -> list[int]:
    path = lab.home / "pids"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def other_window(lab: Lab, *words: str) -> Actor:
    """Start another agent of the kind in another session of tmux."""
    other = Actor(lab, "%other")
    program = ["env", "TMUX_PANE=%other", str(lab.root / "bin" / "claude"), *words]
    before = len(pids(lab))
    lab.tmux("new-session", "-d", "-s", "other", "-c", str(lab.project), "--", *program)
    until(lambda: len(pids(lab)) > before, "another agent runs")
    return other


def restarted(lab: Lab, killed: int) -> None:
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")


def say_and_wait(lab: Lab, actor: Actor, *expected: str) -> None:
    """Let the lead delegate the last of the expected tasks: what came before it is decided by then."""
    actor.both(directive(expected[-1]))
    until(lambda: expected[-1] in tasks(lab), f"{expected[-1]} runs")
    assert tasks(lab) == list(expected)


def wait_look() -> None:
    """Wait until the engine has read all that the pane printed, and has looked for files after it."""
    end = datetime.now(UTC) + timedelta(seconds=1.5)
    until(lambda: datetime.now(UTC) > end, "the engine has looked again")


def write_codex(lab: Lab, text: str) -> None:
    session = str(uuid.uuid4())
    path = lab.home / f".codex/sessions/2026/11/22/rollout-2026-11-22T10-11-12-{session}.jsonl"
    path.parent.mkdir(parents=True)
    content = [{"type": "output_text", "text": text}]
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": content}
    answer = {"timestamp": stamp(), "type": "response_item", "payload": item}
    records = (first("codex", session, str(lab.project)), answer)
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
