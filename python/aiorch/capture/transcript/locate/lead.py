"""The agent's process, and what the process table tells about it and about others of its kind."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from aiorch import process
from aiorch.capture.transcript.locate.files import is_folder, real

_INTERPRETERS = re.compile(r"(?:node|bun|deno|python[0-9.]*|sh|bash|dash|zsh)")

# Options of Node and Python whose value is a word of its own.
_WITH_VALUE = frozenset(("-r", "--require", "--import", "--loader", "-C", "--conditions", "-W", "-X"))


@dataclass(frozen=True)
class Lead:
    """The agent whose session file is looked for; `pids` is its process and its own re-executions."""

    format: str
    pid: int
    pids: tuple[int, ...]
    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    started: float | None
    home: Path

    def is_here(self, directory: str | None) -> bool | None:
        """Return whether a recorded directory is the agent's own; None when it says nothing.

        A directory that is not there (any more) says nothing: a project may have been moved.
        """
        if not directory or not directory.startswith("/"):
            return None
        if directory in self.directories or str(real(Path(directory))) == self.directories[0]:
            return True
        return False if is_folder(Path(directory)) else None

    @cached_property
    def directories(self) -> list[str]:
        """Return the agent's directory in all the ways it may be written: really, and through links."""
        told = self.environment.get("PWD", "")
        names = [str(real(Path(self.cwd))), self.cwd]
        if told.startswith("/") and str(real(Path(told))) == names[0]:
            names.append(told)
        return list(dict.fromkeys(names))

    def option(self, *names: str) -> str:
        """Return the value of a command-line option, '' when it is not there; the last one counts."""
        value = ""
        for word, following in zip(self.argv, [*self.argv[1:], ""], strict=True):
            name, sign, rest = word.partition("=")
            if word in names and not following.startswith("-"):
                value = following
            elif sign and name in names:
                value = rest
        return value

    def says(self, *words: str) -> bool:
        """Return whether the command line has one of these words."""
        return any(word in words for word in self.argv)


def read(
    format: str, pid: int, cwd: str, environment: Mapping[str, str], started: float | None
) -> Lead | None:
    """Return what the process table tells of an agent; None when it is gone, or its files are elsewhere."""
    members = process.family(pid)
    if not members:
        return None
    home = home_of(pid, environment)
    if home is None:
        return None
    return Lead(
        format=format,
        pid=pid,
        pids=tuple(member.pid for member in members),
        argv=members[0].argv,
        cwd=cwd,
        environment=environment,
        started=started if started is not None else process.started(pid),
        home=home,
    )


def home_of(pid: int, environment: Mapping[str, str]) -> Path | None:
    """Return a process' home: from its environment, else the one of its user, as Node and Python do."""
    told = environment.get("HOME", "")
    if told.startswith("/") and "\0" not in told:
        return Path(told)
    try:
        user = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        user = os.getuid()
    with suppress(KeyError):
        return Path(pwd.getpwuid(user).pw_dir)
    return None


def sees_the_same(pid: int, folder: Path) -> bool:
    """Return whether a folder is the same one for a process as for us; it is not in a container."""
    for path in (folder, *folder.parents):
        inside = Path(f"/proc/{pid}/root{path}")
        try:
            there = inside.stat()
        except FileNotFoundError:
            if is_folder(path) and Path(f"/proc/{pid}").exists():
                return False
            continue
        except OSError:
            # A process that cannot be looked into: nothing speaks against it.
            return True
        try:
            here = path.stat()
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    return True


def others(
    lead: Lead, root: Callable[[Mapping[str, str], Path], Path], competes: Callable[[str], bool]
) -> list[list[int]] | None:
    """Return the other agents of the same kind in the directories that `competes` says.

    Each is a list of its processes. Those that keep their files in another folder are left out. None
    when the system does not tell.
    """
    directories = process.working_directories()
    if directories is None:
        return None
    own = identity(lead.argv)
    found = []
    for pid, directory in directories:
        if pid in lead.pids or not competes(directory):
            continue
        argv = process.command_line(pid)
        if is_agent(lead.format, argv) or (own and identity(argv) == own):
            found.append(pid)
    mine = real(root(lead.environment, lead.home))
    return _grouped([pid for pid in found if _keeps_in(pid, root) in (None, mine)])


def is_agent(name: str, argv: tuple[str, ...]) -> bool:
    """Return whether a command line starts an agent, by the name of its program, script or package."""
    return any(_is_named(name, PurePath(word)) for word in identity(argv))


def identity(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a command line runs: the program, or the script that an interpreter was given."""
    if not argv or not argv[0]:
        return ()
    # A program that sets its title has all of it in its first word.
    program = argv[0].split(" ")[0] if len(argv) == 1 else argv[0]
    if not _INTERPRETERS.fullmatch(PurePath(program.removeprefix("-")).name):
        return (program,)
    words = list(argv[1:])
    while words:
        word = words.pop(0)
        if word == "-m" and words:
            return (words[0],)
        if word == "-c":
            return ()
        if not word.startswith("-"):
            return (word,)
        if word in _WITH_VALUE:
            words = words[1:]
    return ()


def _is_named(name: str, path: PurePath) -> bool:
    if name in (path.name, path.stem):
        return True
    if "node_modules" not in path.parts:
        return False
    package = path.parts[path.parts.index("node_modules") + 1 :]
    return any(
        re.fullmatch(rf"{re.escape(name)}(?:-(?:code|cli|ai))?(?:-linux.*|-darwin.*)?", part)
        for part in package
    )


def _keeps_in(pid: int, root: Callable[[Mapping[str, str], Path], Path]) -> Path | None:
    environment = process.environment(pid)
    home = home_of(pid, environment)
    return real(root(environment, home)) if environment and home else None


def _grouped(pids: list[int]) -> list[list[int]]:
    """Put each process to the one it comes from: a launcher and what it launched are one agent."""
    groups: dict[int, list[int]] = {}
    for pid in sorted(pids):
        first = pid
        above = process.parent(pid)
        while above in pids and above != first:
            first, above = above, process.parent(above)
        groups.setdefault(first, []).append(pid)
    return list(groups.values())
