"""What an engine goes by: the user's files and tmux options, read again when they change."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from aiorch import paths
from aiorch.config import Config, load_config, says_permissions
from aiorch.errors import AiorchError, EngineError
from aiorch.tmux.control import ControlClient
from aiorch.ui.status import StatusStyle
from aiorch.workers.profile import AgentProfile
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.types import check_types

_OPTIONS = (
    "@aiorch-status-style",
    "@aiorch-status-color",
    "@aiorch-max-workers",
    "@aiorch-min-rows",
    "@aiorch-min-columns",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user wants: `config` with the tmux options in it, the agents, the style of the segment."""

    config: Config
    profiles: dict[str, AgentProfile]
    style: StatusStyle


@dataclass(frozen=True, slots=True)
class Files:
    """Where the user's configuration is: `config.toml` and a folder of profiles."""

    config: Path
    profiles: Path

    def read(self) -> tuple[Config, dict[str, AgentProfile]]:
        """Return what the files say; raises ConfigError or EngineError with all mistakes."""
        config, profiles = load_config(self.config), load_profiles(self.profiles)
        problems = check_types(profiles, config)
        if problems:
            raise EngineError("\n".join(problems))
        return config, profiles

    def stamp(self) -> list[tuple[str, int, int]]:
        """Return what changes when the files do: their names, times and sizes."""
        found = []
        for path in (self.config, *sorted(self.profiles.glob("*.toml"))):
            with suppress(OSError):
                facts = path.stat()
                found.append((path.name, facts.st_mtime_ns, facts.st_size))
        return found

    def copy_to(self, other: Files) -> None:
        """Keep the files as they are now, in place of what was kept before."""
        shutil.rmtree(other.profiles, ignore_errors=True)
        other.profiles.mkdir(mode=0o700, parents=True)
        other.config.unlink(missing_ok=True)
        for path in self.profiles.glob("*.toml"):
            (other.profiles / path.name).write_bytes(path.read_bytes())
        if self.config.exists():
            other.config.write_bytes(self.config.read_bytes())


class UserSettings:
    """Reads the settings of one run, again when they change.

    A copy of what was good is kept in the folder `kept`, for when it is not any more. `problem` is what is
    wrong with the user's files now, '' when they are what is gone by.
    """

    def __init__(self, config: Path | None, kept: Path) -> None:
        user = paths.config_dir()
        self._files = Files(config or user / "config.toml", user / "profiles")
        self._kept = Files(kept / "config.toml", kept / "profiles")
        self._stamp: object = None
        self._now: Settings | None = None
        self._options: list[str] | None = None
        self.problem = ""

    def read(self, control: ControlClient, session: str) -> Settings:
        """Return the settings, from the kept copy where the user's files have mistakes.

        Raises ConfigError or EngineError when there is no such copy.
        """
        self._stamp, self._options = self._files.stamp(), _ask(control, session)
        try:
            config, profiles = self._files.read()
            self.problem = ""
        except AiorchError as error:
            if not self._kept.profiles.exists():
                raise
            self.problem = str(error).partition("\n")[0]
            config, profiles = self._kept.read()
        self._now = _settings(config, profiles, self._options)
        return self._now

    @property
    def folders(self) -> list[Path]:
        """Return the folders with the user's files; the first is made, so that a first file there is seen."""
        with suppress(OSError):
            self._files.config.parent.mkdir(parents=True, exist_ok=True)
        both = (self._files.config.parent, self._files.profiles)
        return [folder for folder in dict.fromkeys(both) if folder.is_dir()]

    @property
    def lacks_permissions(self) -> bool:
        """Say whether the user's own config.toml counts and does not say what workers may do."""
        own = paths.config_dir() / "config.toml"
        return self._files.config == own and not says_permissions(own)

    def keep(self) -> None:
        """Keep a copy of the user's files; such as have mistakes are not kept."""
        if not self.problem:
            with suppress(OSError):
                self._files.copy_to(self._kept)

    def look(self, control: ControlClient, session: str) -> tuple[Settings, str] | None:
        """Return the settings and what is to be told about them, when they are other than before."""
        if self._files.stamp() == self._stamp and _ask(control, session) == self._options:
            return None
        old, problem = self._now, self.problem
        new = self.read(control, session)
        self.keep()
        if self.problem:
            words = f"{self.problem}: the settings from before stay" if self.problem != problem else ""
            return new, words
        if old == new:
            return (new, "the settings are as before") if problem else None
        changes = _changes(old.config, new.config) if old else ""
        return new, f"the settings were read again{changes}"


def _settings(config: Config, profiles: dict[str, AgentProfile], options: Sequence[str]) -> Settings:
    """Return the settings with what the user set as tmux options; those win when they are numbers."""
    style, color, *numbers = options
    most, rows, columns = (int(value) if value.isdecimal() else 0 for value in numbers)
    merged = replace(
        config,
        max_workers=most or config.max_workers,
        min_rows=rows or config.min_rows,
        min_columns=columns or config.min_columns,
    )
    return Settings(merged, profiles, StatusStyle(ascii=style == "ascii", color=color != "off"))


def _ask(control: ControlClient, session: str) -> list[str]:
    form = "\t".join(f"#{{{name}}}" for name in _OPTIONS)
    return control.run("display-message", "-p", "-t", session, form)[0].split("\t")


def _changes(old: Config, new: Config) -> str:
    """Return the numbers and words that changed, for the event log."""
    found = [
        f"{name} {before} → {getattr(new, name)}"
        for name in Config.__dataclass_fields__
        if isinstance(before := getattr(old, name), int | float | str) and before != getattr(new, name)
    ]
    return f": {', '.join(found)}" if found else ""
