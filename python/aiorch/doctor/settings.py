"""The user's configuration and agent profiles: every mistake in them, and which agents are there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from aiorch.config import Config, load_config
from aiorch.doctor.finding import Finding, Part, problem
from aiorch.doctor.scene import Scene
from aiorch.doctor.words import Known, Value, say
from aiorch.errors import AgentMissingError, ConfigError
from aiorch.workers.profile import AgentProfile
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.types import check_types, find_agent

AREA = "configuration"
AGENTS = "agents"
_NO_AGENTS = ("shell", "demo")


def look(scene: Scene) -> Part:
    """Return which settings are the user's own, and what is wrong in their files."""
    path, folder = scene.config / "config.toml", scene.config / "profiles"
    config, findings = read_config(scene.config)
    try:
        mistakes = check_types(load_profiles(folder), config)
    except ConfigError as error:
        mistakes = error.problems
    facts: dict[str, Value] = {
        "file": path if path.exists() else None,
        "changed": [Known(name) for name in changed_settings(config)],
        "types_of_your_own": len(config.types),
        "profiles_of_your_own": len(list(folder.glob("*.toml"))),
    }
    return Part(AREA, facts, (*findings, *map(_mistake, mistakes)))


def look_for_agents(scene: Scene) -> Part:
    """Return which agents are installed; none is started, since that takes time and may use the network."""
    try:
        profiles = load_profiles(scene.config / "profiles")
    except ConfigError:
        profiles = load_profiles(None)
    facts: dict[str, Value] = {"found": agents_found(profiles, scene.path)}
    return Part(AGENTS, facts, tuple(judge_agents(scene, profiles)))


def read_config(folder: Path) -> tuple[Config, list[Finding]]:
    """Return the configuration, the defaults when it has mistakes, and those."""
    try:
        return load_config(folder / "config.toml"), []
    except ConfigError as error:
        return load_config(None), list(map(_mistake, error.problems))


def changed_settings(config: Config) -> list[str]:
    """Return the names of the settings that are not as they are by default."""
    base = load_config(None)
    names = (one.name for one in fields(Config))
    return [name for name in names if getattr(config, name) != getattr(base, name)]


def agents_found(profiles: Mapping[str, AgentProfile], path: str) -> list[Mapping[str, Value]]:
    """Return where each installed agent is, and the version that its profile was tried with."""
    found: list[Mapping[str, Value]] = []
    for profile in profiles.values():
        program = next((p for name in profile.executables if (p := shutil.which(name, path=path))), None)
        if program is not None and profile.name not in _NO_AGENTS:
            own = str if not profile.builtin else Known
            tried = own(profile.tested) if profile.tested else None
            found.append({"name": own(profile.name), "program": Path(program), "tried_with": tried})
    return found


def judge_agents(scene: Scene, profiles: Mapping[str, AgentProfile]) -> list[Finding]:
    """Return a problem when there is no agent that workers could be."""
    try:
        find_agent(profiles, scene.path)
    except AgentMissingError:
        names = [Known(one.name) for one in profiles.values() if one.offered and one.builtin]
        text = say("no agent was found on the PATH: a role such as simple or sparc cannot start")
        remedy = say("install one of {}; this says how", names)
        return [problem(AGENTS, text, remedy, scene.ours("agents"))]
    return []


def _mistake(text: str) -> Finding:
    return problem(AREA, say("{}", text), say("correct it"))
