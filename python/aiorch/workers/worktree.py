"""A worker's own worktree: where it goes, how it is made, and that one made half-way is made whole."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiorch import paths, process
from aiorch.errors import GitError, IsolationError, TakenError
from aiorch.tree import PREFIX, Tree, TreeState, branch_name, label
from aiorch.workers import sandbox
from aiorch.workers.git import LONG_SECONDS, Done, Git, git_in, said
from aiorch.workers.owner import beginning, claim, is_half, is_locked, owner_of

MARK = "AIORCH_PREPARES"
"""In the environment of all that prepares a worktree: what a lost engine left running is known by it."""

_LEAST_GIT = (2, 33)
_USAGE_STATUS = 129
_OUTSIDE = 'or set isolation = "none" for its type in config.toml'
_GONE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Repository:
    """The user's tree around a directory; `folder` is that directory below `top`, `branch` '' when detached.

    `changed` counts the files with uncommitted work, which no worktree has.
    """

    top: str
    common: str
    head: str
    folder: str
    branch: str
    changed: int


def survey(directory: str) -> Repository:
    """Return the repository around a directory. Raises IsolationError where no worktree can be made of it."""
    git = git_in(directory)
    _check_version(git)
    shown = f"{directory} is"
    found = git.run("rev-parse", "--is-bare-repository", "--is-inside-git-dir")
    if found.status != 0:
        if "not a git repository" not in found.words:
            raise IsolationError(f"git refuses {directory}: {said(found)}")
        raise IsolationError(f"{shown} in no git repository: `git init` it and commit, {_OUTSIDE}")
    if "true" in found.text.split():
        raise IsolationError(f"{shown} in a bare repository: start the lead in a worktree of it, {_OUTSIDE}")
    where = ("rev-parse", "--path-format=absolute")
    head = git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head.status != 0:
        raise IsolationError(f"{shown} in a repository without a commit: make the first one, {_OUTSIDE}")
    return Repository(
        top=git.ask(*where, "--show-toplevel").text,
        common=git.ask(*where, "--git-common-dir").text,
        head=head.text,
        folder=git.ask("rev-parse", "--show-prefix").text.rstrip("/"),
        branch=git.run("symbolic-ref", "--quiet", "--short", "HEAD").text,
        changed=len(git.ask("status", "--porcelain", "-z", "--no-renames").names),
    )


def choose(found: Repository, name: str, others: Collection[Tree] = ()) -> Tree:
    """Return the worktree that a worker is to get: no branch and no file of its name is there yet.

    Nor are those of `others`, which may not be made yet.
    """
    git, root, number = git_in(found.top), _root(found), 1
    below, known = not _has_branch(git, PREFIX), worktrees(git)
    while True:
        part = label(name) + (f"-{number}" if number > 1 else "")
        path = str(root / part)
        tree = Tree(path, branch_name(part, below=below), found.head, found.top, found.common, found.folder)
        is_there = os.path.lexists(path) or path in known or os.path.realpath(path) in known
        if not (is_there or _has_branch(git, tree.branch) or any(map(tree.collides, others))):
            return tree
        number += 1


def again(tree: Tree) -> Tree | None:
    """Return a worktree that was chosen before as it may be used now, None when another has to be chosen."""
    if tree.state is TreeState.DISCARDED or not Path(tree.top).is_dir():
        return None
    if tree.state is TreeState.READY and not Path(tree.path).is_dir():
        # The user removed it: what the branch has is gone on with.
        return tree._replace(state=TreeState.CHOSEN) if _has_branch(git_in(tree.top), tree.branch) else None
    return tree


def make(tree: Tree, mark: str) -> None:
    """Make a worktree and its branch, or make whole what was made half-way.

    `mark` names the worker: it is the value of MARK in the environment of what is run here, and is written
    down in git's directory for the worktree. Raises TakenError when somebody else has one there, and
    IsolationError when it cannot be made.
    """
    end_leftovers(mark)
    git = git_in(tree.top, **{MARK: mark})
    try:
        if _is_whole(git, tree, mark):
            return
        try:
            _add(git, tree, mark)
        except (GitError, IsolationError):
            # Another engine may have been quicker: it knows nothing of what was chosen here.
            _is_whole(git, tree, mark)
            raise
    except GitError as error:
        raise IsolationError(f"its worktree cannot be made: {error}") from error


def is_own(tree: Tree, mark: str) -> bool:
    """Say whether the worktree that is in a tree's place was made for that worker; True when none is there.

    Raises GitError when git cannot tell.
    """
    if not is_listed(git_in(tree.top), tree):
        return not _is_filled(Path(tree.path))
    return _is_own(admin_dir(tree), tree, mark)


def end_leftovers(mark: str) -> None:
    """End what an engine that is lost left running of a preparation."""
    for pid in process.belongings(0, f"{MARK}={mark}"):
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
        end = time.monotonic() + _GONE_SECONDS
        while process.is_alive(pid) and time.monotonic() < end:
            time.sleep(0.01)


def worktrees(git: Git) -> dict[str, dict[str, str]]:
    """Return what git knows of each worktree, by its path: `branch`, `locked` and so on.

    Raises GitError when git cannot tell, git before 2.36 also where the name of a folder has a line break.
    """
    done = git.run("worktree", "list", "--porcelain", "-z")
    if done.status == _USAGE_STATUS:
        return _listing(git.ask("worktree", "list", "--porcelain"), "\n")
    if done.status != 0:
        raise GitError(f"git worktree list: {said(done)}")
    return _listing(done, "\0")


def is_listed(git: Git, tree: Tree) -> bool:
    """Say whether git knows of a worktree in a tree's place."""
    known = worktrees(git)
    return tree.path in known or os.path.realpath(tree.path) in known


def fill_submodules(tree: Tree, mark: str) -> list[str]:
    """Check out the submodules that the user's tree has, from there; return those that failed."""
    if not Path(f"{tree.path}/.gitmodules").is_file():
        return []
    git = git_in(tree.path, **{MARK: mark})
    listed = git.run("config", "--file", ".gitmodules", "-z", "--get-regexp", r"^submodule\..*\.path$")
    failed = []
    for entry in listed.names:
        key, _, folder = entry.partition("\n")
        name = key.removeprefix("submodule.").removesuffix(".path")
        store = f"{tree.common}/modules/{name}"
        if ".." in Path(name).parts or not Path(store).is_dir():
            continue
        near = ("-c", "protocol.file.allow=always", "-c", f"submodule.{name}.url={store}")
        done = git.run(*near, "submodule", "--quiet", "update", "--init", "--", folder, seconds=LONG_SECONDS)
        if done.status != 0:
            failed.append(folder)
            continue
        # What it fetches later comes from where the user's comes from.
        url = git_in(store).run("config", "remote.origin.url").text
        if url:
            git_in(f"{tree.path}/{folder}").run("config", "remote.origin.url", url)
    return failed


def has_work(tree: Tree) -> bool:
    """Return whether a worktree stands on another commit than the one that its worker began at."""
    return inside(tree).run("rev-parse", "--verify", "--quiet", "HEAD^{commit}").text != tree.base


def make_directory(tree: Tree) -> None:
    """Make the folder where the worker begins: where the lead is may not be in the commit.

    Raises IsolationError when it would be elsewhere: what a worker committed may have a link on the way.
    """
    folder = Path(tree.directory)
    if not folder.resolve().is_relative_to(Path(tree.path).resolve()):
        raise IsolationError(f"a link leads from {folder} out of its worktree")
    folder.mkdir(parents=True, exist_ok=True)


def admin_dir(tree: Tree) -> str:
    """Return the directory in which git keeps the worktree's index and HEAD.

    The `.git` file in the worktree is not asked: a worker can write what it likes there. Raises GitError when
    git knows no such worktree.
    """
    wanted = {f"{tree.path}/.git", f"{os.path.realpath(tree.path)}/.git"}
    for file in sorted(Path(tree.common, "worktrees").glob("*/gitdir")):
        try:
            if file.read_text(errors="surrogateescape").removesuffix("\n") in wanted:
                return str(file.parent)
        except OSError:
            continue
    raise GitError(f"git knows no worktree in {tree.path}: was it removed or moved?")


def inside(tree: Tree, **variables: str) -> Git:
    """Return git in a worker's worktree, with nothing in it asked where its repository is.

    It runs in a sandbox where the worker did. Raises GitError when that cannot be.
    """
    admin = admin_dir(tree)
    where = {"GIT_DIR": admin, "GIT_COMMON_DIR": tree.common, "GIT_WORK_TREE": tree.path}
    index = variables.get("GIT_INDEX_FILE")
    box = sandbox.around(tree, admin, [str(Path(index).parent)] if index else [])
    return Git(tree.path, {**where, **variables}, box)


def worker_variables(tree: Tree) -> Mapping[str, str]:
    """Return what a worker and its setup are told of the worktree, in the environment."""
    return {"AIORCH_WORKTREE": tree.path, "AIORCH_BRANCH": tree.branch, "AIORCH_REPOSITORY": tree.top}


def _check_version(git: Git) -> None:
    text = git.ask("version").text
    found = re.search(r"(\d+)\.(\d+)", text)
    if found and (int(found[1]), int(found[2])) < _LEAST_GIT:
        least = ".".join(map(str, _LEAST_GIT))
        raise IsolationError(
            f"worktrees need git {least} or newer, and this is {text}: update it, {_OUTSIDE}"
        )


def _root(found: Repository) -> Path:
    """Return the folder of a repository's worktrees: beside it, where tools that look upwards find the same.

    Not where nobody may write, and not inside of another repository, which would list it as new.
    """
    top = Path(found.top)
    beside = top.with_name(f"{top.name}.{PREFIX}")
    around = git_in(str(top.parent)).run("rev-parse", "--is-inside-work-tree")
    may_write = os.access(beside if os.path.lexists(beside) else top.parent, os.W_OK)
    if top.name and around.text != "true" and may_write and (beside.is_dir() or not os.path.lexists(beside)):
        return beside
    key = hashlib.sha256(os.fsencode(found.top)).hexdigest()[:8]
    return paths.data_dir() / "worktrees" / f"{label(top.name)}-{key}"


def _listing(done: Done, end: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    facts: dict[str, str] = {}
    for line in os.fsdecode(done.out).split(end):
        name, _, value = line.partition(" ")
        if name == "worktree":
            facts = found.setdefault(value, {})
        elif name:
            facts[name] = value
    # Each has a commit or is bare, and git says no more than this: what else is there is of a name.
    known = {"HEAD", "branch", "detached", "bare", "locked", "prunable"}
    if end == "\n" and any(
        not facts.keys() & {"HEAD", "bare"} or facts.keys() - known for facts in found.values()
    ):
        raise GitError("the name of a worktree's folder has a line break, which git tells from 2.36 on: "
                       "rename the folder, or update git")  # fmt: skip
    return found


def _has_branch(git: Git, name: str) -> bool:
    return git.holds("show-ref", "--verify", "--quiet", f"refs/heads/{name}")


def _is_whole(git: Git, tree: Tree, mark: str) -> bool:
    """Say whether a worktree is there to be gone on with; what is left of it else is removed.

    Raises TakenError when it is somebody else's.
    """
    if not is_listed(git, tree):
        return False
    admin = admin_dir(tree)
    if not _is_own(admin, tree, mark):
        raise TakenError(f"its worktree cannot be made: {tree.path} is somebody else's")
    if Path(tree.path).is_dir() and not is_half(admin, mark):
        # The worker may have gone to another branch in it, and goes on there.
        return True
    # No worker has been in it, since git itself had not finished it; or all of it is gone.
    git.ask("worktree", "remove", "--force", "--force", "--", tree.path)
    return False


def _is_own(admin: str, tree: Tree, mark: str) -> bool:
    if is_half(admin, mark) or owner_of(admin) == mark:
        return True
    # Nobody's: a worker was in it that began when nothing was written down, or it is gone.
    is_left = tree.state is TreeState.READY or not Path(tree.path).is_dir()
    return is_left and not owner_of(admin) and not is_locked(admin)


def _add(git: Git, tree: Tree, mark: str) -> None:
    if _is_filled(Path(tree.path)):
        raise IsolationError(f"its worktree cannot be made: {tree.path} is in the way")
    folder = Path(tree.path).parent
    # parents=True would make the folders above with the user's mask.
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            path.mkdir(mode=0o700, exist_ok=True)
    # A branch that is there was begun by an engine that is lost, or has a worker's work.
    start = ["--no-track", "-b", tree.branch, "--", tree.path, tree.base]
    if _has_branch(git, tree.branch):
        start = ["--", tree.path, tree.branch]
    # From the first moment it is to be seen whose it is, and that it is not whole.
    words = ("--quiet", "--no-guess-remote", "--lock", "--reason", beginning(mark))
    git.ask("worktree", "add", *words, *start, seconds=LONG_SECONDS)
    claim(admin_dir(tree), mark)


def _is_filled(path: Path) -> bool:
    return os.path.lexists(path) and (not path.is_dir() or any(path.iterdir()))
