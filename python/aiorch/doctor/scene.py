"""Where the doctor looks: which tmux server, which session, which directories."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aiorch import paths
from aiorch.doctor.survey import Survey, survey
from aiorch.doctor.words import Known, Value, Words, command
from aiorch.errors import TmuxError, TmuxGoneError
from aiorch.tmux.ask import Ask

_SERVER = "#{version}\t#{pid}\t#{start_time}\t#{socket_path}"
_SESSION = "#{session_id}\t#{pane_id}\t#{session_name}"


@dataclass(frozen=True, slots=True)
class Server:
    """The running tmux server; `started` is in seconds since the epoch."""

    version: str
    pid: int
    started: float
    socket: str


@dataclass(frozen=True, slots=True)
class Here:
    """The session, and its pane, that the doctor was called in or for."""

    session: str
    pane: str
    name: str


@dataclass(frozen=True)
class Scene:
    """All that the looks need to know of where they are; `silence` says why there is no server, if it does.

    `run` is a run directory that the user named.
    """

    ask: Ask
    env: Mapping[str, str]
    socket: str = ""
    server: Server | None = None
    silence: str = ""
    here: Here | None = None
    lost: str = ""
    run: Path | None = None
    now: float = field(default_factory=time.time)

    @property
    def state(self) -> Path:
        """Return the directory of runs and locks."""
        return paths.state_dir(self.env)

    @property
    def config(self) -> Path:
        """Return the user's configuration directory."""
        return paths.config_dir(self.env)

    @property
    def path(self) -> str:
        """Return the directories where programs are searched."""
        return self.env.get("PATH", "")

    @cached_property
    def survey(self) -> Survey:
        """Return what lies below the state directory; looked at once."""
        return survey(self.state)

    @property
    def is_inside(self) -> bool:
        """Return whether we are called in a pane of the server that is looked at."""
        return bool(self.socket) and _own_socket(self.env) == self.socket

    def tmux(self, template: str, *values: str) -> Words:
        """Return a command line for this server."""
        if self.is_inside or not self.socket:
            return command(f"tmux {template}", *values)
        return command(f"tmux -S {{}} {template}", Path(self.socket), *values)

    @property
    def _program(self) -> Value:
        return Known("aiorch") if shutil.which("aiorch", path=self.path) else paths.script("aiorch")

    def ours(self, template: str, *values: str) -> Words:
        """Return a command line of ours for wherever it is typed."""
        return command(f"{{}} {template}", self._program, *values)

    def load(self) -> Words:
        """Return a command line that loads the plugin into this server."""
        file = paths.plugin_dir() / "aiorch.tmux"
        if self.is_inside or not self.socket:
            return command("{}", file)
        # tmux gives it to a shell once more.
        return self.tmux("run-shell {}", shlex.quote(str(file)))

    def aiorch(self, session: str, template: str, *values: str) -> Words:
        """Return a command line of ours for a session of this server, by its name."""
        if self.is_inside and self.here is not None and self.here.name == session:
            return self.ours(template, *values)
        if not self.socket:
            return self.ours(f"--session {{}} {template}", session, *values)
        where = (self._program, Path(self.socket), session)
        return command(f"{{}} --socket {{}} --session {{}} {template}", *where, *values)


def open_scene(
    socket: str | None, session: str | None, run: Path | None, env: Mapping[str, str] = os.environ
) -> Scene:
    """Return the scene that the options mean; that there is no tmux, no server or no session is no error."""
    own = _own_socket(env)
    where = socket or own
    ask = Ask(where)
    server, silence = _server(ask)
    here, lost = (_here(ask, session, env if where == own else {})) if server else (None, "")
    return Scene(ask, env, where, server, silence, here, lost, run)


def _own_socket(env: Mapping[str, str]) -> str:
    """Return the socket of the server that we are called in, '' outside of tmux."""
    return env.get("TMUX", "").rsplit(",", 2)[0]


def _server(ask: Ask) -> tuple[Server | None, str]:
    try:
        version, pid, started, socket = ask.run("display-message", "-p", _SERVER).split("\t", 3)
        return Server(version, int(pid), float(started or 0), socket), ""
    except TmuxGoneError:
        return None, ""
    except (TmuxError, ValueError) as error:
        return None, str(error)


def _here(ask: Ask, session: str | None, env: Mapping[str, str]) -> tuple[Here | None, str]:
    """Return the session that is meant, and else why it cannot be found."""
    inside = env.get("TMUX", "")
    target = f"={session}:" if session else env.get("TMUX_PANE", "")
    if not target and inside.count(",") >= 2:
        target = f"${inside.rsplit(',', 1)[1]}"
    if not target:
        return None, ""
    try:
        found = ask.run("display-message", "-p", "-t", target, _SESSION).split("\t", 2)
    except TmuxError as error:
        return None, str(error)
    # A target that is not there gives empty values, and no error (3.3a).
    return (Here(*found), "") if len(found) == 3 and found[0] else (None, f"no session {session or target}")
