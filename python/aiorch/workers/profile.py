"""Agent profiles: how each agent CLI is started, recognised and named; data in `profiles/*.toml`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from aiorch import paths
from aiorch.capture.gutter import Gutter
from aiorch.config import PERMISSIONS, TASK_VIA, Config, UserType
from aiorch.errors import AgentMissingError, ConfigError, ProfileError
from aiorch.plan.rules import SHELL
from aiorch.teach.lesson import Teaching, read_teaching
from aiorch.toml_file import Reader, TomlFile, read_toml
from aiorch.workers.executable import find_executable
from aiorch.workers.exits import NotDone, read_exits, read_not_done
from aiorch.workers.state_rules import StateRules, builtin_states, read_states

AUTO = "auto"
# Tasks are written for agents, and by strangers: only a worker of type shell has one that is a command.
_NO_SHELL = "the type shell must be named by the worker itself; for a program of your own use a command"
# No claude-flow release is known that runs these roles (3.43 prints usage and exits 0, 2.7.47 hides
# failures), so they are words in front of the task of the default agent.
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

_BUILTIN = Path(__file__).with_name("profiles")
_PLACEHOLDER = re.compile(r"\{(agent|task|file|id|python|plugin|inputs|folder)\}")
_INTERPRETER = re.compile(r"(node|nodejs|bun|deno|python[0-9.]*|pypy[0-9.]*|sh|bash|dash|zsh|uv|npx)")
# Text that starts so would be an option, or a command of the agent itself; one word alone may be the name
# of a subcommand (`claude update`, `codex exec review`).
_TAKEN_STARTS = ("-", "/", "@", "!", "#", "$", "&")


@dataclass(frozen=True, slots=True)
class Launch:
    """One way to start an agent.

    In `argv`, `{agent}` is the program, `{permission}` alone stands for the words of the permission,
    `{task}` is the task in one argument, `{file}` a file that holds it. `{session}` alone stands for the
    words of `session`, which give the agent's own session an id, or of `resume`, which go on with it; in
    them `{id}` is a UUID. `{inputs}` alone stands for the words of `inputs`, which let the agent read the
    folder `{folder}`; a worker that has no such folder gets none of them. `task_via` is arg, stdin or file.
    """

    argv: tuple[str, ...] = ()
    task_via: str = "arg"
    permission: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    session: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """How one agent CLI is started, recognised and installed.

    `program` is the path that was found for it, empty before `find_agent` or `resolve_type`. `raw` programs
    get the task as it is. `offered` agents may be chosen without being named. `tested` is the version
    whose behaviour the profile was written from. `sessions` are patterns of the files in which the agent
    keeps the session `{id}`; `~` and `$NAME` are the user's. `writes` are where it keeps logins and
    settings (`~/…`), which a sandbox leaves writable. `teach` is None for what reads no instructions.
    `exits` says what exit codes mean, `not_done` when 0 means nothing.
    """

    name: str
    title: str
    executables: tuple[str, ...]
    processes: tuple[str, ...] = ()
    install_hint: str = ""
    oneshot: Launch = Launch()
    interactive: Launch | None = None
    lead: tuple[str, ...] = ("{agent}",)
    env: Mapping[str, str] = field(default_factory=dict)
    screen: Mapping[str, Any] = field(default_factory=dict)
    states: StateRules = field(default_factory=StateRules)
    teach: Teaching | None = None
    sessions: tuple[str, ...] = ()
    exits: Mapping[int, str] = field(default_factory=dict)
    not_done: tuple[NotDone, ...] = ()
    writes: tuple[str, ...] = ()
    raw: bool = False
    offered: bool = True
    rank: int = 100
    tested: str = ""
    builtin: bool = False
    program: str = ""


def load_profiles(user_dir: Path | None) -> dict[str, AgentProfile]:
    """Return the built-in profiles and the user's, by name, in the order in which they are offered.

    A file of the user's replaces the built-in one of the same name. Raises ConfigError with all
    mistakes of all files.
    """
    problems: list[str] = []
    profiles: dict[str, AgentProfile] = {}
    for folder, builtin in ((_BUILTIN, True), (user_dir, False)):
        for path in sorted(folder.glob("*.toml")) if folder else ():
            profile = _read_profile(path, builtin, problems)
            profiles[profile.name] = profile
    if problems:
        raise ConfigError(problems)
    return dict(sorted(profiles.items(), key=lambda item: (item[1].rank, item[0])))


def effective_mode(profile: AgentProfile, mode: str, permission: str) -> str:
    """Return how a worker really runs: asking needs somebody to ask, so it is interactive.

    All agents but aider refuse silently in their one-shot form, and exit 0. An agent without an
    interactive form that takes a task runs one-shot.
    """
    wanted = "interactive" if permission == "ask" else mode
    return wanted if profile.interactive is not None else "oneshot"


def launch_of(profile: AgentProfile, mode: str, permission: str) -> Launch:
    """Return the way in which a worker of this mode and permission is started."""
    kind = effective_mode(profile, mode, permission)
    return profile.interactive if kind == "interactive" and profile.interactive else profile.oneshot


def command(
    profile: AgentProfile,
    *,
    task: str,
    mode: str,
    permission: str,
    role: str | None,
    file: str | None = None,
    session: str = "",
    resumes: bool = False,
    inputs: str = "",
) -> tuple[list[str], str | None]:
    """Return the argv of a worker, and the text for its stdin when the profile wants the task there.

    The task is one argument that no shell sees; only the type `shell` is a shell. `file` is the
    path of a file with the same text, for profiles that read the task from one: write
    `task_text(…)` into it. `session` is the id of the agent's own session, none without one; with `resumes`
    it goes on with that. `inputs` is the folder with the results of the workers before it, '' without one.
    Raises ProfileError when the agent has no such permission or needs a file.
    """
    kind = effective_mode(profile, mode, permission)
    launch = launch_of(profile, mode, permission)
    if launch.permission and permission not in launch.permission:
        raise ProfileError(
            f'{profile.title} has no permission level "{permission}" for {kind} workers, only'
            f" {', '.join(launch.permission)}: set permissions for the type {profile.name} in config.toml"
        )
    if launch.task_via == "file" and file is None:
        raise ProfileError(f"{profile.title} reads its task from a file, and there is none")
    text = task_text(profile, task, role)
    values = {"agent": _program(profile), "task": text, "file": file or "", "id": session, "folder": inputs}
    conversation = (launch.resume if resumes else launch.session) if session else ()
    # A level may hold `{agent}` too: OpenCode takes its permissions from the environment.
    several = {"{permission}": launch.permission.get(permission, ()), "{session}": conversation}
    if profile.raw:
        values["inputs"] = inputs
    else:
        several["{inputs}"] = launch.inputs if inputs else ()
    argv = [_fill(part, values) for word in launch.argv for part in several.get(word, (word,))]
    return argv, text if launch.task_via == "stdin" else None


def task_text(profile: AgentProfile, task: str, role: str | None) -> str:
    """Return the text that the agent is given: role prompt, then the task.

    A task that would be read as an option or as one of the agent's own commands gets a word before it.
    """
    if profile.raw:
        return task
    if role:
        return f"{role}\n\nThe task: {task}"
    is_unclear = task.lstrip().startswith(_TAKEN_STARTS) or len(task.split()) == 1
    return f"The task: {task}" if is_unclear else task


def lead_command(profile: AgentProfile) -> list[str]:
    """Return the argv that starts the agent as the lead, with no task yet."""
    return [_fill(word, {"agent": _program(profile)}) for word in profile.lead]


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


def recognise(
    profiles: Mapping[str, AgentProfile], processes: Iterable[Sequence[str]]
) -> AgentProfile | None:
    """Return the agent that one of these command lines belongs to, the first one that is any."""
    for argv in processes:
        names = list(_process_names(argv))
        for profile in profiles.values():
            if any(_is_process(wanted, name) for wanted in profile.processes for name in names):
                return profile
    return None


def known_types(profiles: Mapping[str, AgentProfile], config: Config) -> list[str]:
    """Return every type that a plan may name."""
    return sorted({AUTO, *ROLES, *profiles, *config.types})


def builtin_agents(profiles: Mapping[str, AgentProfile]) -> list[str]:
    """Return the agents that are ours and no shell: the trust table treats the others as the user's own."""
    return [p.name for p in profiles.values() if p.builtin and p.name != SHELL]


def resolve_type(
    type: str, profiles: Mapping[str, AgentProfile], config: Config, path: str
) -> tuple[AgentProfile, str | None]:
    """Return the agent that runs a type, with its program found on the PATH, and its role prompt.

    Roles and types without an agent use the configured default type, else the first agent found.
    Raises AgentMissingError when nothing is there to run it, ConfigError for a type nobody knows.
    """
    own = config.types.get(type)
    if own and own.command:
        profile = _own_program(own)
        found = _located(profile, path)
        if not found:
            raise AgentMissingError(f'the program "{own.command[0]}" of type {type} was not found')
        return found, None
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


def _program(profile: AgentProfile) -> str:
    return profile.program or profile.executables[0]


def _fill(word: str, values: Mapping[str, str]) -> str:
    # One pass: what a value holds is never filled in again.
    return _PLACEHOLDER.sub(lambda found: values.get(found.group(1), found.group()), word)


def _process_names(argv: Sequence[str]) -> Iterable[str]:
    """Yield the program of a command line, and the script or module when it is an interpreter."""
    if not argv or not argv[0]:
        return
    program = argv[0].split(" ")[0] if len(argv) == 1 else argv[0]
    yield program.removeprefix("-")
    if not _INTERPRETER.fullmatch(PurePath(program.removeprefix("-")).name):
        return
    rest = list(argv[1:])
    while rest:
        word = rest.pop(0)
        if word == "-m" and rest:
            yield rest[0]
            return
        if word == "-c":
            return
        if word and not word.startswith("-"):
            yield word
            return


def _is_process(wanted: str, name: str) -> bool:
    if "/" in wanted:
        return f"/{wanted.strip('/')}/" in f"/{name.strip('/')}/"
    return PurePath(name).name == wanted


def _read_profile(path: Path, builtin: bool, problems: list[str]) -> AgentProfile:
    file = read_toml(path)
    screen = _screen(path, file, problems)
    states = _states(path, file)
    reader = Reader(file, (), file.data)
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
        sessions=reader.words("sessions"),
        exits=read_exits(reader.sub("exit")),
        not_done=tuple(read_not_done(item) for item in reader.tables("not_done")),
        writes=reader.words("writes"),
        teach=read_teaching(reader.sub("teach")),
        raw=reader.flag("raw"),
        offered=reader.flag("offered", True),
        rank=reader.whole("rank", 100, 0, 1000),
        tested=reader.text("tested"),
        builtin=builtin,
    )
    if not profile.oneshot.argv and file.data:
        reader.problem("oneshot", "is needed, with an argv")
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
    return tuple(_fill(word, values) for word in words)
