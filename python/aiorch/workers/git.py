"""git by argument lists: it waits for nobody, and runs no hook and no program of a tree."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aiorch.errors import GitError, WorkError

SECONDS = 120.0
LONG_SECONDS = 900.0
"""How long git may take for what writes a whole tree."""
_SHOWN = 20

# A tree of an untrusted project, or an agent, may have set what would run programs, ask, or open an editor.
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "commit.gpgSign=false",
    "merge.autoStash=false",
    "merge.verifySignatures=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "diff.ignoreSubmodules=dirty",
    # A worktree is known by the whole path that git has written down of it.
    "worktree.useRelativePaths=false",
)
_DROPPED = ("EDITOR", "VISUAL", "PAGER", "SSH_ASKPASS", "DISPLAY", "WAYLAND_DISPLAY")
_OWN = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_ASKPASS": "false",
    "GIT_EDITOR": ":",
    "GIT_PAGER": "cat",
    "LC_ALL": "C.UTF-8",
    "LANGUAGE": "C",
}


@dataclass(frozen=True, slots=True)
class Done:
    """What a program left: its exit status (None: it took too long), what it printed, what it said."""

    status: int | None
    out: bytes
    words: str

    @property
    def text(self) -> str:
        """Return what it printed, without the line end."""
        return os.fsdecode(self.out.removesuffix(b"\n"))

    @property
    def names(self) -> list[str]:
        """Return what it printed as names, each closed by a zero."""
        return [os.fsdecode(name) for name in self.out.split(b"\0") if name]


@dataclass(frozen=True, slots=True)
class Git:
    """git in one directory; `variables` are added to its environment.

    `box` is the command that runs it in a sandbox, when it is to be in one.
    """

    directory: str
    variables: Mapping[str, str]
    box: Sequence[str] = ()

    def run(self, *argv: str, data: bytes | None = None, seconds: float = SECONDS) -> Done:
        """Run one git command. Raises GitError when there is no git, or no such directory."""
        program = shutil.which("git", path=fixed_path(os.environ.get("PATH", os.defpath)))
        if program is None:
            raise GitError('git was not found: install it, or set isolation = "none" in config.toml')
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        command = [*self.box, program, *settings, *argv]
        return run(command, self.directory, environment(self.variables), data, seconds)

    def ask(self, *argv: str, data: bytes | None = None, seconds: float = SECONDS) -> Done:
        """Run one git command. Raises GitError in git's own words when it fails or takes too long."""
        done = self.run(*argv, data=data, seconds=seconds)
        if done.status != 0:
            raise GitError(f"git {argv[0]}: {said(done, seconds)}")
        return done

    def holds(self, *argv: str) -> bool:
        """Return whether a git command that asks for something says yes."""
        return self.run(*argv).status == 0


def git_in(directory: str, **variables: str) -> Git:
    """Return git in a directory, with these variables added to its environment."""
    return Git(directory, variables)


def environment(more: Mapping[str, str], base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for git: nothing in it names another repository, and nothing asks anybody."""
    given = os.environ if base is None else base
    kept = {n: v for n, v in given.items() if not n.startswith("GIT_") and n not in _DROPPED}
    if "PATH" in kept:
        kept["PATH"] = fixed_path(kept["PATH"])
    return kept | _OWN | dict(more)


def fixed_path(path: str) -> str:
    """Return a PATH without folders that depend on where one is: a worker's own tree has programs, too."""
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if folder.startswith("/"))


def run(
    argv: Sequence[str],
    directory: str,
    variables: Mapping[str, str],
    data: bytes | None = None,
    seconds: float = SECONDS,
    output: IO[bytes] | None = None,
) -> Done:
    """Run a program without a terminal; all that it began is ended with it when it takes too long.

    With `output` all that it prints goes into that file. Raises GitError when it cannot be started.
    """
    where = subprocess.PIPE if output is None else output
    try:
        child = subprocess.Popen(
            argv, cwd=directory, env=variables, stdout=where, start_new_session=True,
            stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
            stderr=subprocess.PIPE if output is None else subprocess.STDOUT,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise GitError(f"{Path(argv[0]).name} cannot be run in {directory}: {error}") from error
    try:
        out, words = child.communicate(data, seconds)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return Done(None, b"", "")
    return Done(child.returncode, out or b"", os.fsdecode(words or b"").strip())


def said(done: Done, seconds: float = SECONDS) -> str:
    """Return in one line why a program failed."""
    if done.status is None:
        return f"it took longer than {seconds:g} s"
    lines = [line.removeprefix("fatal: ").removeprefix("error: ") for line in done.words.splitlines() if line]
    return "; ".join(lines[:3]) or f"exit {done.status}"


def read_plain(path: Path) -> bytes:
    """Return what is in a file of git's; a worker may have put a link or a pipe in its place."""
    if path.is_symlink():
        raise WorkError(f"{path} is no regular file")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise WorkError(f"{path} is no regular file")
        return file.read()


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the first of many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(readable, names[:_SHOWN])) + more


def readable(name: str) -> str:
    """Return a name for a message; a worker may have called a file anything."""
    return name if name.isprintable() else repr(name)
