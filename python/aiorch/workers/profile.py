"""Agent profiles: how each agent CLI is started, recognised and named; see `profile_file`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from aiorch.errors import ProfileError
from aiorch.teach.lesson import Teaching
from aiorch.teach.mcp_place import Registration
from aiorch.workers.exits import NotDone
from aiorch.workers.input_box import InputShape
from aiorch.workers.state_rules import StateRules

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
    settings (`~/…`), which a sandbox leaves writable. `teach` is None for what reads no instructions, `mcp`
    for what speaks no MCP.
    `exits` says what exit codes mean, `not_done` when 0 means nothing. `roles` are its own ways to run roles,
    by starting the agent `starts`; see `role_trial`. `input` is how its input box looks, None for what is
    never typed into.
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
    input: InputShape | None = None
    teach: Teaching | None = None
    mcp: Registration | None = None
    sessions: tuple[str, ...] = ()
    exits: Mapping[int, str] = field(default_factory=dict)
    not_done: tuple[NotDone, ...] = ()
    writes: tuple[str, ...] = ()
    roles: Mapping[str, Launch] = field(default_factory=dict)
    starts: str = ""
    raw: bool = False
    offered: bool = True
    rank: int = 100
    tested: str = ""
    builtin: bool = False
    program: str = ""


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
    argv = [filled(part, values) for word in launch.argv for part in several.get(word, (word,))]
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
    return [filled(word, {"agent": _program(profile)}) for word in profile.lead]


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


def _program(profile: AgentProfile) -> str:
    return profile.program or profile.executables[0]


def filled(word: str, values: Mapping[str, str]) -> str:
    """Return a word of an argv with its placeholders filled in."""
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
