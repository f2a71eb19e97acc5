"""`aiorch init`: teaches the agents of a project how to delegate."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from aiorch import paths
from aiorch.config import load_config
from aiorch.errors import AgentMissingError, ConfigError, UsageError
from aiorch.teach.lesson import FENCE
from aiorch.teach.project import Change, apply, changes, difference, project_root
from aiorch.ui.terminal import printable
from aiorch.workers.executable import find_executable
from aiorch.workers.profile import AgentProfile
from aiorch.workers.profile_file import load_profiles


def init(options: argparse.Namespace) -> int:
    """Write, or take out, the section in the instruction files of this project; return the exit code.

    Nothing is written when one of the files cannot be changed. Raises UsageError for an agent that reads
    no such file, AgentMissingError when none is named and none installed, InstructionFileError.
    """
    if options.mcp:
        from aiorch.teach.registration import register

        return register(options)
    profiles = load_profiles(paths.config_dir() / "profiles")
    chosen = _chosen(profiles, options.agent, take_out=options.remove)
    try:
        root = project_root(Path.cwd())
    except FileNotFoundError:
        raise UsageError("the current directory is gone") from None
    found = changes(root, profiles, chosen, take_out=options.remove)
    if not options.dry_run:
        for change in found:
            apply(change)
    if options.json:
        _say(json.dumps(_record(root, found, profiles, dry_run=options.dry_run), indent=1))
    else:
        _tell(root, found, profiles, options)
    return 0


def _chosen(
    profiles: Mapping[str, AgentProfile], named: Sequence[str] | None, *, take_out: bool
) -> list[str]:
    taught = [name for name, profile in profiles.items() if profile.teach]
    for name in named or ():
        if name not in profiles:
            raise UsageError(f'there is no agent "{name}"; known are {", ".join(taught)}')
        if name not in taught:
            raise UsageError(f"{name} reads no instruction file; these do: {', '.join(taught)}")
    if named:
        return list(dict.fromkeys(named))
    if take_out:
        return taught
    path = os.environ.get("PATH", "")
    found = [name for name in taught if any(find_executable(e, path) for e in profiles[name].executables)]
    if not found:
        raise AgentMissingError(
            f"no agent was found on the PATH: name the ones to teach, --agent {' '.join(taught)}"
        )
    return found


def _tell(
    root: Path, found: Sequence[Change], profiles: Mapping[str, AgentProfile], options: argparse.Namespace
) -> None:
    touched = [change for change in found if change.action != "unchanged"]
    shown = touched if options.remove else found
    would = "would be " if options.dry_run else ""
    for change in shown:
        prefix = would if change.action != "unchanged" else ""
        titles = ", ".join(profiles[name].title for name in change.agents)
        _say(printable(f"{prefix}{change.action}: {' = '.join(change.names)} ({titles})"))
        if options.dry_run:
            _say(difference(change))
    if not shown:
        _say("there is no section of aiorch here")
    _say(printable(f"in {root}"))
    for hint in _hints(touched, profiles):
        _say(printable(f"note: {hint}"))


def _hints(found: Sequence[Change], profiles: Mapping[str, AgentProfile]) -> list[str]:
    """Return what the user has to do so that files with a section are read."""
    kept = [change for change in found if change.action not in ("removed", "deleted")]
    taught = [profiles[name].teach for change in kept for name in change.agents]
    hints = dict.fromkeys(teach.hint for teach in taught if teach and teach.hint)
    # A configuration with mistakes is no reason to leave a file untaught; whatever starts a run names them.
    with suppress(ConfigError):
        fenced = load_config(paths.config_dir() / "config.toml").fenced
        if fenced != "accept" and any(change.form == FENCE for change in kept):
            hints[
                f'config.toml says fenced = "{fenced}", and the section tells to print directives in a fence'
            ] = None
    return list(hints)


def _record(
    root: Path, found: Sequence[Change], profiles: Mapping[str, AgentProfile], *, dry_run: bool
) -> dict[str, object]:
    files = [
        {
            "file": str(change.path),
            "names": list(change.names),
            "agents": list(change.agents),
            "form": change.form,
            "action": change.action,
            "hints": _hints([change], profiles),
        }
        for change in found
    ]
    return {"project": str(root), "dry_run": dry_run, "files": files}


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output
