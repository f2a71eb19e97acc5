"""What lies below the state directory: sizes, modes and owners, gathered in one walk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = 512


@dataclass(slots=True)
class Survey:
    """Sizes of runs in bytes on disk, what others can read or own, and what could not be looked at."""

    runs: dict[Path, int] = field(default_factory=dict)
    open_folders: list[Path] = field(default_factory=list)
    open_files: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Return what all runs take."""
        return sum(self.runs.values())

    @property
    def largest(self) -> list[tuple[Path, int]]:
        """Return the three runs that take most, the largest first."""
        return sorted(self.runs.items(), key=lambda item: item[1], reverse=True)[:3]


def survey(state: Path, owner: int | None = None) -> Survey:
    """Walk a state directory, in which everything is to be `owner`'s (we ourselves) and for nobody else."""
    found, mine = Survey(), os.getuid() if owner is None else owner
    runs = state / "runs"
    for path in (state, runs, state / "sessions"):
        try:
            _judge(path, path.lstat(), mine, found)
        except FileNotFoundError:
            continue
        except OSError:
            found.unreadable.append(path)
    for root in _entries(runs, found):
        if root.is_dir(follow_symlinks=False):
            path = Path(root.path)
            _judge(path, root.stat(follow_symlinks=False), mine, found)
            found.runs[path] = _measure(path, mine, found)
    return found


def _judge(path: Path, status: os.stat_result, mine: int, found: Survey) -> None:
    if status.st_uid != mine:
        found.foreign.append(path)
    elif status.st_mode & 0o077 and not stat.S_ISLNK(status.st_mode):
        (found.open_folders if stat.S_ISDIR(status.st_mode) else found.open_files).append(path)


def _measure(root: Path, mine: int, found: Survey) -> int:
    """Return what a directory takes on disk, and judge all that is in it."""
    size, waiting = 0, [root]
    while waiting:
        for entry in _entries(waiting.pop(), found):
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                # The engine takes files away while we look.
                continue
            size += status.st_blocks * _BLOCK
            _judge(Path(entry.path), status, mine, found)
            if stat.S_ISDIR(status.st_mode):
                waiting.append(Path(entry.path))
    return size


def _entries(folder: Path, found: Survey) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return
    except OSError:
        found.unreadable.append(folder)
