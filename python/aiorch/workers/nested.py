"""Other repositories inside of a worktree: what they have is seen, and nothing that they name is run.

A worker writes their configuration, and git runs what that says (filters, for one) once it looks into them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from aiorch.errors import AiorchError, WorkError
from aiorch.tree import Tree
from aiorch.workers.git import LONG_SECONDS, Done, Git, git_in, listed, read_plain, readable

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
    _show_hidden(git)
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
    but = replace(git, variables={**git.variables, "GIT_LITERAL_PATHSPECS": "0"})
    wanted = _joined([".", *(f":(exclude,literal){name}" for name in (*kept, *there))])
    # Without it files outside of a sparse checkout are left out, and git does not say so. It came with 2.34.
    is_sparse = git.run("config", "--bool", "core.sparseCheckout").text == "true"
    words = ("--all", *(["--sparse"] if is_sparse else []), "--pathspec-from-file=-", "--pathspec-file-nul")
    return but.run("add", *words, data=wanted, seconds=LONG_SECONDS)


def check_discard(tree: Tree, admin: str, names: Iterable[str]) -> None:
    """Raise WorkError when a repository in a worktree would be lost.

    `names` are the submodules that its index has, `admin` is git's directory for the worktree.
    """
    submodules = check_submodules(tree, admin, names)
    if others := sorted(set(_repositories(tree.path)) - submodules):
        raise WorkError(f"{listed(others)} in {tree.path} has a git repository of its own, "
                        "which would be lost: move it away first")  # fmt: skip


def check_submodules(tree: Tree, admin: str, names: Iterable[str]) -> set[str]:
    """Return the submodules that are checked out, those of submodules too.

    Raises WorkError when one has work that the user's own copy of it does not have. `admin` is where those
    are that are checked out no more, too.
    """
    todo, seen, found = list(names), set[str](), set[str]()
    while todo:
        name = todo.pop()
        folder = Path(tree.path, name)
        if os.path.lexists(folder / ".git"):
            found.add(name)
            with _reading(f"the submodule {readable(name)} in {tree.path}"):
                store = _store(folder)
                seen.add(os.path.realpath(store))
                with _apart(store, folder) as git:
                    has_work = _has_changes(git) or _has_commits(git, store, Path(tree.top, name))
                    todo += [f"{name}/{inner}" for inner in links(git.ask("ls-files", "-s", "-z").names)]
                if has_work:
                    raise WorkError(f"it has work that {tree.top}/{readable(name)} lacks")
    for store in _stores(Path(admin, "modules")):
        if os.path.realpath(store) not in seen:
            part = store.relative_to(admin)
            with _reading(f"{store}, which was a submodule,"), _apart(store, store) as git:
                if _has_commits(git, store, Path(tree.common, part)):
                    raise WorkError(f"it has work that {tree.common}/{part} lacks")
    return found


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Say of what goes wrong that it keeps a worktree from being discarded."""
    try:
        yield
    except (OSError, AiorchError) as error:
        raise WorkError(f"{what} would be lost: {error}. Commit what is in it, and fetch that into yours, "
                        "or move it away") from error  # fmt: skip


def _show_hidden(git: Git) -> None:
    """Have git's index no more pass over files that are there, whatever it was told by `git update-index`."""
    marks = [entry.split(" ", 1) for entry in git.ask("ls-files", "-v", "-z").names]
    names = [name for mark, name in marks if mark in "Ss" or mark.islower()]
    if there := _joined(name for name in names if os.path.lexists(f"{git.directory}/{name}")):
        for word in ("--no-assume-unchanged", "--no-skip-worktree"):
            git.ask("update-index", word, "-z", "--stdin", data=there)


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
def _apart(store: Path, folder: Path) -> Iterator[Git]:
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
    _show_hidden(git)
    words = ("--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=all")
    return bool(git.ask("status", *words, seconds=LONG_SECONDS).names)


def _has_commits(git: Git, store: Path, users: Path) -> bool:
    """Return whether a repository has commits that the user's own copy of it has not, stashed ones too."""
    # Without a repository of its own git would answer for the one around it.
    yours = _store(users) if os.path.lexists(users / ".git") else users
    if not (yours / "HEAD").exists() or any(store.glob("worktrees/*")):
        return True
    wanted = {git.ask("rev-parse", "--verify", "HEAD^{commit}").text}
    for line in git.ask("for-each-ref", "--format=%(objectname) %(refname)").text.splitlines():
        commit, _, ref = line.partition(" ")
        # What came from elsewhere is there.
        if not ref.startswith("refs/remotes/"):
            wanted.add(commit)
        if ref == "refs/stash":
            wanted.update(git.ask("rev-list", "--walk-reflogs", ref).text.split())
    data = "".join(f"{one}\n" for one in wanted).encode()
    with _apart(yours, users) as mine:
        found = mine.ask("cat-file", "--batch-check", data=data).text.splitlines()
    return any(line.endswith(" missing") for line in found)


def _stores(modules: Path) -> Iterator[Path]:
    """Yield where git has the repositories of submodules, and those of theirs."""
    for folder, folders, files in os.walk(modules, onerror=_fail):
        if "HEAD" in files and "objects" in folders:
            yield Path(folder)
            folders[:] = [name for name in folders if name == "modules"]


def _repositories(top: str) -> Iterator[str]:
    """Yield where below a folder a repository is, whatever git is told to ignore."""
    for folder, folders, files in os.walk(top, onerror=_fail):
        if folder != top and ".git" in (*folders, *files):
            yield os.path.relpath(folder, top)
        folders[:] = [name for name in folders if name != ".git"]


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise WorkError(
            f"{error.filename} cannot be read ({error.strerror}), and may have work that would be lost"
        )


def _joined(names: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(name) + b"\0" for name in names)
