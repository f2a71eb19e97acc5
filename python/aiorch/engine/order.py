"""What one attempt of a worker takes: its agent, its command, its environment."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiorch.config import Config
from aiorch.journal import WorkerRow
from aiorch.launch.local import Job
from aiorch.workers.changes import tree_of
from aiorch.workers.profile import AgentProfile, command, launch_of, task_text
from aiorch.workers.types import resolve_type

RESUMED = """You were cut off in the midst of your task. Look at what is done already, and go on with it.

The task: {task}"""
INPUTS = """

The results of the workers before you ({names}) are in {folder}: NAME.md is what one said, NAME.json how it \
ended and what it changed."""
# What belongs to the pane or the agent the variables come from, not to a worker.
_OWN_VARIABLES = frozenset(
    [
        *("TMUX", "TMUX_PANE", "TERM", "PWD", "OLDPWD", "SHLVL", "_", "COLUMNS", "LINES"),
        *("CLAUDECODE", "CLAUDE_PID", "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_ENTRYPOINT"),
        *("CODEX_CI", "CODEX_THREAD_ID", "CODEX_SESSION_ID", "GEMINI_CLI", "OPENCODE", "AGENT"),
        *("QWEN_CODE", "QWEN_CODE_SESSION_ID", "COPILOT_CLI", "COPILOT_AGENT_SESSION_ID"),
        *("AIORCH_INPUTS", "AIORCH_RESULT", "AIORCH_CHECK", "AIORCH_CWD"),
    ]
)


@dataclass(frozen=True, slots=True)
class Order:
    """How one attempt is to be run; `session` is the agent's own session, '' when it has none to name.

    `text` is what goes into the attempt's task file, when its command names that; `inputs` are the results of
    the workers before it, by file name, None when it waits for nobody.
    """

    profile: AgentProfile
    argv: list[str]
    stdin: str | None
    session: str
    text: str | None
    inputs: Mapping[str, str] | None = None

    def job(self, row: WorkerRow, variables: Mapping[str, str], directory: str) -> Job:
        """Return what the launcher needs, with those of the lead's variables that a worker gets."""
        given = environment_of(row, self.profile.env, variables)
        return Job(
            row.action,
            self.argv,
            self.stdin,
            directory,
            given,
            self.text,
            inputs=self.inputs,
            tree=tree_of(directory) is not None,
            writes=self.profile.writes,
        )


def environment_of(row: WorkerRow, own: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker: the lead's, what its agent's profile adds, and who it is."""
    given = worker_environment(variables)
    return given | dict(own) | {"AIORCH_WORKER": row.name, "AIORCH_ATTEMPT": str(row.attempt)}


def worker_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return those of the lead's variables that a worker gets."""
    return {name: value for name, value in variables.items() if name not in _OWN_VARIABLES}


class Batch:
    """Attempts that begin together, once the first of them has a place."""

    def __init__(self, begin: Callable[[], dict[int, Order]]) -> None:
        self._begin = begin
        self._orders: dict[int, Order] | None = None

    def take(self, number: int) -> Order | None:
        """Return what a worker's attempt takes, None when it cannot be started."""
        if self._orders is None:
            self._orders = self._begin()
        return self._orders.pop(number, None)

    @property
    def left(self) -> list[int]:
        """Return the workers that were to begin and were not taken."""
        return list(self._orders or ())


def order_of(
    row: WorkerRow,
    config: Config,
    profiles: Mapping[str, AgentProfile],
    *,
    path: str,
    file: str,
    folder: str = "",
    inputs: Mapping[str, str] | None = None,
    runs: Callable[[AgentProfile, str], bool] = lambda _program, _role: False,
) -> Order:
    """Return how the present attempt of a worker is run; `file` is where its task may be put.

    `runs` says whether a program was seen to run a role.

    `inputs` are the results of the workers before it, by file name, that will be in `folder`.

    Raises AiorchError when nothing on `path` can run it.
    """
    mode, permission = config.mode_of(row.type), config.permission_of(row.type)
    profile, role = resolve_type(row.type, profiles, config, path, runs)
    task = RESUMED.format(task=row.task) if row.resumes else row.task
    if inputs is not None and not profile.raw:
        task += INPUTS.format(names=", ".join(row.after), folder=folder)
    knows = launch_of(profile, mode, permission).session
    session = (row.session if row.resumes else str(uuid.uuid4())) if knows else ""
    argv, stdin = command(
        profile, task=task, mode=mode, permission=permission, role=role, file=file,
        session=session, resumes=row.resumes, inputs=folder if inputs is not None else "",
    )  # fmt: skip
    text = task_text(profile, task, role) if any(file in word for word in argv) else None
    return Order(profile, argv, stdin, session, text, inputs)
