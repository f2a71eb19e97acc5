"""`aiorch init --mcp`: tells agents of our MCP server, each in its own settings."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiorch import paths
from aiorch.errors import AgentMissingError, InstructionFileError, UsageError
from aiorch.teach.json_member import set_member, take_member
from aiorch.teach.mcp_place import HOME, Registration
from aiorch.teach.project import Change, apply, check_file, difference, project_root, read_file
from aiorch.teach.toml_table import set_table, take_table
from aiorch.ui.terminal import printable, say
from aiorch.workers.executable import find_executable
from aiorch.workers.profile_file import load_profiles

NAME = "aiorch"


def register(options: argparse.Namespace) -> int:
    """Write our server into the settings of agents, or take it out; return the exit code.

    Nothing is written when one of the files cannot be changed. Raises UsageError, AgentMissingError,
    InstructionFileError.
    """
    profiles = load_profiles(paths.config_dir() / "profiles")
    known = {name: profile.mcp for name, profile in profiles.items() if profile.mcp}
    executables = {name: profiles[name].executables for name in known}
    chosen = _chosen(known, executables, options.agent, take_out=options.remove)
    try:
        root = project_root(Path.cwd())
    except FileNotFoundError:
        raise UsageError("the current directory is gone") from None
    found = changes(root, {name: known[name] for name in chosen}, _command(), take_out=options.remove)
    if not options.dry_run:
        for change in found:
            if change.after is not None:
                change.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            apply(change)
    _tell(found, known, options)
    return 0


def changes(root: Path, wanted: Mapping[str, Registration], command: str, *, take_out: bool) -> list[Change]:
    """Return what is to be done to the settings of these agents.

    Raises InstructionFileError with one sentence for each file that cannot be changed.
    """
    found, problems = [], []
    for name, where in wanted.items():
        path = where.place(root)
        try:
            found.append(_change(name, where, path, command, root, take_out=take_out))
        except InstructionFileError as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise InstructionFileError("\n".join(problems))
    return found


def _change(
    name: str, where: Registration, path: Path, command: str, root: Path, *, take_out: bool
) -> Change:
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as error:
        raise InstructionFileError("it is a link that leads in a circle") from error
    if not where.file.startswith(HOME) and not real.is_relative_to(root):
        raise InstructionFileError(f"it is a link that leads out of the project, to {real}")
    before = read_file(real) if real.parent.is_dir() else None
    check_file(real, before)
    text = (before or b"").decode()
    does = _taken if take_out else _with_server
    new = does(where, text, where.server(command))
    # An empty file that was there stays one.
    after = new.encode() if new or before == b"" else None
    return Change(
        real, (str(path),), (name,), where.form, before, before if new == text else after, _mark(where)
    )


def _with_server(where: Registration, text: str, server: Mapping[str, Any]) -> str:
    place = [*where.table, NAME]
    if where.form == "json":
        return set_member(text, place, server)
    return set_table(text, place, server)


def _taken(where: Registration, text: str, _server: object) -> str:
    place = [*where.table, NAME]
    return take_member(text, place) if where.form == "json" else take_table(text, place)


def _mark(where: Registration) -> bytes:
    return b'"aiorch"' if where.form == "json" else f"[{'.'.join([*where.table, NAME])}]".encode()


def _command() -> str:
    """Return what starts us: the bare name where it is on the PATH, for files that others read, too."""
    found = find_executable(NAME, os.environ.get("PATH", ""))
    own = paths.script("aiorch")
    if found and Path(found).resolve() == own.resolve():
        return NAME
    return str(own)


def _chosen(
    known: Mapping[str, Registration],
    executables: Mapping[str, Sequence[str]],
    named: Sequence[str] | None,
    *,
    take_out: bool,
) -> list[str]:
    for name in named or ():
        if name not in known:
            raise UsageError(f"{name} cannot be told of an MCP server; these can: {', '.join(known)}")
    if named:
        return list(dict.fromkeys(named))
    if take_out:
        return list(known)
    path = os.environ.get("PATH", "")
    found = [name for name in known if any(find_executable(each, path) for each in executables[name])]
    if not found:
        raise AgentMissingError(
            f"no agent was found on the PATH: name the ones to tell, --agent {' '.join(known)}"
        )
    return found


def _tell(found: Iterable[Change], known: Mapping[str, Registration], options: argparse.Namespace) -> None:
    shown = [change for change in found if change.action != "unchanged" or not options.remove]
    if options.json:
        files = [
            {"file": change.names[0], "agents": list(change.agents), "action": change.action,
             "hint": known[change.agents[0]].hint}
            for change in found
        ]  # fmt: skip
        say(json.dumps({"dry_run": options.dry_run, "files": files}, indent=1))
        return
    for change in shown:
        would = "would be " if options.dry_run and change.action != "unchanged" else ""
        say(printable(f"{would}{change.action}: {change.names[0]} ({change.agents[0]})"))
        if options.dry_run:
            say(difference(change))
        hint = known[change.agents[0]].hint
        if hint and not options.remove:
            say(f"note: {hint}")
    if not shown:
        say("no agent here knows our MCP server")
