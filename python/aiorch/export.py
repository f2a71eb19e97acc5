"""`aiorch export`: a run as one file, to be kept, read or handed on."""

from __future__ import annotations

import argparse
import os
import stat
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from aiorch.errors import ExportError, JournalError, UsageError
from aiorch.journal.reading import reading
from aiorch.paths import RunPaths
from aiorch.ui.document import Document, as_json, as_markdown, read_document
from aiorch.ui.terminal import printable

FORMATS = ("json", "markdown", "tar")
_ENDINGS = {"json": ".json", "markdown": ".md", "tar": ".tar.gz"}
_STDOUT = "-"
_JOURNAL_PARTS = ("-wal", "-shm")


def export(paths: RunPaths, options: argparse.Namespace) -> int:
    """Write a run to the file that the options name and return the exit code.

    Raises ExportError when the file is there already, UsageError for an archive on a terminal.
    """
    form = options.format or _format_of(options.output)
    target = options.output or f"{paths.root.name}{_ENDINGS[form]}"
    if target == _STDOUT and form == "tar" and sys.stdout.isatty():
        raise UsageError("an archive is nothing for a terminal: name a file with -o")
    if not paths.root.is_dir():
        raise ExportError(f"there is no run in {paths.root}")
    with _opened(target, overwrite=options.force) as file:
        _WRITERS[form](paths, file)
    if target != _STDOUT:
        print(printable(f"run {paths.root.name} is in {target}"))  # noqa: T201 - the command's output
    return 0


def write_archive(paths: RunPaths, file: BinaryIO) -> None:
    """Write the whole directory of a run as a tar.gz, with a journal that is whole while an engine writes it.

    A journal that cannot be read is put in as it is. Links are put in as links; what is no file is left out.
    """
    with tempfile.TemporaryDirectory(prefix="aiorch-") as folder:
        journal = _copy_journal(paths, Path(folder))
        skipped = {paths.journal.name + part for part in _JOURNAL_PARTS} if journal else set()
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for path in _tree(paths.root):
                if path.parent == paths.root and path.name in skipped:
                    continue
                source = journal if journal and path == paths.journal else path
                _add(archive, source, str(path.relative_to(paths.root.parent)))


def _format_of(output: str | None) -> str:
    name = output or ""
    if name.endswith((".tar.gz", ".tgz")):
        return "tar"
    return "json" if name.endswith(".json") else "markdown"


def _write_json(paths: RunPaths, file: BinaryIO) -> None:
    file.write(as_json(_document(paths)).encode())


def _write_markdown(paths: RunPaths, file: BinaryIO) -> None:
    file.write(as_markdown(_document(paths)).encode())


_WRITERS: dict[str, Callable[[RunPaths, BinaryIO], None]] = {
    "json": _write_json,
    "markdown": _write_markdown,
    "tar": write_archive,
}


def _document(paths: RunPaths) -> Document:
    with reading(paths.journal) as journal:
        return read_document(paths.root.name, journal)


@contextmanager
def _opened(target: str, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a new file for the owner alone; it takes the place of another one only when it is whole."""
    if target == _STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    if os.path.lexists(path) and not overwrite:
        raise ExportError(f"{path} is there already: name another file, or overwrite it with --force")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        _put(Path(name), path, overwrite=overwrite)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)  # noqa: PTH108 - a name from mkstemp


def _put(new: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        new.replace(path)
        return
    try:
        # Somebody may have made the file meanwhile: a link never replaces one.
        path.hardlink_to(new)
    except FileExistsError as error:
        raise ExportError(f"{path} is there already: name another file") from error
    except OSError:
        # Not every file system has links.
        new.replace(path)


def _copy_journal(paths: RunPaths, folder: Path) -> Path | None:
    copy = folder / "journal.db"
    try:
        with reading(paths.journal) as journal:
            journal.copy_to(copy)
    except JournalError as error:
        print(f"aiorch: {error}; it is put in as it is", file=sys.stderr)  # noqa: T201 - a warning
        return None
    return copy


def _tree(root: Path) -> Iterator[Path]:
    yield root
    for folder, folders, files in os.walk(root):
        for name in sorted([*folders, *files]):
            yield Path(folder) / name


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add one file, folder or link; what vanished meanwhile is left out."""
    try:
        info = archive.gettarinfo(path, name)
        if info is None or not (info.isreg() or info.isdir() or info.issym()):
            return
        # Who made it is nobody's business, and a hard link would need the other file.
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        if not info.isreg():
            archive.addfile(info)
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as file:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            archive.addfile(info, _Whole(file))


class _Whole:
    """A file that has as many bytes as were promised: logs grow, and a worker may cut its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        """Return so many bytes; what the file has not is zero."""
        return self._file.read(size).ljust(max(size, 0), b"\0")
