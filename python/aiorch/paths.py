"""Where things live: XDG base directories and the layout of a run directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


def _xdg(name: str, fallback: str, env: Mapping[str, str]) -> Path:
    value = env.get(name, "")
    # The XDG specification says that relative values are to be ignored.
    base = Path(value) if value.startswith("/") else Path(env.get("HOME") or Path.home()) / fallback
    return base / "aiorch"


def config_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Return the user's configuration directory (`$XDG_CONFIG_HOME/aiorch`)."""
    return _xdg("XDG_CONFIG_HOME", ".config", env)


def state_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of runs and locks (`$XDG_STATE_HOME/aiorch`)."""
    return _xdg("XDG_STATE_HOME", ".local/state", env)


def data_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of private environments (`$XDG_DATA_HOME/aiorch`)."""
    return _xdg("XDG_DATA_HOME", ".local/share", env)


def plugin_dir() -> Path:
    """Return the folder that holds `aiorch.tmux`, with symlinks resolved."""
    return Path(__file__).resolve().parents[2]


def script(name: str) -> Path:
    """Return the absolute path of one of the plugin's shell scripts."""
    return plugin_dir() / "scripts" / name


def own_command(*arguments: str, interpreter: str = "") -> list[str]:
    """Return the argv that runs this program again with the same code, and interpreter if none is given."""
    cache = _xdg("XDG_CACHE_HOME", ".cache", os.environ) / "pycache"
    python = [interpreter or sys.executable, "-E", "-s", "-X", f"pycache_prefix={cache}"]
    return [*python, str(plugin_dir() / "python"), *arguments]


class RunPaths(NamedTuple):
    """The files of one run; every path is below `root`."""

    root: Path

    @property
    def journal(self) -> Path:
        """Return the SQLite file that holds all state."""
        return self.root / "journal.db"

    @property
    def logs(self) -> Path:
        """Return the directory of the primary's log segments."""
        return self.root / "log"

    @property
    def inbox(self) -> Path:
        """Return the directory where requests arrive as files by atomic rename."""
        return self.root / "inbox"

    @property
    def answers(self) -> Path:
        """Return the directory where the engine answers requests, one file each."""
        return self.root / "answers"

    @property
    def workers(self) -> Path:
        """Return the directory that holds one directory per worker attempt."""
        return self.root / "workers"

    @property
    def news(self) -> Path:
        """Return the directory of the file that is touched when the event log has grown."""
        return self.root / "news"

    @property
    def place(self) -> Path:
        """Return the file that says where in tmux the run is, and where its door is."""
        return self.root / "place"

    @property
    def results(self) -> Path:
        """Return the directory of the workers' results, one file for each that has ended."""
        return self.root / "results"

    @property
    def acknowledgements(self) -> Path:
        """Return the directory of what leads are told of their directives, one file for each pane."""
        return self.root / "acknowledged"

    @property
    def trouble(self) -> Path:
        """Return the file that says what kept the engine from working, while there is something to say."""
        return self.root / "trouble"

    @property
    def engine_log(self) -> Path:
        """Return the engine's own diagnostic log."""
        return self.root / "engine.log"

    def create(self) -> None:
        """Make the run's directories, readable by the owner alone."""
        # parents=True would make the folders above with the user's mask.
        for parent in reversed(self.root.parents[:2]):
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.root, self.logs, self.inbox, self.answers, self.workers, self.news, self.results):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
