"""Whether a program runs a role: tried with a stand-in for the agent that it is to start, and remembered.

Programs that stand between us and an agent have been seen to print their usage and exit 0, and to exit 0 when
the agent had failed (claude-flow 2.7.47 and 3.43.0, in all but one of their commands).
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from aiorch.workers.profile import AgentProfile, command

TRIAL_SECONDS = 30.0
"""Time for both runs of a trial; claude-flow 3.43.0 takes 1 s for each."""

_FAILED = 7
_TASK = "Change nothing: this only tries whether you are started. {token}"
# Programs ask an agent for its version before they start it.
_STAND_IN = """#!/bin/sh
case $1 in --version | -v) echo '2.1.330 (Claude Code)'; exit 0 ;; esac
printf '%s\\n' "$@" >>{called}
exit {status}
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a trial showed; `trouble` is '' when the program runs the role."""

    trouble: str

    @property
    def runs(self) -> bool:
        """Return whether the program runs the role and tells how that ended."""
        return not self.trouble


class Proofs:
    """The outcomes of all trials of a user, by program and role; a program that changed is tried again."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def of(self, program: AgentProfile, role: str) -> Proof | None:
        """Return what is known of a located program, None before its trial."""
        trouble = self._read().get(_key(program, role))
        return Proof(trouble) if isinstance(trouble, str) else None

    def settle(self, program: AgentProfile, role: str, path: str) -> Proof:
        """Return what is known of a located program, after a trial when nothing is; takes seconds then."""
        known = self.of(program, role)
        if known is not None:
            return known
        proof = try_role(program, role, path)
        self._keep(_key(program, role), proof.trouble)
        return proof

    def _read(self) -> dict[str, object]:
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, key: str, trouble: str) -> None:
        # What cannot be kept is tried again by the next engine.
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            new.touch(mode=0o600)
            new.write_text(json.dumps(self._read() | {key: trouble}))
            new.replace(self._file)


def try_role(program: AgentProfile, role: str, path: str) -> Proof:
    """Run a role with a stand-in for the agent, once that ends well and once that fails.

    Both run in an empty folder with a HOME of its own, without the user's variables.
    """
    end = time.monotonic() + TRIAL_SECONDS
    for status in (0, _FAILED):
        token = secrets.token_hex(8)
        with tempfile.TemporaryDirectory(prefix="aiorch-", ignore_cleanup_errors=True) as folder:
            ended, called = _run(program, role, path, Path(folder), token, status, end)
        if ended is None:
            return Proof(f"it does not end within {TRIAL_SECONDS:.0f} s")
        if token not in called:
            return Proof(f"it does not start {program.starts} with the task")
        if (ended == 0) != (status == 0):
            return Proof(f"it exits {ended} when {program.starts} exits {status}")
    return Proof("")


def _run(
    program: AgentProfile, role: str, path: str, folder: Path, token: str, status: int, end: float
) -> tuple[int | None, str]:
    """Return how the program exits, None when it does not, and the words that the stand-in was given."""
    called, stand_in = folder / "called", folder / "bin" / program.starts
    for name in ("bin", "home", "work"):
        (folder / name).mkdir()
    stand_in.write_text(_STAND_IN.format(called=shlex.quote(str(called)), status=status))
    stand_in.chmod(0o700)
    environment = {
        **{"PATH": f"{stand_in.parent}:{path}", "HOME": str(folder / "home"), "TERM": "dumb"},
        **{"LANG": os.environ.get("LANG", "C.UTF-8"), "NO_COLOR": "1"},
    }
    argv = _argv(program, role, _TASK.format(token=token))
    ended = _ended(argv, environment, folder / "work", end)
    return ended, called.read_text(errors="replace") if called.exists() else ""


def _argv(program: AgentProfile, role: str, task: str) -> list[str]:
    launch = program.roles[role]
    level = next(iter(launch.permission), "")
    runner = replace(program, oneshot=launch, interactive=None)
    return command(runner, task=task, mode="oneshot", permission=level, role=None)[0]


def _ended(argv: list[str], environment: Mapping[str, str], cwd: Path, end: float) -> int | None:
    try:
        process = subprocess.Popen(
            argv, env=dict(environment), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except OSError:
        return 127
    try:
        return process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    finally:
        # What it left running belongs to its group, whose number is free only when all of it is gone.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _key(program: AgentProfile, role: str) -> str:
    """Return what a trial is remembered by: the program's file, and the words that it is started with.

    The time is that of the change of its entry: package managers set the other one to a time of their own.
    """
    real = Path(program.program).resolve()
    try:
        facts = real.stat()
        state = f"{facts.st_ino}:{facts.st_ctime_ns}:{facts.st_size}"
    except OSError:
        state = "gone"
    return json.dumps([str(real), state, role, *program.roles[role].argv])
