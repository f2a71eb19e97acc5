"""Where requests lie as files: the run's own inbox, and a door for programs in a sandbox."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from aiorch.errors import DirectiveError
from aiorch.journal import Journal
from aiorch.ui.terminal import printable

MAX_REQUEST = 4 * 1024 * 1024
MAX_DOOR_REQUEST = 1024 * 1024
MAX_DEPTH = 64
KEYS = ("key-", "menu-")
_SHARED = Path("/tmp")
_PREFIX = "aiorch-"
_DOOR_NAME = re.compile(r"[0-9]{1,30}-[0-9a-f]{8}\.json")
_MOST_SEEN = 200
_BAD = ".bad"

log = logging.getLogger(__name__)


class Letter(NamedTuple):
    """One request that lies in a folder; `is_direct` when nobody but the user's own programs can write there.

    `came` is when it came, in nanoseconds.
    """

    folder: Path
    file: str
    is_direct: bool
    came: int = 0

    @property
    def path(self) -> Path:
        """Return the file."""
        return self.folder / self.file

    @property
    def name(self) -> str:
        """Return the name that its answer goes by; one from the door takes no other's."""
        name = os.fsencode(self.file).decode("utf-8", "replace")
        return name if self.is_direct else f"door-{name}"

    @property
    def from_key(self) -> bool:
        """Return whether a key or a menu left it: those come first, and wait for no answer."""
        return self.is_direct and self.file.startswith(KEYS)

    def read(self) -> Mapping[str, object]:
        """Return what it asks for. Raises DirectiveError for what is no request of ours."""
        with _folder(self.folder) as folder:
            data = _read(self, folder)
        try:
            body = json.loads(data)
            if _is_too_deep(body):
                raise DirectiveError(f"a request may be nested {MAX_DEPTH} deep at most")
            # Half of a surrogate pair can be written in JSON, but not in a database.
            json.dumps(body, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise DirectiveError(f"a request could not be read: {error}") from error
        if not isinstance(body, dict):
            raise DirectiveError("a request must be one JSON object")
        return body


class Door:
    """A folder of a random name, for the user alone, where sandboxed programs may write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def opened(cls, known: object) -> Door:
        """Return the run's door, the known one if it is as we made it. Raises OSError without a place."""
        if isinstance(known, str) and _is_ours(Path(known)):
            return cls(Path(known))
        shared = _SHARED if _SHARED.is_dir() else None
        return cls(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=shared)))

    def letters(self, stuck: set[str]) -> list[Letter]:
        """Return the requests that lie there, but those that are `stuck`; what has another name is none."""
        if not _is_ours(self.path):
            return []
        with suppress(OSError):
            found = list(_letters(self.path, is_direct=False))
            return [one for one in found if _DOOR_NAME.fullmatch(one.file) and one.name not in stuck]
        return []

    def close(self) -> None:
        """Remove the folder, and what lies in it."""
        if not _is_ours(self.path):
            return
        with suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(OSError):
                    Path(entry.path).unlink()
        with suppress(OSError):
            self.path.rmdir()


def open_door(journal: Journal) -> Door:
    """Return the door of a run, and remember it there; where none can be made it leads nowhere."""
    try:
        door = Door.opened(journal.meta("door"))
    except OSError:
        log.exception("no door for programs in a sandbox")
        return Door(journal.place.path.with_name("no door"))
    if journal.meta("door") != str(door.path):
        journal.set_meta("door", str(door.path))
    return door


def letters_in(inbox: Path, stuck: set[str]) -> list[Letter]:
    """Return the requests in the run's inbox, but those that are `stuck`; none where it cannot be read."""
    try:
        return [one for one in _letters(inbox, is_direct=True) if one.name not in stuck]
    except OSError:
        # Whoever deletes a run's directory takes its requests too; the workers are still looked after.
        log.exception("the inbox cannot be read")
        return []


def in_order(letters: Iterable[Letter]) -> list[Letter]:
    """Return requests in the order in which they are carried out: keys first, then the oldest."""
    return sorted(letters, key=lambda one: (not one.from_key, one.came, one.file))


def _letters(folder: Path, *, is_direct: bool) -> Iterator[Letter]:
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                with suppress(FileNotFoundError):
                    came = entry.stat(follow_symlinks=False).st_mtime_ns
                    yield Letter(folder, entry.name, is_direct, came)
                count += 1
            if not is_direct and count >= _MOST_SEEN:
                return


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise DirectiveError(f"a request could not be read: {error}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(letter: Letter, folder: int) -> bytes:
    most = MAX_REQUEST if letter.is_direct else MAX_DOOR_REQUEST
    try:
        # Not blocking: anybody who can write here can also make a pipe that never has a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(letter.file, flags, dir_fd=folder), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise DirectiveError("a request could not be read: it is no regular file")
            # A second name would be somebody else's file.
            if not letter.is_direct and (facts.st_uid != os.geteuid() or facts.st_nlink != 1):
                raise DirectiveError("a request could not be read: it is not a file of its own")
            data = file.read(most + 1)
    except OSError as error:
        raise DirectiveError(f"a request could not be read: {error}") from error
    if len(data) > most:
        raise DirectiveError(f"a request must be one JSON object of at most {most >> 20} MiB")
    return data


def _is_ours(path: Path) -> bool:
    try:
        facts = path.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(facts.st_mode)
        and facts.st_uid == os.geteuid()
        and stat.S_IMODE(facts.st_mode) == 0o700
        and path.name.startswith(_PREFIX)
    )


def forget(letter: Letter, *, keep: bool = False) -> bool:
    """Take a request out of its folder; say whether it is gone.

    To be looked at later it is kept in `inbox/.bad`.
    """
    try:
        with _folder(letter.folder) as folder:
            return _taken_away(letter, folder, keep=keep)
    except (DirectiveError, OSError):
        log.exception("request %s is ignored from now on", printable(letter.name))
        return False


def _taken_away(letter: Letter, folder: int, *, keep: bool) -> bool:
    """Remove a file of an open folder, which is the one whatever its path has become."""
    try:
        if not keep:
            os.unlink(letter.file, dir_fd=folder)
            return True
    except FileNotFoundError:
        return True
    except OSError:
        # A directory, for one: only moving rids us of it.
        log.warning("request %s cannot be removed", printable(letter.name))
    with suppress(FileExistsError):
        os.mkdir(_BAD, 0o700, dir_fd=folder)
    with suppress(FileNotFoundError):
        os.rename(letter.file, f"{_BAD}/{time.time_ns()}.json", src_dir_fd=folder, dst_dir_fd=folder)
    return True


def _is_too_deep(body: object) -> bool:
    level = [body]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def _children(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()
