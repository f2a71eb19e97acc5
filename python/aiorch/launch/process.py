"""The process table: what runs in a pane, and with which environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a pane."""

    pid: int
    argv: tuple[str, ...]


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
        try:
            stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return found


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    if sys.platform.startswith("linux"):
        return _state(pid) not in ("", "Z", "X")
    return any(process.pid == pid for process in _ps_tree(pid))


def _state(pid: int) -> str:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return ""
    # The command name may hold anything, also a closing parenthesis: the last one ends it.
    return stat.rpartition(")")[2].split()[0]


def _proc_tree(root: int) -> Iterator[Process]:
    waiting = [root]
    while waiting:
        pid = waiting.pop(0)
        if _state(pid) in ("", "Z", "X"):
            continue
        try:
            raw = (_PROC / str(pid) / "cmdline").read_bytes()
            # A child belongs to the thread that forked it: all threads have to be asked.
            threads = list((_PROC / str(pid) / "task").iterdir())
            children = [child for thread in threads for child in (thread / "children").read_text().split()]
        except OSError:
            continue
        yield Process(pid, tuple(part.decode("utf-8", "replace") for part in raw.rstrip(b"\0").split(b"\0")))
        waiting.extend(int(child) for child in children)


def _ps_tree(root: int) -> Iterator[Process]:
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
            found[int(pid)] = Process(int(pid), tuple(argv))
            children.setdefault(int(parent), []).append(found[int(pid)])
    waiting = [found[root]] if root in found else []
    while waiting:
        process = waiting.pop(0)
        yield process
        waiting.extend(children.get(process.pid, []))
