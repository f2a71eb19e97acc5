"""Other repositories inside of a worktree: what they have is seen, and nothing that they name is run.

A worker writes their configuration, and git runs what that says (filters, for one) once it looks into them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiorch.errors import AiorchError, WorkError
from aiorch.tree import Tree
from aiorch.workers.git import LONG_SECONDS, Done, Git, git_in, read_plain, readable

_LINK = "160000"
_SETTINGS = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
_SHARED = ("objects", "refs", "packed-refs", "logs", "info")


def links(entries: Iterable[str]) -> Iterator[str]:
    """Yield the names in a listing of git's that stand for other repositories."""
    for entry in entries:
        facts, _, name = entry.partition("\t")
        if _LINK in facts.split():
            yield name


def add_all(git: Git) -> Done:
    """Have git's index take up all that is in its directory; other repositories with the commit they are on.

    `git add` alone would run `git status` inside of each of them. Raises WorkError for a name that
    git itself would not write.
    """
    entries = git.ask("ls-files", "-s", "-t", "-z").names
    hidden = set(links(entry for entry in entries if entry.startswith("S ")))
    kept, gone, there = list[str](), list[str](), list[str]()
    for name in links(entries):
        if os.path.normpath(name) != name or name.startswith(("/", "../")):
            raise WorkError(f"its index has a name that cannot be: {readable(name)}")
        folder = Path(git.directory, name)
        if not _is_own_folder(Path(git.directory), folder):
            (kept if name in hidden else gone).append(name)
        elif os.path.lexists(folder / ".git"):
            there.append(name)
        else:
            # Empty it was never checked out; files in it are the worker's.
            (gone if any(folder.iterdir()) else kept).append(name)
    if gone:
        git.ask("update-index", "--force-remove", "-z", "--stdin", data=_joined(gone))
    if there:
        git.ask("update-index", "-z", "--stdin", data=_joined(there))
    but = Git(git.directory, {**git.variables, "GIT_LITERAL_PATHSPECS": "0"})
    wanted = _joined([".", *(f":(exclude,literal){name}" for name in (*kept, *there))])
    words = ("--all", "--pathspec-from-file=-", "--pathspec-file-nul")
    return but.run("add", *words, data=wanted, seconds=LONG_SECONDS)


def check_submodules(tree: Tree, names: Iterable[str]) -> None:
    """Raise WorkError when one of these has work that the user's own copy of it does not have."""
    todo = list(names)
    while todo:
        name = todo.pop()
        folder = Path(tree.path, name)
        if not os.path.lexists(folder / ".git"):
            continue
        try:
            with _apart(folder, _store(folder)) as git:
                has_work = _has_changes(git) or _lacks(tree, name, [_head(git)])
                todo += [f"{name}/{inner}" for inner in links(git.ask("ls-files", "-s", "-z").names)]
        except (OSError, AiorchError) as error:
            raise WorkError(f"{_submodule(tree, name)} cannot be read, and may have work that would be lost "
                            f"({error}): move it away first") from error  # fmt: skip
        if has_work:
            raise WorkError(f"{_submodule(tree, name)} has work of its own, which would be lost: "
                            f"commit it there, and fetch it into {tree.top}/{readable(name)}")  # fmt: skip


def _submodule(tree: Tree, name: str) -> str:
    return f"the submodule {readable(name)} in {tree.path}"


def _is_own_folder(top: Path, folder: Path) -> bool:
    """Return whether it is a folder, and neither it nor one above it is a link."""
    return folder.is_dir() and Path(os.path.realpath(folder)) == Path(
        os.path.realpath(top), folder.relative_to(top)
    )


def _store(folder: Path) -> Path:
    """Return where the repository in a folder has its objects and refs."""
    git = folder / ".git"
    if git.is_dir():
        return git
    return folder / os.fsdecode(read_plain(git)).removeprefix("gitdir: ").rstrip("\n")


@contextmanager
def _apart(folder: Path, store: Path) -> Iterator[Git]:
    """Give git a repository with none of its settings; what is changed in its index is not seen there."""
    with tempfile.TemporaryDirectory(prefix="aiorch-") as place:
        Path(place, "config").write_text(_SETTINGS)
        Path(place, "HEAD").write_bytes(read_plain(store / "HEAD"))
        if os.path.lexists(store / "index"):
            Path(place, "index").write_bytes(read_plain(store / "index"))
        for name in _SHARED:
            if (store / name).exists():
                Path(place, name).symlink_to((store / name).resolve())
        yield git_in(str(folder), GIT_DIR=place, GIT_WORK_TREE=str(folder))


def _has_changes(git: Git) -> bool:
    words = ("--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=all")
    return bool(git.ask("status", *words, seconds=LONG_SECONDS).names)


def _head(git: Git) -> str:
    return git.ask("rev-parse", "--verify", "HEAD^{commit}").text


def _lacks(tree: Tree, name: str, wanted: Sequence[str]) -> bool:
    """Return whether the user's own copy of a submodule has not all of these objects."""
    folder = Path(tree.top, name)
    # Without a repository of its own git would answer for the one around it.
    if not os.path.lexists(folder / ".git"):
        return True
    data = "".join(f"{one}\n" for one in wanted).encode()
    with _apart(folder, _store(folder)) as git:
        found = git.ask("cat-file", "--batch-check", data=data).text.splitlines()
    return any(line.endswith(" missing") for line in found)


def _joined(names: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(name) + b"\0" for name in names)
