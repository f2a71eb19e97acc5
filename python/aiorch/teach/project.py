"""The instruction files of a project: what is to change in them, and changing it without a loss."""

from __future__ import annotations

import contextlib
import difflib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiorch.errors import InstructionFileError
from aiorch.teach import lesson
from aiorch.teach.section import insert, remove
from aiorch.ui.terminal import printable
from aiorch.workers.profile import AgentProfile

MAX_BYTES = 4 << 20
_CONTEXT = 2


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one file; `before` and `after` are its bytes, None when it is not there.

    `agents` are the names of all agents that read it, `names` its names in the project: more than one when
    one is a link to another. `path` is the file itself.
    """

    path: Path
    names: tuple[str, ...]
    agents: tuple[str, ...]
    form: str
    before: bytes | None
    after: bytes | None
    mark: bytes = b"aiorch:begin"

    @property
    def action(self) -> str:
        """Return the word for it: created, updated, added, removed, deleted or unchanged."""
        if self.before == self.after:
            return "unchanged"
        if self.before is None:
            return "created"
        if self.after is None:
            return "deleted"
        had, has = self.mark in self.before, self.mark in self.after
        return "updated" if had and has else "added" if has else "removed"


def project_root(start: Path) -> Path:
    """Return the root of the git repository around a directory, the directory itself outside of one.

    A repository counts when it belongs to us or to the directory's owner: a `.git` that somebody left in
    a shared folder above must not draw our files there.
    """
    start = start.resolve()
    owners = {os.geteuid(), start.stat().st_uid}
    for folder in (start, *start.parents):
        if os.path.exists(folder / ".git"):  # noqa: PTH110 - that of Path fails where we may not look
            return folder if folder.stat().st_uid in owners else start
    return start


def changes(
    root: Path, profiles: Mapping[str, AgentProfile], chosen: Iterable[str], *, take_out: bool
) -> list[Change]:
    """Return what is to be done to the files of the chosen agents, each file once.

    A file's form suits all agents that are known to read it, so it does not depend on who was chosen. Raises
    InstructionFileError with one sentence for each file that cannot be changed.
    """
    problems: list[str] = []
    wanted = {taught.file for name in chosen if (taught := profiles[name].teach)}
    places: dict[Path, list[AgentProfile]] = {}
    for profile in profiles.values():
        if profile.teach is None:
            continue
        try:
            places.setdefault(_target(root, profile.teach.file), []).append(profile)
        except InstructionFileError as error:
            if profile.teach.file in wanted and str(error) not in problems and not take_out:
                problems.append(str(error))
    found = []
    for path, readers in places.items():
        names = tuple(dict.fromkeys(p.teach.file for p in readers if p.teach))
        if wanted.isdisjoint(names):
            continue
        try:
            found.append(_change(path, names, readers, take_out=take_out))
        except InstructionFileError as error:
            problems.append(f"{names[0]}: {error}")
    if problems:
        raise InstructionFileError("\n".join(problems))
    return found


def apply(change: Change) -> None:
    """Write, or delete, one file; its mode and owner stay.

    Raises InstructionFileError when the file is another one than it was when the change was made.
    """
    if change.before == change.after:
        return
    try:
        with _replacement(change) as new:
            if not _is_as_before(change):
                raise InstructionFileError(f"{change.names[0]}: it changed meanwhile; try again")
            if new is None:
                change.path.unlink()
            else:
                new.replace(change.path)
    except OSError as error:
        raise InstructionFileError(f"{change.names[0]}: it cannot be written: {error.strerror}") from error


def _target(root: Path, name: str) -> Path:
    """Return where a file lies, or would: a link may lead to another Markdown file in the project.

    Anywhere else it could be a file of the user's that a shell reads.
    """
    try:
        real = (root / name).resolve()
    except (OSError, RuntimeError) as error:
        raise InstructionFileError(f"{name}: it is a link that leads in a circle") from error
    if not real.is_relative_to(root):
        raise InstructionFileError(f"{name}: it is a link that leads out of the project, to {real}")
    if real.suffix.lower() != ".md":
        raise InstructionFileError(f"{name}: it is a link to {real.name}, which is no Markdown file")
    return real


def _change(path: Path, names: tuple[str, ...], readers: list[AgentProfile], *, take_out: bool) -> Change:
    form = lesson.common(p.teach.form for p in readers if p.teach)
    agents = tuple(p.name for p in readers)
    before: bytes | None
    after: bytes | None
    if take_out:
        # What is no text file of ours holds no section of ours.
        before = read_file(path) if path.is_file() else None
        after = remove(before) if before is not None and b"aiorch:" in before else before
    else:
        before = read_file(path)
        after = insert(before, lesson.section(form))
    if before != after:
        check_file(path, before)
    return Change(path, names, agents, form, before, after)


def read_file(path: Path) -> bytes | None:
    """Return the bytes of a file, None when it is not there; raises InstructionFileError."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InstructionFileError("it is not a regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                content = stream.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise InstructionFileError("its folder is not there") from None
        return None
    except OSError as error:
        raise InstructionFileError(f"it cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise InstructionFileError(f"it is larger than {MAX_BYTES >> 20} MiB")
    return content


def _is_as_before(change: Change) -> bool:
    try:
        return read_file(change.path) == change.before
    except InstructionFileError:
        return False


def check_file(path: Path, content: bytes | None) -> None:
    """Raise InstructionFileError for a file that must not be replaced by a new one."""
    if content is None:
        return
    info = path.stat()
    # Root may write anything, and a file that is replaced need not be writable: so the mode says it.
    if not info.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise InstructionFileError("it is read-only; chmod u+w makes it writable")
    if info.st_nlink > 1:
        raise InstructionFileError("it has a second name (a hard link), and only one of the two would change")
    if info.st_uid != os.geteuid() != 0:
        raise InstructionFileError("it belongs to another user")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InstructionFileError(f"line {line}: it is not UTF-8") from error
    if "\0" in text:
        raise InstructionFileError("it holds NUL characters, so it is no text")


@contextlib.contextmanager
def _replacement(change: Change) -> Iterator[Path | None]:
    """Write the new content beside the file, on disk and with the mode it needs; None when it goes away."""
    if change.after is None:
        yield None
        return
    path = change.path.with_name(f".{change.path.name}.aiorch-{secrets.token_hex(4)}")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if change.before is not None:
                info = change.path.stat()
                new = os.fstat(descriptor)
                if (info.st_uid, info.st_gid) != (new.st_uid, new.st_gid):
                    os.fchown(descriptor, info.st_uid, info.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(info.st_mode))
            stream.write(change.after)
            stream.flush()
            os.fsync(descriptor)
        yield path
    finally:
        path.unlink(missing_ok=True)


def difference(change: Change) -> str:
    """Return what changes in a file, for people."""
    old, new = (
        (content or b"").decode("utf-8", "replace").splitlines() for content in (change.before, change.after)
    )
    lines = list(difflib.unified_diff(old, new, n=_CONTEXT, lineterm=""))[2:]
    return "\n".join(f"  {printable(line)}" for line in lines)
