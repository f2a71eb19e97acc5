"""Looking for the session files of an agent's process; what cannot be looked into holds nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aiorch import process
from aiorch.capture.transcript import find
from aiorch.capture.transcript.find import Found
from aiorch.engine.session_file import Agent

log = logging.getLogger(__name__)

_EXPECTED = (OSError, RuntimeError, ValueError)


class Search:
    """Asks the process table and the disk; trouble is logged once."""

    def __init__(self) -> None:
        self._troubled = False

    def files(self, agent: Agent) -> list[Found]:
        """Return the session files that the agent writes, or may write, best first."""
        directory = process.working_directory(agent.pid)
        if directory is None:
            return []
        try:
            return find.find(agent.name, agent.pid, directory, process.environment(agent.pid))
        except _EXPECTED:
            self._note(agent)
            return []

    def places(self, agent: Agent) -> Mapping[Path, Path]:
        """Return the folders in which a new one would show, each with the folder to watch for it."""
        directory = process.working_directory(agent.pid)
        if directory is None:
            return {}
        try:
            return find.places(agent.name, agent.pid, directory, process.environment(agent.pid))
        except _EXPECTED:
            self._note(agent)
            return {}

    def _note(self, agent: Agent) -> None:
        if not self._troubled:
            self._troubled = True
            log.exception("looking for the session files of %s failed", agent.name)


def present_in(places: Mapping[Path, Path]) -> set[Path]:
    """Return what is in the folders of sessions already, those folders themselves left out."""
    present: set[Path] = set()
    for folder, watched in places.items():
        if folder == watched:
            with suppress(OSError):
                present.update(Path(entry.path) for entry in os.scandir(folder))
    return present - set(places)
