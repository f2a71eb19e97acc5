"""`aiorch doctor`: what is there, what is missing, and what may do what."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata

from aiorch import __version__, paths, trust
from aiorch.config import Config, load_config
from aiorch.errors import AgentMissingError, ConfigError
from aiorch.workers.profile import AgentProfile, check_types, find_agent, load_profiles

_LIBRARIES = ("libtmux", "watchdog", "tomli", "pyavt")


def report(source: str, *, as_json: bool = False) -> int:
    """Print what was found, as text or JSON; return 0 when nothing is wrong, else 1.

    `source` says where the run of this session reads directives from, '' without a run.
    """
    facts = {
        "aiorch": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "tmux": _tmux_version(),
        **{name: metadata.version(name) for name in _LIBRARIES},
        "configuration": _configuration(),
        "runs": str(paths.state_dir() / "runs"),
        "directives": f"read from {source}" if source else "not read: no run in this session",
    }
    config, problems = _config()
    profiles = load_profiles(paths.config_dir() / "profiles")
    problems += check_types(profiles, config)
    problems += _missing(profiles)
    if shutil.which("split") is None:
        problems.append("the program `split` is missing: install coreutils")
    if as_json:
        _say(json.dumps({"facts": facts, "problems": problems}, indent=1))
        return 1 if problems else 0
    for name, value in facts.items():
        _say(f"{name:14} {value}")
    _say("\nWho may do what by itself (run, ask first, or refuse):")
    rows = trust.table(config.trust)
    sizes = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    for row in rows:
        _say("  ".join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)).rstrip())
    for problem in problems:
        _say(f"problem: {problem}")
    return 1 if problems else 0


def _config() -> tuple[Config, list[str]]:
    try:
        return load_config(paths.config_dir() / "config.toml"), []
    except ConfigError as error:
        return load_config(None), list(error.problems)


def _configuration() -> str:
    path = paths.config_dir() / "config.toml"
    return str(path) if path.exists() else f"{path} (not there: the defaults)"


def _missing(profiles: Mapping[str, AgentProfile]) -> list[str]:
    """Return what keeps workers or the key from working, one sentence each."""
    problems = []
    try:
        find_agent(profiles, os.environ.get("PATH", ""))
    except AgentMissingError as error:
        problems.append(str(error).partition("\n")[0])
    if shutil.which("aiorch") is None:
        problems.append(f"aiorch is not on PATH: agents and you call {paths.script('aiorch')} instead")
    if os.environ.get("TMUX"):
        argv = ["tmux", "show-options", "-gqv", "@aiorch_error"]
        told = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
        problems += [told] if told else []
    return problems


def _tmux_version() -> str:
    program = shutil.which("tmux")
    if program is None:
        return "missing"
    done = subprocess.run([program, "-V"], capture_output=True, text=True, check=False)
    return f"{done.stdout.strip().removeprefix('tmux ')} ({program})"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output
