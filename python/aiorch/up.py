"""`aiorch up`: one command from a shell prompt to an agent in three columns."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from libtmux import Server
from libtmux.exc import LibTmuxException

from aiorch import paths
from aiorch.config import load_config
from aiorch.engine.start import start
from aiorch.engine.target import Target, is_running
from aiorch.errors import AgentMissingError, EngineError, JournalError, TmuxError, UsageError
from aiorch.journal.reading import reading
from aiorch.paths import RunPaths
from aiorch.places import Place, locate
from aiorch.tmux import quote
from aiorch.workers.profile import AgentProfile, lead_command
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.types import find_agent

DETACHED_SIZE = (200, 50)
_NAME = re.compile(r"\w(?:[\w -]{0,62}\w)?")


def up(name: str, agent: str | None, config: Path | None, *, attach: bool, socket: str | None) -> int:
    """Create the session with the agent in its primary, or take the one that is there, and attach to it.

    A session that could not be finished is removed again. Raises UsageError for a name that tmux would
    take for something else, AgentMissingError when the agent is not installed, TmuxError when tmux does
    not start.
    """
    if not _NAME.fullmatch(name):
        # tmux 3.3a makes `_` of `.` and `:`, and reads `$1`, `@1`, `%1` and `=x` as targets of other kinds.
        raise UsageError(
            f"{name!r} cannot be a session's name: use letters, digits, _ and, between them, - and blanks"
        )
    server = Server(socket_path=socket) if socket else Server()
    made = None
    if not _has_session(server, name):
        profile = _profile(agent, config)
        made = _new_session(server, name, lead_command(profile))
        # The user may have named an agent; one that is found is recognised again by its process.
        agent = agent or profile.name
    try:
        place = _listen(server, name, agent, config, fresh=made is not None)
    except BaseException:
        if made is not None:
            server.cmd("kill-session", target=made)
        raise
    return _attach(place.socket, name) if attach and sys.stdin.isatty() else 0


def _listen(server: Server, name: str, agent: str | None, config: Path | None, *, fresh: bool) -> Place:
    place = locate(_socket(server), name, None)
    _load_plugin(place)
    if place.run and not fresh and _lead_is_gone(Path(place.run)):
        raise EngineError(
            f"the lead of session {name} has ended: `aiorch --session {name} stop` ends its run first"
        )
    state = paths.state_dir()
    target = Target(place.socket, place.session, place.pane, agent, config.resolve() if config else None)
    if fresh or not place.run or not is_running(target, state):
        root = start(target, state)
        print(f"session {name}: listening on pane {place.pane} (run {root.name})", flush=True)  # noqa: T201
    return place


def _lead_is_gone(run: Path) -> bool:
    try:
        with reading(RunPaths(run).journal) as journal:
            return bool(journal.meta("primary_gone"))
    except JournalError:
        return False


def _has_session(server: Server, name: str) -> bool:
    try:
        return server.has_session(name, exact=True)
    except LibTmuxException:
        return False


def _profile(agent: str | None, config: Path | None) -> AgentProfile:
    profiles = load_profiles(paths.config_dir() / "profiles")
    path = os.environ.get("PATH", "")
    if agent is None:
        preferred = load_config(config or paths.config_dir() / "config.toml").default_type
        if preferred not in profiles:
            return find_agent(profiles, path)
        agent = preferred
    if agent not in profiles:
        raise AgentMissingError(f'there is no agent "{agent}"; known are {", ".join(sorted(profiles))}')
    return profiles[agent]


def _new_session(server: Server, name: str, command: list[str]) -> str | None:
    """Make the session and return its id."""
    if shutil.which(command[0]) is None:
        raise AgentMissingError(
            f"{command[0]} was not found on PATH: install it, or name another with --agent"
        )
    size = shutil.get_terminal_size(DETACHED_SIZE)
    try:
        session = server.new_session(
            session_name=name,
            attach=False,
            start_directory=str(Path.cwd()),
            window_command=f"exec {quote.shell(command)}",
            x=size.columns,
            y=size.lines,
        )
    except LibTmuxException as error:
        raise TmuxError(f"tmux did not make the session: {error}") from error
    return session.session_id


def _socket(server: Server) -> str:
    found = server.cmd("display-message", "-p", "#{socket_path}").stdout
    if not found:
        raise TmuxError("tmux does not run")
    return str(found[0])


def _load_plugin(place: Place) -> None:
    """Load the plugin's keys and status segment where no plugin manager did."""
    env = {**os.environ, "TMUX": f"{place.socket},0,{place.session.lstrip('$')}"}
    subprocess.run([str(paths.plugin_dir() / "aiorch.tmux")], env=env, check=False, capture_output=True)


def _attach(socket: str, name: str) -> int:
    verb = "switch-client" if os.environ.get("TMUX") else "attach-session"
    os.execvp("tmux", ["tmux", "-S", socket, verb, "-t", f"={name}"])
