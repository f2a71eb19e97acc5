"""What runs a type: an agent, a role with words of its own, a program of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from aiorch.config import Config, UserType
from aiorch.errors import AgentMissingError, ConfigError
from aiorch.plan.rules import SHELL
from aiorch.workers.executable import find_executable
from aiorch.workers.profile import AgentProfile, Launch

AUTO = "auto"
# Tasks are written for agents, and by strangers: only a worker of type shell has one that is a command.
_NO_SHELL = "the type shell must be named by the worker itself; for a program of your own use a command"
# Words in front of the task of the default agent, where no other program was seen to run the role.
ROLES: Mapping[str, str | None] = {
    "simple": None,
    "sparc": (
        "You are a developer. Work in five steps: write down the specification, sketch the logic in"
        " pseudocode, choose the architecture, refine the code with its tests, and complete it so that it"
        " runs. End with a short list of what you changed and what is still open."
    ),
    "swarm": (
        "You lead a small team. Split the work into independent parts, do each part by itself (with your own"
        " subagents where you have them), check that the parts fit together, and end with a short list of"
        " what you changed and what is still open."
    ),
}


def find_agent(profiles: Mapping[str, AgentProfile], path: str) -> AgentProfile:
    """Return the first agent on a PATH: by rank of the profiles, then by name, not by PATH order.

    Raises AgentMissingError with what to install.
    """
    for profile in profiles.values():
        found = _located(profile, path) if profile.offered else None
        if found:
            return found
    hints = [f"  {p.title}: {p.install_hint}" for p in profiles.values() if p.offered and p.install_hint]
    names = ", ".join(p.name for p in profiles.values() if p.offered and p.install_hint)
    raise AgentMissingError(
        f"no agent was found on the PATH: install one of {names} (`aiorch agents` says how)\n"
        + "\n".join(hints)
    )


def known_types(profiles: Mapping[str, AgentProfile], config: Config) -> list[str]:
    """Return every type that a plan may name."""
    return sorted({AUTO, *ROLES, *profiles, *config.types})


def builtin_agents(profiles: Mapping[str, AgentProfile]) -> list[str]:
    """Return the agents that are ours and no shell: the trust table treats the others as the user's own."""
    return [p.name for p in profiles.values() if p.builtin and p.name != SHELL]


def role_runner(
    type: str, profiles: Mapping[str, AgentProfile], config: Config, path: str
) -> AgentProfile | None:
    """Return the program that claims to run a role in the way that the user lets it, None without one.

    A type that the user wrote anything else of than its permissions runs as that says.
    """
    own = config.types.get(type)
    if type not in ROLES or (own and (own.command or own.agent or own.prompt)):
        return None
    for profile in profiles.values():
        launch = profile.roles.get(type)
        if launch and (not launch.permission or config.permission_of(type) in launch.permission):
            found = _located(profile, path)
            if found:
                return found
    return None


def resolve_type(
    type: str,
    profiles: Mapping[str, AgentProfile],
    config: Config,
    path: str,
    runs: Callable[[AgentProfile, str], bool] = lambda _program, _role: False,
) -> tuple[AgentProfile, str | None]:
    """Return the agent that runs a type, with its program found on the PATH, and its role prompt.

    `runs` says whether a program was seen to run a role. Otherwise roles, and types without an agent, use the
    configured default type, else the first agent found.
    Raises AgentMissingError when nothing is there to run it, ConfigError for a type nobody knows.
    """
    own = config.types.get(type)
    if own and own.command:
        profile = _own_program(own)
        found = _located(profile, path)
        if not found:
            raise AgentMissingError(f'the program "{own.command[0]}" of type {type} was not found')
        return found, None
    runner = role_runner(type, profiles, config, path)
    if runner and runs(runner, type):
        return replace(runner, oneshot=runner.roles[type], interactive=None), None
    role = own.prompt if own and own.prompt else ROLES.get(type)
    name = (own.agent if own else "") or (type if type in profiles else "")
    if not name and own is None and type not in ROLES and type != AUTO:
        raise ConfigError([f'unknown type "{type}"; known are {", ".join(known_types(profiles, config))}'])
    return _agent(name or config.default_type, profiles, config, path, avoid=type), role


def check_types(profiles: Mapping[str, AgentProfile], config: Config) -> list[str]:
    """Return what the configuration says about types and agents that do not exist, one sentence each."""
    known = known_types(profiles, config)
    problems = []
    if config.default_type not in known:
        problems.append(f'default_type: unknown type "{config.default_type}"')
    if config.default_type == SHELL:
        problems.append(f"default_type: {_NO_SHELL}")
    problems += [f'rules: {r.name}: unknown type "{r.type}"' for r in config.rules if r.type not in known]
    for own in config.types.values():
        if own.agent == SHELL:
            problems.append(f"types.{own.name}.agent: {_NO_SHELL}")
        elif own.agent and own.agent not in profiles:
            problems.append(f'types.{own.name}.agent: unknown agent "{own.agent}"')
        if (
            not own.command
            and not own.agent
            and not own.prompt
            and own.name not in profiles
            and own.name not in ROLES
        ):
            problems.append(f"types.{own.name}: needs a command, an agent or a prompt")
    return problems


def _agent(
    name: str, profiles: Mapping[str, AgentProfile], config: Config, path: str, avoid: str
) -> AgentProfile:
    if name == SHELL and avoid != SHELL:
        raise ConfigError([f"{avoid}: {_NO_SHELL}"])
    if name in profiles:
        found = _located(profiles[name], path)
        if found:
            return found
        hint = f"; install it: {profiles[name].install_hint}" if profiles[name].install_hint else ""
        raise AgentMissingError(f"{profiles[name].title} was not found on the PATH{hint}")
    # A default type that is a role or a circle says nothing about the agent.
    if name in config.types and name != avoid and config.types[name].agent != name:
        return resolve_type(name, profiles, replace(config, default_type=AUTO), path)[0]
    return find_agent(profiles, path)


def _own_program(own: UserType) -> AgentProfile:
    launch = Launch(("{agent}", *own.command[1:]), own.task_via)
    return AgentProfile(own.name, own.title or own.name, (own.command[0],), oneshot=launch, raw=True)


def _located(profile: AgentProfile, path: str) -> AgentProfile | None:
    for name in profile.executables:
        program = find_executable(name, path)
        if program:
            return replace(profile, program=program)
    return None
