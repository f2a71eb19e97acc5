"""Agent profiles as they are written: the built-in files and the user's own, read and checked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from aiorch import paths
from aiorch.capture.gutter import Gutter
from aiorch.config import PERMISSIONS, TASK_VIA
from aiorch.errors import ConfigError
from aiorch.teach.lesson import read_teaching
from aiorch.teach.mcp_place import read_registration
from aiorch.toml_file import Reader, TomlFile, read_toml
from aiorch.workers.exits import read_exits, read_not_done
from aiorch.workers.input_box import read_input
from aiorch.workers.profile import AgentProfile, Launch, filled
from aiorch.workers.state_rules import StateRules, builtin_states, read_states
from aiorch.workers.types import ROLES

_BUILTIN = Path(__file__).with_name("profiles")


def load_profiles(user_dir: Path | None) -> dict[str, AgentProfile]:
    """Return the built-in profiles and the user's, by name, in the order in which they are offered.

    A file of the user's replaces the built-in one of the same name. Raises ConfigError with all
    mistakes of all files.
    """
    own: list[str] = []
    found = dict(builtin_profiles())
    for path in sorted(user_dir.glob("*.toml")) if user_dir else ():
        profile = _read_profile(path, False, own)
        found[profile.name] = profile
    if own:
        raise ConfigError(own)
    return dict(sorted(found.items(), key=lambda item: (item[1].rank, item[0])))


@cache
def builtin_profiles() -> Mapping[str, AgentProfile]:
    """Return the profiles that are ours, by name; they are read once."""
    problems: list[str] = []
    found = [_read_profile(path, True, problems) for path in sorted(_BUILTIN.glob("*.toml"))]
    if problems:
        raise ConfigError(problems)
    return {profile.name: profile for profile in found}


def _read_profile(path: Path, builtin: bool, problems: list[str]) -> AgentProfile:
    file = read_toml(path)
    screen = _screen(path, file, problems)
    states = _states(path, file)
    reader = Reader(file, (), file.data)
    roles = reader.sub("roles")
    name = reader.text("name", path.stem, choices=(path.stem,))
    profile = AgentProfile(
        name=name,
        title=reader.text("title", name, filled=True),
        executables=_here(reader.words("executables", (name,))),
        processes=reader.words("processes"),
        install_hint=reader.text("install"),
        oneshot=_launch(reader.sub("oneshot")),
        interactive=_launch(reader.sub("interactive")) if "interactive" in reader.table else None,
        lead=_here(reader.words("lead", ("{agent}",))),
        env=_env(reader.sub("env")),
        screen=screen,
        states=states,
        input=read_input(reader.sub("input")),
        sessions=reader.words("sessions"),
        exits=read_exits(reader.sub("exit")),
        not_done=tuple(read_not_done(item) for item in reader.tables("not_done")),
        writes=reader.words("writes"),
        roles={role: _launch(roles.sub(role)) for role in ROLES if role in roles.table},
        starts=roles.text("starts"),
        teach=read_teaching(reader.sub("teach")),
        mcp=read_registration(reader.sub("mcp")),
        raw=reader.flag("raw"),
        offered=reader.flag("offered", True),
        rank=reader.whole("rank", 100, 0, 1000),
        tested=reader.text("tested"),
        builtin=builtin,
    )
    if not profile.oneshot.argv and file.data:
        reader.problem("oneshot", "is needed, with an argv")
    if profile.roles and not profile.starts:
        roles.problem("starts", "is needed: the program of the agent that it starts")
    roles.finish()
    reader.finish()
    problems += file.all_problems()
    return profile


def _screen(path: Path, file: TomlFile, problems: list[str]) -> Mapping[str, Any]:
    """Return the profile's `[screen]` table: from the file itself, else from the one in `screens/`."""
    own = file.data.pop("screen", None)
    beside = path.parent / "screens" / path.name
    if own is None and beside.exists():
        other = read_toml(beside)
        problems += other.all_problems()
        own = other.data.get("screen")
    table = own if isinstance(own, dict) else {}
    try:
        Gutter.from_mapping(table)
    except ConfigError as error:
        problems += [f"{path.name}: {problem}" for problem in error.problems]
        return {}
    return table


def _states(path: Path, file: TomlFile) -> StateRules:
    """Return the profile's `[states]` table; without one the rules for an agent of its name."""
    like = path.stem if path.stem in builtin_states() else ""
    table = file.data.pop("states", {"like": like} if like else {})
    return read_states(path.stem, Reader(file, ("states",), table))


def _launch(reader: Reader) -> Launch:
    argv = _here(reader.words("argv"))
    via = reader.text("task_via", "arg", choices=TASK_VIA)
    levels = reader.sub("permission")
    permission = {level: levels.words(level) for level in PERMISSIONS if level in levels.table}
    levels.finish()
    session, resume = reader.words("session"), reader.words("resume")
    inputs = reader.words("inputs")
    if inputs and ("{inputs}" not in argv or not any("{folder}" in word for word in inputs)):
        reader.problem("inputs", 'needs "{folder}", and "{inputs}" as a word of argv')
    for name, words in (("session", session), ("resume", resume)):
        if words and ("{session}" not in argv or not any("{id}" in word for word in words)):
            reader.problem(name, 'needs "{id}", and "{session}" as a word of argv')
    reader.finish()
    wanted = {"arg": "{task}", "file": "{file}"}.get(via)
    if argv and wanted and not any(wanted in word for word in argv):
        reader.problem("argv", f'needs "{wanted}", or another task_via ({", ".join(TASK_VIA)})')
    return Launch(argv, via, permission, session, resume, inputs)


def _env(reader: Reader) -> dict[str, str]:
    values = {name: reader.text(name) for name in reader.table}
    reader.finish()
    return values


def _here(words: tuple[str, ...]) -> tuple[str, ...]:
    values = {"python": sys.executable, "plugin": str(paths.plugin_dir())}
    return tuple(filled(word, values) for word in words)
