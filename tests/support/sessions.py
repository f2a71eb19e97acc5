"""First records of session files, as the agents write them (seen in the versions that the corpus names)."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from aiorch.capture.transcript.locate.projects import folder_name
from support.standin import StandIn

SESSION_TABLE = (
    "CREATE TABLE IF NOT EXISTS session (id text PRIMARY KEY, parent_id text, directory text NOT NULL,"
    " time_created integer NOT NULL, time_updated integer NOT NULL)"
)


def new_id() -> str:
    return str(uuid.uuid4())


def stamp(seconds: float | None = None) -> str:
    return datetime.fromtimestamp(seconds or time.time(), UTC).isoformat().replace("+00:00", "Z")


def path_of(agent: StandIn, session: str, directory: str = "") -> Path:
    """Return where an agent keeps a session."""
    here = directory or str(agent.cwd.resolve())
    home = agent.home
    return {
        "aider": Path(here) / ".aider.chat.history.md",
        "claude": home / ".claude/projects" / folder_name(here) / f"{session}.jsonl",
        "codex": home / f".codex/sessions/2026/11/22/rollout-2026-11-22T10-11-12-{session}.jsonl",
        "copilot": home / f".copilot/session-state/{session}/events.jsonl",
        "gemini": home / f".gemini/tmp/{Path(here).name}/chats/session-2026-11-22T10-11-{session[:8]}.jsonl",
        "opencode": home / ".local/share/opencode/opencode.db",
        "qwen": home / ".qwen/projects" / folder_name(here) / f"chats/{session}.jsonl",
    }[agent.format]


def first(format: str, session: str, directory: str, time: str = "", **more: object) -> object:
    """Return the first record that tells of a session's directory."""
    time = time or stamp()
    if format == "aider":
        return f"\n# aider chat started at {time}\n\n"
    if format == "codex":
        meta = {"id": session, "timestamp": time, "cwd": directory, "source": "cli", **more}
        meta["base_instructions"] = {"text": 'x"cwd": "/"' * 4000}
        return {"timestamp": time, "type": "session_meta", "payload": meta}
    if format == "copilot":
        data = {"sessionId": session, "startTime": time, "context": {"cwd": directory}, **more}
        return {"type": "session.start", "data": data, "timestamp": time}
    if format == "gemini":
        digest = hashlib.sha256(directory.encode()).hexdigest()
        return {"sessionId": session, "projectHash": digest, "startTime": time, "kind": "main", **more}
    return {"type": "user", "sessionId": session, "timestamp": time, "cwd": directory, **more}


def write(agent: StandIn, session: str, directory: str = "", time: str = "", **more: object) -> Path:
    """Let an agent begin a session, or go on with it, and return the file."""
    here = directory or str(agent.cwd.resolve())
    path = path_of(agent, session)
    if agent.format == "opencode":
        return agent.sql(path, *rows(session, here))
    return agent.append(path, first(agent.format, session, here, time, **more))


def rows(
    session: str, directory: str, created: float | None = None, updated: float | None = None
) -> list[tuple[str, list[object]]]:
    """Return the statements that put a session into OpenCode's database, or touch it."""
    begun, last = int((created or time.time()) * 1000), int((updated or time.time()) * 1000)
    insert = "INSERT INTO session VALUES (?, NULL, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET time_updated = ?"
    return [
        ("PRAGMA journal_mode = WAL", []),
        (SESSION_TABLE, []),
        (insert, [session, directory, begun, last, last]),
    ]


def age(path: Path, seconds: float = 3600) -> None:
    """Make a file older than any process of the test."""
    past = time.time() - seconds
    os.utime(path, (past, past))
