"""Whether a worker's agent came to the end of its turn by itself, by the session file that it writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aiorch.capture.transcript.last import read_last
from aiorch.capture.transcript.locate import files
from aiorch.engine.foreground import running_agent
from aiorch.engine.search import Search
from aiorch.engine.session_file import Agent
from aiorch.journal import WorkerRow
from aiorch.workers.profile import AgentProfile
from aiorch.workers.state import Verdict
from aiorch.workers.turn import unfinished_turn


@dataclass(slots=True)
class TurnFile:
    """The session file of an agent that runs; `format` is its profile's name."""

    format: str
    path: Path
    session: str = ""
    _seen: tuple[int, ...] = field(default=(), compare=False)
    _said: Verdict | None = field(default=None, compare=False)

    def read(self) -> Verdict | None:
        """Return what it says of a turn that is not at its own end."""
        seen = files.signature(self.path)
        if not seen or seen != self._seen:
            self._seen, self._said = seen, unfinished_turn(self.format, files.end(self.path))
        return self._said

    def has_answer(self, row: WorkerRow) -> bool:
        """Return whether the agent has said anything since its worker began."""
        since = (row.started or 0.0) - 1.0
        return bool(read_last(self.format, self.path, session=self.session, since=since, task=row.task).text)


def turn_file(search: Search, profile: AgentProfile, pid: int) -> TurnFile | None:
    """Return the session file of the agent below the process `pid`, None when it is not known for certain."""
    running = running_agent({profile.name: profile}, None, pid)
    if running is None:
        return None
    found = search.files(Agent(profile.name, running.pid, running.ticks))
    return TurnFile(profile.name, found[0].path, found[0].session) if found and found[0].certain else None
