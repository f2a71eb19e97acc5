"""What changes under a running engine: the user's settings and the plugin's own code."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aiorch import paths
from aiorch.engine.letters import Door
from aiorch.engine.settings import UserSettings
from aiorch.engine.update import Code, python_for_update
from aiorch.journal import Tag
from aiorch.paths import RunPaths
from aiorch.tmux import hooks, quote
from aiorch.tmux.session import Session
from aiorch.whole_file import write_whole

if TYPE_CHECKING:
    from aiorch.engine.run import Run

_SETTLE_SECONDS = 0.2


class Renewal:
    """Keeps one run up to date; every method is called on the engine's thread only."""

    def __init__(self, run: Run, user: UserSettings) -> None:
        self._run, self._user = run, user
        self._code = Code()
        self.due: float | None = None
        user.keep()

    @property
    def lacks_permissions(self) -> bool:
        """Say whether the user has not said yet what workers may do."""
        return self._user.lacks_permissions

    @property
    def problem(self) -> str:
        """Return what is wrong with the user's settings now, or ''."""
        return self._user.problem

    @property
    def folders(self) -> list[Path]:
        """Return the folders in which the user's settings change."""
        return self._user.folders

    def settings_changed(self) -> None:
        """Take note that something in those folders changed: it is read once that is over."""
        self.due = time.time() + _SETTLE_SECONDS

    def pass_time(self) -> None:
        """Read the settings that changed a moment ago."""
        if self.due is not None and self.due <= time.time():
            self.due = None
            self.follow_settings()

    def follow_settings(self) -> None:
        """Go by the user's files and tmux options as they are now; where they have mistakes, as they were."""
        run = self._run
        found = self._user.look(run.session.control, run.session.session)
        if found is None:
            return
        settings, words = found
        if words:
            run.journal.add_event(Tag.ERROR if self.problem else Tag.LISTENING, words)
        # The agents' table is the same object everywhere.
        profiles = run.settings.profiles
        profiles.clear()
        profiles.update(settings.profiles)
        run.settings = replace(settings, profiles=profiles)
        run.session.history_limit = settings.config.history_limit
        for part in (
            run.columns,
            run.crew,
            run.crew.checks,
            run.crew.notifier,
            run.states,
            run.steering,
            run.recovery,
            run.intake,
            run.isolation,
            run.post,
        ):
            part.config = settings.config
        run.intake.learn_types()
        run.crew.look()

    def is_outdated(self) -> bool:
        """Say whether the plugin was updated, so that another engine is to go on with the run."""
        if not self._code.is_new():
            return False
        run = self._run
        python, why = python_for_update()
        if not python:
            run.journal.add_event(Tag.ERROR, f"the plugin was updated, this engine goes on: {why}")
            return False
        revive = _revive(run.session, run.socket, python)
        run.session.control.run("set-option", "-t", run.session.session, "@aiorch_revive", revive)
        run.journal.add_event(Tag.LISTENING, "the plugin was updated: another engine takes over")
        return True


def announce(session: Session, socket: str, root: Path) -> None:
    """Let tmux know this engine: keys find its run, and the loss of its control client starts another."""
    name, control = session.session, session.control
    control.batch(
        [
            ("set-option", "-t", name, "@aiorch_run", str(root)),
            ("set-option", "-t", name, "@aiorch_engine", str(os.getpid())),
            ("set-option", "-t", name, "@aiorch_client", f"client-{control.pid}"),
            ("set-option", "-t", name, "@aiorch_revive", _revive(session, socket)),
            *hooks.adding(control, name, hooks.LOST, hooks.PIPED),
        ]
    )


def note_place(session: Session, socket: str, pane: str, run: RunPaths, door: Door) -> None:
    """Write down where in tmux a run is, and where its door is.

    The sandbox of an agent (Codex 0.144) lets nobody ask tmux, and its commands find their run so.
    """
    found = session.control.try_run("display-message", "-p", "-t", session.session, "#{pid} #{session_id}")
    server, _, name = (found or [""])[0].partition(" ")
    note = {"socket": socket, "server": server, "session": name, "pane": pane, "door": str(door.path)}
    with suppress(OSError):
        write_whole(run.place, json.dumps(note))


def _revive(session: Session, socket: str, interpreter: str = "") -> str:
    """Return the shell's words that start another engine."""
    where = ("--socket", socket, "--session", session.session)
    argv = paths.own_command("revive", *where, interpreter=interpreter)
    # Whatever run-shell has to tell it would put over the user's pane.
    return f"{quote.shell(argv)} >/dev/null 2>&1 || :"
