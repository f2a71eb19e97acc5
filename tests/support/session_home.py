"""Where an agent would keep the session files of a recording, and how they grow while it plays."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

Step = Callable[[], None]


def session_files(recording: Path) -> list[Path]:
    """Return the recording's own session files, the first begun first."""
    return sorted(recording.glob("session*"), key=_begun)


def _begun(source: Path) -> str:
    """Return the first time in a file of records, as text that sorts."""
    found = re.search(rb'"timestamp": *"([^"]+)"', source.read_bytes()) if source.suffix == ".jsonl" else None
    return found[1].decode() if found else source.name


def place(agent: str, source: Path, home: Path, project: Path) -> Path:
    """Return the path that the agent itself would use for a session file."""
    if agent == "opencode":
        return home / ".local/share/opencode/opencode.db"
    if agent == "aider":
        return project / ".aider.chat.history.md"
    name = _session(source)
    coded = re.sub("[^a-zA-Z0-9]", "-", str(project))
    return {
        "claude": home / f".claude/projects/{coded}/{name}.jsonl",
        "codex": home / f".codex/sessions/2026/11/22/rollout-2026-11-22T10-00-00-{name}.jsonl",
        "gemini": home / f".gemini/tmp/{project.name}/chats/session-2026-11-22T10-00-{name[:8]}.jsonl",
        "qwen": home / f".qwen/projects/{coded}/chats/{name}.jsonl",
        "copilot": home / f".copilot/session-state/{name}/events.jsonl",
    }[agent]


def growth(agent: str, source: Path, target: Path) -> Iterator[Step]:
    """Yield the writes by which a session file comes to be: a line, an answer or a row each."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if agent == "opencode":
        yield from _rows(source, target)
        return
    data = source.read_bytes()
    # Aider writes a whole answer, and what stands around it, at once.
    cuts = [match.end() for match in re.finditer(rb"\n(?=\n?#### )" if agent == "aider" else rb"\n", data)]
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield _Append(target, data[start:end])


class _Append:
    def __init__(self, target: Path, data: bytes) -> None:
        self._target, self._data = target, data

    def __call__(self) -> None:
        with self._target.open("ab") as file:
            file.write(self._data)


class _Insert:
    def __init__(self, target: Path, table: str, row: tuple[object, ...]) -> None:
        self._target, self._table, self._row = target, table, row

    def __call__(self) -> None:
        marks = ", ".join("?" * len(self._row))
        with closing(sqlite3.connect(self._target, isolation_level=None)) as db:
            db.execute(f"INSERT INTO {self._table} VALUES ({marks})", self._row)


def _rows(source: Path, target: Path) -> Iterator[Step]:
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as db:
        schema = [row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
        rows = {
            table: db.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()
            for table in ("session", "message", "part")
        }

    def create() -> None:
        with closing(sqlite3.connect(target, isolation_level=None)) as made:
            made.execute("PRAGMA journal_mode=wal")
            made.executescript(";".join(schema))

    yield create
    for table in ("session", "message", "part"):
        for row in rows[table]:
            yield _Insert(target, table, row)


def _session(source: Path) -> str:
    """Return the id of the conversation that a session file begins with."""
    for line in source.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        for part in (record, record.get("data"), record.get("payload")):
            for name in ("sessionId", "session_id"):
                if isinstance(part, dict) and isinstance(part.get(name), str):
                    return str(part[name])
    raise ValueError(f"{source} names no session")
