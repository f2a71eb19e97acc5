"""The process table: what runs in a pane, and with which environment."""

from __future__ import annotations

import os
import stat as modes
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_NO_FILES = ("/dev/", "/proc/", "/memfd:")


class Process(NamedTuple):
    """One process of a pane; `foreground` when the terminal's keys and screen are its own now."""

    pid: int
    argv: tuple[str, ...]
    foreground: bool = True


class Usage(NamedTuple):
    """The memory that a process holds, in bytes, and the processor time that it has had, in seconds."""

    memory: int
    seconds: float


def tree(root: int) -> list[Process]:
    """Return the process `root` and its descendants, parents first; zombies count as gone."""
    if sys.platform.startswith("linux"):
        return list(_proc_tree(root))
    return list(_ps_tree(root))


def environment(pid: int) -> dict[str, str]:
    """Return the environment a process was started with; empty where the system does not tell."""
    try:
        data = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.decode("utf-8", "surrogateescape").partition("=") for entry in data.split(b"\0") if entry)
    return {name: value for name, sign, value in pairs if sign and name}


def working_directory(pid: int) -> str | None:
    """Return the directory a process is in, None where the system does not tell."""
    try:
        return str((_PROC / str(pid) / "cwd").readlink())
    except OSError:
        return None


def ancestry(pid: int) -> list[int]:
    """Return the process and those it comes from, nearest first; itself alone where /proc is missing."""
    found = []
    while pid > 1 and pid not in found:
        found.append(pid)
        stat = _stat(pid)
        if not stat:
            break
        pid = int(stat[1])
    return found


def family(root: int) -> list[Process]:
    """Return `root` and those of its descendants that are in its process group, parents first.

    They are the launchers and re-executions of one program; what an agent runs as a tool has a group of
    its own (seen in Claude Code, Codex, Qwen Code and Copilot).
    """
    found = tree(root)
    groups = _groups([process.pid for process in found])
    return [process for process in found if groups.get(process.pid) == groups.get(root)]


def started(pid: int) -> float | None:
    """Return when a process began, in seconds since the epoch to 10 ms; None where that is not known."""
    ticks = start_ticks(pid)
    if ticks is None:
        return None
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - since_boot


def start_ticks(pid: int) -> int | None:
    """Return the kernel's start mark of a process: with the pid it names one process and no later one."""
    stat = _stat(pid)
    return int(stat[19]) if len(stat) > 19 else None


def written_files(pid: int) -> list[str]:
    """Return the files a process holds open for writing; empty where the system does not tell."""
    folder = f"/proc/{pid}/fd"
    found = []
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208  # an agent may have hundreds
            with suppress(OSError):
                path = os.readlink(f"{folder}/{name}")  # noqa: PTH115
                # The link's own permissions say what the file was opened for.
                if path.startswith("/") and os.lstat(f"{folder}/{name}").st_mode & modes.S_IWUSR:
                    found.append(path)
    return [path for path in found if not path.startswith(_NO_FILES)]


def working_directories() -> Iterator[tuple[int, str]] | None:
    """Return every process whose working directory we may read, so the user's own, with that directory.

    None where the system does not tell.
    """
    return _proc_directories() if sys.platform.startswith("linux") else None


def command_line(pid: int) -> tuple[str, ...]:
    """Return the command line of a process; empty when it is gone or the system does not tell."""
    try:
        return _argv((_PROC / str(pid) / "cmdline").read_bytes())
    except OSError:
        return ()


def belongings(root: int, variable: str) -> list[int]:
    """Return the processes of one command: `root`, what comes from it, and what left its tree.

    Those are known by the environment they were started with: it holds `variable`, as `NAME=value`. Without
    /proc only the tree is known. Never this process or one it comes from.
    """
    own = set(ancestry(os.getpid()))
    found = [one.pid for one in tree(root)] if root else []
    mark = b"\0" + os.fsencode(variable) + b"\0"
    for name in os.listdir(_PROC) if _PROC.is_dir() else ():  # noqa: PTH208  # this looks at every process
        if name.isdigit() and int(name) not in found:
            with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                if mark in b"\0" + file.read() and is_alive(int(name)):
                    found.append(int(name))
    return [pid for pid in found if pid not in own]


def parent(pid: int) -> int | None:
    """Return the process that a process comes from; None when it is gone or the system does not tell."""
    stat = _stat(pid)
    return int(stat[1]) if stat else None


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    if sys.platform.startswith("linux"):
        return not _is_gone(_stat(pid))
    return any(process.pid == pid for process in _ps_tree(pid))


def is_stopped(pid: int) -> bool:
    """Return whether a signal or a debugger has stopped a process; False where that is not known."""
    return _stat(pid)[:1] in (["T"], ["t"])


def boot_id() -> str:
    """Return what names this start of the machine; '' where the kernel does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def usage(pid: int) -> Usage | None:
    """Return what a process uses; None when it is gone or the system does not tell."""
    stat = _stat(pid)
    if len(stat) <= 21:
        return None
    seconds = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return Usage(int(stat[21]) * os.sysconf("SC_PAGE_SIZE"), seconds)


def is_same(pid: int, ticks: int) -> bool:
    """Return whether the process that began at `ticks` (0: not known) runs, and not a later one."""
    return is_alive(pid) and ticks in (0, start_ticks(pid) or 0)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; empty when the process is gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    # The command name may hold anything, also a closing parenthesis: the last one ends it.
    return stat.rpartition(")")[2].split()


def _is_gone(stat: list[str]) -> bool:
    return not stat or stat[0] in "ZX"


def _proc_tree(root: int) -> Iterator[Process]:
    waiting = [root]
    while waiting:
        pid = waiting.pop(0)
        stat = _stat(pid)
        if _is_gone(stat):
            continue
        try:
            raw = (_PROC / str(pid) / "cmdline").read_bytes()
            # A child belongs to the thread that forked it: all threads have to be asked.
            threads = list((_PROC / str(pid) / "task").iterdir())
            children = [child for thread in threads for child in (thread / "children").read_text().split()]
        except OSError:
            continue
        # Process group against the terminal's foreground group: a stopped agent is not the one that prints.
        yield Process(pid, _argv(raw), foreground=stat[2] == stat[5])
        waiting.extend(int(child) for child in children)


def _argv(raw: bytes) -> tuple[str, ...]:
    return tuple(part.decode("utf-8", "replace") for part in raw.rstrip(b"\0").split(b"\0"))


def _groups(pids: list[int]) -> dict[int, int]:
    groups = {}
    for pid in pids:
        try:
            groups[pid] = os.getpgid(pid)
        except OSError:
            continue
    return groups


def _proc_directories() -> Iterator[tuple[int, str]]:
    for name in os.listdir(_PROC):  # noqa: PTH208  # several times faster, and this looks at every process
        if name.isdigit():
            with suppress(OSError):
                yield int(name), os.readlink(f"/proc/{name}/cwd")  # noqa: PTH115


def _ps_tree(root: int) -> Iterator[Process]:
    # Only where there is no /proc: most commands are spared it.
    import subprocess

    text = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,stat=,args="],
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
    ).stdout
    children: dict[int, list[Process]] = {}
    found: dict[int, Process] = {}
    for row in text.splitlines():
        pid, parent, state, *argv = row.split()
        if not state.startswith("Z"):
            found[int(pid)] = Process(int(pid), tuple(argv), foreground="+" in state)
            children.setdefault(int(parent), []).append(found[int(pid)])
    waiting = [found[root]] if root in found else []
    while waiting:
        process = waiting.pop(0)
        yield process
        waiting.extend(children.get(process.pid, []))
