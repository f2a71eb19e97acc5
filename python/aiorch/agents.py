"""`aiorch agents`: which agents are installed, in which version, and whether they start."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace

from aiorch.ui.terminal import printable
from aiorch.workers.executable import find_executable
from aiorch.workers.profile import AgentProfile
from aiorch.workers.role_trial import Proofs
from aiorch.workers.types import ROLES

START_SECONDS = 15.0
"""After which a program that was asked for its version counts as one that does not start; some take 8 s."""

_VERSION = re.compile(r"\bv?(\d+\.\d+(?:\.\d+)?[\w.+-]*)")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Installed:
    """One agent on this machine; `program` is None when it is not installed.

    `works` says that it started and told its version, None when nobody asked: it has no versions.
    `roles` are those it claims to run, with what speaks against it by a trial ('': it runs the role).
    """

    name: str
    title: str
    program: str | None
    version: str
    tested: str
    works: bool | None
    trouble: str
    install: str
    roles: Mapping[str, str] = field(default_factory=dict)


def installed(profiles: Mapping[str, AgentProfile], path: str, proofs: Proofs) -> list[Installed]:
    """Return all agents in the order in which they are offered; those on `path` are asked for their version.

    They are asked at the same time, with nothing to read and START_SECONDS each. Those that claim to run
    roles are tried once, which `proofs` remembers.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda profile: _look(profile, path, proofs), profiles.values()))


def as_json(found: Iterable[Installed]) -> str:
    """Return the agents as JSON."""
    return json.dumps([asdict(one) for one in found], indent=1)


def as_text(found: Collection[Installed]) -> str:
    """Return the agents as a table, and what runs the roles."""
    lines = [_line(one) for one in found]
    lines += [
        "",
        f"The roles {', '.join(ROLES)} run as the default agent, with words of their own before the task.",
    ]
    for one in found:
        lines += [_role_line(one, role, trouble) for role, trouble in one.roles.items()]
    return printable("\n".join(lines))


def _role_line(one: Installed, role: str, trouble: str) -> str:
    if trouble:
        return f"{one.title} {one.version} does not run {role}: {trouble}."
    return f'{one.title} {one.version} runs {role} where you let that do all (permissions = "full").'


def _look(profile: AgentProfile, path: str, proofs: Proofs) -> Installed:
    found = (program for name in profile.executables if (program := find_executable(name, path)))
    program = next(found, None)
    version, trouble, works = "", "", None
    if program and profile.tested:
        version, trouble = _version_of(program, path)
        works = not trouble
    located, roles = replace(profile, program=program or ""), profile.roles if works else ()
    return Installed(
        profile.name, profile.title, program, version, profile.tested, works, trouble, profile.install_hint,
        {role: proofs.settle(located, role, path).trouble for role in roles},
    )  # fmt: skip


def _version_of(program: str, path: str) -> tuple[str, str]:
    """Return the version that a program tells, and what is wrong when it tells none."""
    try:
        done = subprocess.run(
            [program, "--version"], env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=START_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "", f"it does not tell its version within {START_SECONDS:.0f} s"
    except OSError as error:
        return "", f"it does not start: {error.strerror}"
    said = (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace")
    if done.returncode:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        why = f": {lines[-1][:_SHOWN]}" if lines else ""
        return "", f"it does not start (exit {done.returncode}){why}"
    number = _VERSION.search(said)
    return (number[1], "") if number else ("", "it tells no version")


def _line(one: Installed) -> str:
    if one.program is None:
        return f"{one.name:12} - {'':12} {one.title:14} {one.install}"
    mark = "✖" if one.works is False else "✔"
    other = one.version and one.version != one.tested
    notes = one.trouble or (f"tested with {one.tested}" if other else "")
    where = f"{one.program} ({notes})" if notes else one.program
    return f"{one.name:12} {mark} {one.version:12} {one.title:14} {where}"
