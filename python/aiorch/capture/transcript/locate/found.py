"""What a search for a session file gives, what it is chosen from, and who knows where to look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiorch.capture.transcript.locate import files
from aiorch.capture.transcript.locate.lead import Lead

# A record is written when it is made; a recording that is played anew has times of long ago.
_LIVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """One session file that an agent writes, or may write.

    `certain` when nothing else fits; `how` says by what, in words for the user. `session` is the
    conversation within the file, for a file that holds many (OpenCode's database), and `begun` when that
    was begun. `named` when the agent itself names it: its register, an open file, its command line;
    `rival` when another agent may have written it.
    """

    format: str
    path: Path
    certain: bool
    how: str
    session: str = ""
    begun: float | None = None
    named: bool = False
    rival: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One session at an agent's usual place: what its name and its times say, its file not yet opened.

    `here` says whether its place stands for the agent's directory, None when the place does not tell;
    `begun` is when it was begun, where that is known without opening it.
    """

    path: Path
    written: float
    session: str = ""
    here: bool | None = None
    begun: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a session's first lines say about it.

    `here`: it belongs to the agent's directory, None when it does not say. `ours` is False for what a
    subagent wrote, `likely` is False for a run without a terminal when the agent is not started as one.
    `continues`: it was begun from within a running agent. `begun`: when, None when it does not tell.
    """

    here: bool | None = None
    ours: bool = True
    likely: bool = True
    continues: bool = False
    begun: float | None = None


class Store:
    """Where one agent keeps its sessions, and how it names them; each agent has its own."""

    # A file per session: the conversation needs no name of its own.
    one_per_file = True

    def root(self, environment: Mapping[str, str], home: Path) -> Path:
        """Return the folder that holds all that the agent keeps."""
        raise NotImplementedError

    def named(self, lead: Lead) -> list[Found] | None:
        """Return the session that is this process' beyond doubt.

        An empty list when it is known but not there yet, None when nothing names it.
        """
        return None

    def seen(self, lead: Lead, since: float) -> Iterable[Seen]:
        """Return the sessions at the usual place; those of other directories may be left out.

        Those last written before `since` are left out.
        """
        raise NotImplementedError

    def known(self, lead: Lead, seen: Seen) -> Known:
        """Return what a session says about itself."""
        return Known(seen.here)

    def claimed(self, lead: Lead, pid: int) -> str:
        """Return the session that is known to be another process'; '' when none is."""
        return ""

    def competes(self, lead: Lead, directory: str) -> bool:
        """Return whether an agent in a directory may write what the agent's directory stands for."""
        return directory == lead.directories[0]

    def asked_for(self, lead: Lead) -> str:
        """Return the session that the command line names; '' when it names none."""
        return ""

    def places(self, lead: Lead) -> list[Path]:
        """Return the folders in which a new session would show; they need not be there."""
        raise NotImplementedError


def begun_live(seen: Seen, text: str) -> float | None:
    """Return when a session was begun; None when it does not tell, or tells times of long ago."""
    begun = files.first_time(text)
    last = files.last_time(seen.path) or begun
    return begun if last is not None and abs(last - seen.written) < _LIVE_SECONDS else None
