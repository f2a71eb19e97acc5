"""Payloads in files: `{"file": ".aiorch/plan.json"}` read once, under narrow conditions."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aiorch.errors import DirectiveError

MAX_BYTES = 1 << 20

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Reference:
    """A payload as it was in its file, and the hash of the bytes that were read."""

    payload: Mapping[str, object]
    sha256: str


def read_reference(name: str, project_root: Path) -> Reference:
    """Return the JSON object of a file inside the project, read once.

    Raises DirectiveError unless it is a regular file of our own user with one name, of at most 1 MiB,
    reached without any symlink below the root, and holds one JSON object without `file`. A relative name
    starts at the root. Each folder is opened from the one above, so nothing can be swapped in between.
    """
    raw = _read(_components(name, project_root), project_root, name)
    try:
        payload = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        # Half of a surrogate pair can be written in JSON, but not in a database.
        json.dumps(payload, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise DirectiveError(f'"file" {_shown(name)} holds no JSON: {error}') from error
    if not isinstance(payload, dict):
        raise DirectiveError(f'"file" {_shown(name)} must hold one JSON object')
    if "file" in payload:
        raise DirectiveError(f'"file" {_shown(name)} must not name another file')
    return Reference(payload, hashlib.sha256(raw).hexdigest())


def merged(given: Mapping[str, object], reference: Reference) -> dict[str, object]:
    """Return the payload to parse in place of `given`: the file's, with the id of the directive.

    Raises DirectiveError when both have an id and they differ.
    """
    payload = dict(reference.payload)
    theirs, ours = payload.get("id"), given.get("id")
    if ours is not None:
        if theirs is not None and theirs != ours:
            raise DirectiveError('"id" in the file is not the "id" of the directive')
        payload["id"] = ours
    return payload


def _components(name: str, root: Path) -> list[str]:
    path = PurePosixPath(name)
    if path.is_absolute():
        try:
            path = path.relative_to(PurePosixPath(os.path.abspath(root)))  # noqa: PTH100 - no symlink is followed
        except ValueError:
            raise DirectiveError(f'"file" {_shown(name)} is outside of the project') from None
    parts = list(path.parts)
    if ".." in parts:
        raise DirectiveError(f'"file" {_shown(name)} must not hold ".."')
    if not parts or "\0" in name:
        raise DirectiveError('"file" must be the path of a file in the project')
    return parts


def _read(parts: list[str], root: Path, name: str) -> bytes:
    descriptors: list[int] = []
    try:
        # The root is the user's own choice and may itself be reached through a symlink.
        descriptors.append(os.open(root, _DIRECTORY & ~os.O_NOFOLLOW))
        for part in parts[:-1]:
            descriptors.append(os.open(part, _DIRECTORY, dir_fd=descriptors[-1]))
        descriptors.append(os.open(parts[-1], _FILE, dir_fd=descriptors[-1]))
        _check(os.fstat(descriptors[-1]), name)
        return _bytes(descriptors[-1], name)
    except (OSError, UnicodeEncodeError) as error:
        raise DirectiveError(f'"file" {_shown(name)} cannot be read: {_why(error)}') from error
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _check(info: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise DirectiveError(f'"file" {_shown(name)} is not a regular file')
    if info.st_uid != os.geteuid():
        raise DirectiveError(f'"file" {_shown(name)} belongs to another user')
    if info.st_nlink != 1:
        raise DirectiveError(f'"file" {_shown(name)} has a second name (a hard link)')
    if info.st_size > MAX_BYTES:
        raise DirectiveError(f'"file" {_shown(name)} is larger than 1 MiB')


def _bytes(descriptor: int, name: str) -> bytes:
    # The size is checked on what was read, too: the file may grow meanwhile.
    chunks, size = [], 0
    while chunk := os.read(descriptor, 65536):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BYTES:
            raise DirectiveError(f'"file" {_shown(name)} is larger than 1 MiB')
    return b"".join(chunks)


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        # Which error a symlink gives depends on whether it stands for a folder and on the system.
        link = error.errno in (errno.ENOTDIR, errno.ELOOP)
        return f"{error.strerror} (symlinks are not followed)" if link else str(error.strerror)
    return "not a name that this system can write"


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is not JSON")


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:200])
