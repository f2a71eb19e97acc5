"""Reading what an agent left on the disk, none of which is trusted: plain files of the user's own only."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aiorch.capture.json_text import loads

# Codex puts its instructions, many kilobytes, into the first line: what is asked for stands before them.
HEAD_BYTES = 16 * 1024
TAIL_BYTES = 16 * 1024
END_BYTES = 512 * 1024
NOTE_BYTES = 256 * 1024
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_COLON = re.compile(r"\s*:\s*")
_TIME = re.compile(r'"(?:timestamp|startTime|lastUpdated)"\s*:\s*"([0-9T:.+Z-]{10,40})"')


@dataclass(frozen=True, slots=True)
class Entry:
    """One plain file in a folder; `written` is its time of last change, seconds since the epoch."""

    name: str
    path: Path
    written: float


def is_session(name: object) -> bool:
    """Return whether a value may be used as a session's name in a path: no separator, not hidden."""
    return isinstance(name, str) and bool(_SESSION.fullmatch(name))


def owned(path: Path, base: Path | None = None) -> Path | None:
    """Return the real path of a plain file of the user's own that really lies below `base`, else None.

    Links above `base` are the user's way to move the whole folder elsewhere; below it nobody needs one.
    """
    try:
        info = path.lstat()
        real = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return None
    if not stat.S_ISREG(info.st_mode) or not _is_own(info):
        return None
    return real if base is None or _is_below(real, base) else None


def listed(
    folder: Path, suffix: str | tuple[str, ...] = "", prefix: str = "", since: float = 0.0
) -> Iterator[Entry]:
    """Yield the plain files of the user's own in a folder; none where it cannot be read or is a link.

    Those last written before `since` are left out: there may be thousands, and each is looked at often.
    """
    if not is_plain_folder(folder):
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(suffix) or not entry.name.startswith(prefix):
                continue
            with suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                if info.st_mtime >= since and stat.S_ISREG(info.st_mode) and _is_own(info):
                    yield Entry(entry.name, Path(entry.path), info.st_mtime)


def named(folder: Path, name: str, since: float = 0.0) -> Iterator[Entry]:
    """Yield the files of one name in the folders of a folder, as `listed` does, by the folders' names."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    try:
        for inner in os.listdir(descriptor):  # noqa: PTH208  # there may be thousands
            path = _dated(descriptor, f"{inner}/{name}", since)
            if path is not None and is_plain_folder(folder / inner):
                yield Entry(inner, folder / inner / name, path)
    finally:
        os.close(descriptor)


def _dated(descriptor: int, path: str, since: float) -> float | None:
    try:
        info = os.stat(path, dir_fd=descriptor, follow_symlinks=False)  # from a descriptor
    except (OSError, ValueError):
        return None
    good = info.st_mtime >= since and stat.S_ISREG(info.st_mode) and _is_own(info)
    return info.st_mtime if good else None


def real(folder: Path) -> Path:
    """Return a folder without links above or in it: it is the user's way to keep sessions elsewhere."""
    try:
        return folder.resolve()
    except (OSError, RuntimeError, ValueError):
        return folder


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder, which it is not when that cannot be known."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_plain_folder(path: Path) -> bool:
    """Return whether a path is a folder and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Return whether something is at a path, which there is not when that cannot be known."""
    try:
        return path.exists()
    except OSError:
        return False


def folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, links to folders not among them; empty where it cannot be read."""
    found: list[Path] = []
    with suppress(OSError), os.scandir(folder) as entries:
        found += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return found


def signature(path: Path) -> tuple[int, ...]:
    """Return what is another one when a file was written or replaced; empty when it is gone."""
    try:
        facts = path.lstat()
    except (OSError, ValueError):
        return ()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def head(path: Path) -> str:
    """Return the first HEAD_BYTES of a plain file; '' where it cannot be read."""
    return _read(path, 0, HEAD_BYTES)


def end(path: Path) -> str:
    """Return the last END_BYTES of a plain file, from the first whole line on; '' where it cannot be read."""
    try:
        size = path.lstat().st_size
    except OSError:
        return ""
    text = _read(path, max(0, size - END_BYTES), END_BYTES)
    return text if size <= END_BYTES else text.partition("\n")[2]


def last_time(path: Path) -> float | None:
    """Return the last time stamp in the last TAIL_BYTES of a session file."""
    try:
        size = path.lstat().st_size
    except OSError:
        return None
    times = _TIME.findall(_read(path, max(0, size - TAIL_BYTES), TAIL_BYTES))
    return _seconds(times[-1]) if times else None


def first_time(text: str) -> float | None:
    """Return the first time stamp in the first lines of a session file."""
    time = _TIME.search(text)
    return _seconds(time.group(1)) if time else None


def first_string(text: str, key: str) -> str | None:
    """Return the first string value under a key, in a text that may be cut off in the middle of its JSON."""
    start = first_value(text, key)
    found = _STRING.match(text, start) if start >= 0 else None
    if found is None:
        return None
    try:
        value = loads(found.group())
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def begins_with(text: str, key: str, start: str) -> bool:
    """Return whether the first value under a key begins so."""
    at = first_value(text, key)
    return at >= 0 and text.startswith(start, at)


def first_value(text: str, key: str) -> int:
    """Return where the first value under a key starts, -1 when there is no such key."""
    word, at = f'"{key}"', -1
    while (at := text.find(word, at + 1)) >= 0:
        colon = _COLON.match(text, at + len(word))
        # Within a string every quote has a backslash before it: only a real key has none.
        if colon and text[at - 1 : at] != "\\":
            return colon.end()
    return -1


def note(path: Path) -> dict[str, Any]:
    """Return a small JSON object from a file; empty when it is none, too large, or not the user's own."""
    text = _read(path, 0, NOTE_BYTES)
    try:
        value = loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def line(path: Path) -> str:
    """Return the text of a small file without blanks around it; '' where it cannot be read."""
    return _read(path, 0, HEAD_BYTES).strip()


def nearest(folder: Path) -> Path | None:
    """Return the folder itself or the nearest one above it that exists."""
    for path in (folder, *folder.parents):
        if is_folder(path):
            return path
    return None


def _read(path: Path, start: int, size: int) -> str:
    """Read a piece of a plain file of the user's own; never waits on a pipe, never follows a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor, not a path
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or not _is_own(info):
            return ""
        try:
            file.seek(start)
            return file.read(size).decode("utf-8", "replace")
        except OSError:
            return ""


def _is_own(info: os.stat_result) -> bool:
    # Root watches the panes of root, and may be asked to watch another's.
    return os.geteuid() in (info.st_uid, 0)


def _is_below(path: Path, base: Path) -> bool:
    try:
        return path.is_relative_to(base.resolve(strict=True))
    except (OSError, RuntimeError):
        return False


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
