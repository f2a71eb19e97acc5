"""What a new worktree gets that git does not know: files of the user's tree, copied or linked; its setup."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from aiorch.errors import GitError, IsolationError
from aiorch.tree import Tree
from aiorch.workers.git import git_in, run, said

SETUP_SECONDS = 900.0
_LAST_BYTES = 2000
_BEGIN = "# aiorch: copied or linked into the worktrees of workers"
_END = "# aiorch: end"
_SPECIAL = re.compile(r"([\\*?\[\]])")


def carry(tree: Tree, copies: Sequence[str], links: Sequence[str]) -> list[str]:
    """Copy and link what the patterns name below the user's tree, and have git leave it alone there.

    What git tracks is there already and stays as it was committed; so does what was carried before. Returns
    all their names. Raises IsolationError when something cannot be.
    """
    carried: list[str] = []
    for patterns, is_link in ((copies, False), (links, True)):
        names = _untracked(tree, _matches(tree, patterns))
        for name in names:
            target = Path(tree.path, name)
            try:
                if not os.path.lexists(target):
                    _place(Path(tree.top, name), target, Path(tree.path), is_link=is_link)
            except (OSError, shutil.Error) as error:
                raise IsolationError(f"{name} cannot be brought into its worktree: {error}") from error
        carried += names
    _exclude(tree, carried)
    return carried


def set_up(tree: Tree, command: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
    """Run the user's setup command where the worker is to begin; what it prints goes into `log`.

    Raises IsolationError with its last words when it fails.
    """
    descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w+b") as output:
        try:
            done = run(command, tree.directory, variables, seconds=SETUP_SECONDS, output=output)
        except GitError as error:
            raise IsolationError(f"its setup failed: {error}") from error
        if done.status == 0:
            return
        output.seek(max(0, output.seek(0, os.SEEK_END) - _LAST_BYTES))
        lines = [line for line in os.fsdecode(output.read()).splitlines() if line.strip()]
    words = f", {lines[-1].strip()}" if lines else ""
    raise IsolationError(f"its setup failed ({said(done, SETUP_SECONDS)}{words}): see {log}")


def _matches(tree: Tree, patterns: Sequence[str]) -> list[str]:
    top = Path(tree.top)
    found = {str(path.relative_to(top)) for pattern in patterns for path in top.glob(pattern)}
    return sorted(name for name in found if name != "." and Path(name).parts[0] != ".git")


def _untracked(tree: Tree, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    tracked = git_in(tree.top).ask("ls-files", "-z", "--", *names).names
    # A folder that git knows in part is there, too.
    known = {*tracked, *(str(parent) for name in tracked for parent in Path(name).parents)}
    return [name for name in names if name not in known]


def _place(source: Path, target: Path, root: Path, *, is_link: bool) -> None:
    parent = target.parent
    if not parent.resolve().is_relative_to(root.resolve()):
        raise OSError("a link in the tree leads out of it")
    parent.mkdir(parents=True, exist_ok=True)
    if is_link:
        target.symlink_to(source)
        return
    # Whole or not at all: an engine may be lost in the midst of it.
    partial = parent / f".{target.name}.aiorch-partial"
    with suppress(FileNotFoundError):
        shutil.rmtree(partial) if partial.is_dir() and not partial.is_symlink() else partial.unlink()
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, partial, symlinks=True)
    else:
        shutil.copy2(source, partial, follow_symlinks=False)
    partial.rename(target)


def _exclude(tree: Tree, names: Sequence[str]) -> None:
    """Have git ignore what was carried, where the project does not: a link is no folder to a rule `name/`."""
    if not names:
        return
    data = b"".join(os.fsencode(name) + b"\0" for name in names)
    ignored = git_in(tree.path).run("check-ignore", "--no-index", "-z", "--stdin", data=data).names
    rules = {rule for name in set(names) - set(ignored) if (rule := _rule(name))}
    with _rules(tree) as file:
        before, ours, after = _block(file.read_text(errors="surrogateescape") if file.exists() else "")
        if not rules <= {*before.splitlines(), *ours, *after.splitlines()}:
            before += "" if not before or before.endswith("\n") else "\n"
            block = "".join(f"{line}\n" for line in (_BEGIN, *sorted(rules | set(ours)), _END))
            _write_whole(file, before + block + after)


def forget_rules(tree: Tree) -> None:
    """Take our rules out of the repository's own ignore file again: no worktree of ours is left."""
    with _rules(tree) as file, suppress(FileNotFoundError):
        text = file.read_text(errors="surrogateescape")
        before, _, after = _block(text)
        if before + after != text:
            _write_whole(file, before + after)


@contextmanager
def _rules(tree: Tree) -> Iterator[Path]:
    """Give the repository's own ignore file; other threads and other engines wait meanwhile."""
    folder = Path(tree.common, "info")
    folder.mkdir(exist_ok=True)
    # The folder is locked and not the file, which gets another in its place.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder / "exclude"
    finally:
        os.close(descriptor)


def _block(text: str) -> tuple[str, list[str], str]:
    """Return what stands before our rules, our rules, and what stands after them."""
    before, begin, rest = text.partition(f"{_BEGIN}\n")
    ours, end, after = rest.partition(f"{_END}\n")
    return (before, ours.splitlines(), after) if begin and end else (text, [], "")


def _write_whole(file: Path, text: str) -> None:
    whole = file.with_name(f".exclude-{os.getpid()}")
    whole.write_text(text, errors="surrogateescape")
    if file.exists():
        shutil.copymode(file, whole)
    whole.replace(file)


def _rule(name: str) -> str:
    """Return the ignore rule for exactly one name; '' where none can be written."""
    if "\n" in name:
        return ""
    escaped = _SPECIAL.sub(r"\\\1", name)
    return "/" + (escaped[:-1] + "\\ " if escaped.endswith(" ") else escaped)
