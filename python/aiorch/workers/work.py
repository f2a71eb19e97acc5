"""What a worker did in its worktree: seen as a whole, brought into the user's branch, or put aside."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiorch.errors import ConflictError, GitError, WorkError
from aiorch.tree import PREFIX, Tree
from aiorch.workers.carry import forget_rules
from aiorch.workers.git import LONG_SECONDS, Git, git_in, listed, read_plain, readable
from aiorch.workers.nested import add_all, check_discard, check_submodules, links
from aiorch.workers.sandbox import forget
from aiorch.workers.worktree import admin_dir, inside, worktrees

KEPT = f"refs/{PREFIX}/discarded"
"""Below it is what was discarded: git deletes nothing that a ref leads to."""

_IDENTITY = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
             for what, value in (("NAME", PREFIX), ("EMAIL", f"{PREFIX}@localhost"))}  # fmt: skip
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True)
class Change:
    """One file that a worker changed; `added` and `deleted` are lines, None for what has none.

    `kind` is git's letter: A added, M changed, D deleted, T another type.
    """

    path: str
    kind: str
    added: int | None
    deleted: int | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of a worker's work at one moment: `content` is git's tree of it, `tip` the commit it stands on.

    `is_committed` says that the commit has it all, `is_on_own` that it is its own branch's. `nested` are
    repositories in it that git cannot take up.
    """

    tip: str
    content: str
    is_committed: bool
    is_on_own: bool
    nested: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did: its commit ('' when there was nothing to merge), where, and what it changed."""

    commit: str
    into: str
    changes: Sequence[Change] = ()


@dataclass(frozen=True, slots=True)
class Discarded:
    """What became of a worktree: the ref that leads to its work, '' when it had none that is not elsewhere.

    `ignored` are the files that were deleted with it since git was told to ignore them.
    """

    ref: str
    ignored: list[str] = field(default_factory=list)


def snapshot(tree: Tree) -> Snapshot:
    """Return all that a worker has done so far; its worktree and its index stay as they are.

    Raises WorkError when it cannot be taken as a whole, GitError when there is no such worktree.
    """
    with _private_index(tree) as git:
        return _take(tree, git)


def changes(tree: Tree, taken: Snapshot) -> list[Change]:
    """Return what a worker changed since it began."""
    return _changes(git_in(tree.top), tree.base, taken.content)


def patch(tree: Tree, taken: Snapshot) -> bytes:
    """Return what a worker changed since it began as a patch that git can apply."""
    plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--binary", "-M")
    return git_in(tree.top).ask("diff", *plain, tree.base, taken.content, seconds=LONG_SECONDS).out


def ignored(tree: Tree) -> list[str]:
    """Return what git is told to ignore in a worktree, folders as one name."""
    return inside(tree).ask(
        "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"
    ).names  # fmt: skip


def touched(tree: Tree) -> set[str]:
    """Return the files that differ from where a worker began, new ones too."""
    git = inside(tree)
    plain = ("--no-ext-diff", "--no-renames", "--ignore-submodules", "--name-only", "-z")
    new = git.ask("ls-files", "-z", "--others", "--exclude-standard").names
    return {*git.ask("diff", *plain, tree.base).names, *new}


def merge(tree: Tree, message: str, *, is_working: bool = False) -> Merged:
    """Merge all of a worker's work into the branch of the user's tree.

    What it has not committed is committed on its own branch first, unless it still works. The user's tree
    changes as a whole or not at all. Raises ConflictError with the files when both changed the same lines,
    WorkError when the user's tree is in the way.
    """
    user = git_in(tree.top)
    head = user.ask("rev-parse", "--verify", "HEAD^{commit}").text
    into = user.run("symbolic-ref", "--quiet", "--short", "HEAD").text or f"the detached HEAD {head[:10]}"
    _check_at_rest(user, tree.top)
    _branch_tip(user, tree)
    work = _newest(tree, user, head, _committed(tree, message, is_working=is_working))
    if not work:
        return Merged("", into)
    content = _merged_content(user, tree, head, work)
    found = _changes(user, head, content)
    _check_clean(user, tree.top, [change.path for change in found])
    title = f"Merge {tree.branch}: {message}"
    commit = _commit(user, content, title, head, work)
    safe = ("--ff-only", "--no-overwrite-ignore", "--no-stat", "--quiet")
    done = user.run("merge", *safe, commit, seconds=LONG_SECONDS)
    if done.status != 0:
        raise WorkError(f"git left your tree as it was: {done.words or 'it took too long'}")
    return Merged(commit, into, found)


def discard(tree: Tree) -> Discarded:
    """Remove a worktree and its branch; all work that is not elsewhere is kept under a ref.

    Raises WorkError when something in it would be lost.
    """
    user = git_in(tree.top)
    if not Path(tree.path).is_dir():
        with suppress(GitError):
            check_submodules(tree, admin_dir(tree), ())
        kept = _keep(user, tree, _branch_tip(user, tree))
        _forget(user, tree)
        return Discarded(kept)
    with _private_index(tree) as git:
        taken = _take(tree, git)
        known = list(links(git.ask("ls-files", "-s", "-z").names))
    check_discard(tree, admin_dir(tree), set(known) - set(taken.nested))
    work = taken.tip
    own = _branch_tip(user, tree)
    if not taken.is_committed or (own and not _has(user, work, own)):
        parents = [work, *([own] if own and own != work else [])]
        work = _commit(user, taken.content, f"Uncommitted work of {tree.branch}", *parents)
    gone = ignored(tree)
    kept = _keep(user, tree, work)
    _forget(user, tree)
    return Discarded(kept, gone)


def _take(tree: Tree, git: Git) -> Snapshot:
    unmerged = sorted({name.partition("\t")[2] for name in git.ask("ls-files", "-u", "-z").names})
    if unmerged:
        raise WorkError(f"its worktree is in the midst of a merge ({listed(unmerged)}): "
                        f"finish or abort that in {tree.path}")  # fmt: skip
    tip, is_own = _head(tree, git)
    before = set(links(git.ask("ls-tree", "-r", "-z", tip).names))
    done = add_all(git)
    if done.status != 0:
        raise WorkError(f"its work cannot be read as a whole: {done.words or 'it took too long'}")
    content = git.ask("write-tree").text
    nested = set(links(git.ask("ls-tree", "-r", "-z", content).names)) - before
    is_committed = git.ask("rev-parse", f"{tip}^{{tree}}").text == content
    own = _branch_tip(git, tree)
    if is_committed and own != tip and _has(git, own, tip):
        # It only went back to look: what its branch has is its work.
        tip, content, is_own = own, git.ask("rev-parse", f"{own}^{{tree}}").text, True
    return Snapshot(tip, content, is_committed, is_own, tuple(sorted(nested)))


@contextmanager
def _private_index(tree: Tree) -> Iterator[Git]:
    """Give git a copy of the worktree's index: what is added to it is not seen there."""
    admin = admin_dir(tree)
    with tempfile.TemporaryDirectory(prefix="aiorch-") as folder:
        index = Path(folder, "index")
        git = inside(tree, GIT_INDEX_FILE=str(index))
        try:
            index.write_bytes(read_plain(Path(admin, "index")))
            _same_time(Path(admin, "index"), index)
        except FileNotFoundError:
            git.ask("read-tree", _head(tree, git)[0])
        yield git


def _head(tree: Tree, git: Git) -> tuple[str, bool]:
    """Return the commit that a worktree stands on, and whether it is on its own branch.

    The branch's own counts when the worktree's HEAD tells nothing.
    """
    try:
        text = os.fsdecode(read_plain(Path(admin_dir(tree), "HEAD"))).strip()
    except OSError:
        text = ""
    name = text.removeprefix("ref: ")
    wanted = [name] if name.startswith("refs/heads/") or _COMMIT.fullmatch(name) else []
    ours = f"refs/heads/{tree.branch}"
    for each in (*wanted, ours, tree.base):
        found = git.run("rev-parse", "--verify", "--quiet", f"{each}^{{commit}}")
        if found.status == 0:
            return found.text, each == ours
    raise WorkError(f"the commit that {tree.branch} began at is gone")


def _changes(git: Git, before: str, after: str) -> list[Change]:
    plain = ("diff-tree", "-r", "-z", "--no-renames", "--no-ext-diff", "--no-textconv")
    kinds = git.ask(*plain, "--name-status", before, after, seconds=LONG_SECONDS).names
    letters = dict(zip(kinds[1::2], kinds[::2], strict=True))
    found = []
    for entry in git.ask(*plain, "--numstat", before, after, seconds=LONG_SECONDS).names:
        added, deleted, name = entry.split("\t", 2)
        lines = [None if count == "-" else int(count) for count in (added, deleted)]
        found.append(Change(name, letters.get(name, "M"), *lines))
    return found


def _check_at_rest(user: Git, top: str) -> None:
    if user.ask("ls-files", "-u", "-z").names or user.holds("rev-parse", "--verify", "--quiet", "MERGE_HEAD"):
        raise WorkError(f"{top} is in the midst of a merge: finish it, or abort it by `git merge --abort`")


def _check_clean(user: Git, top: str, names: Sequence[str]) -> None:
    """Raise WorkError when the user has uncommitted work in files that a merge would change."""
    words = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
    mine = {entry[3:] for entry in user.ask(*words).names}
    if both := sorted(mine & set(names)):
        raise WorkError(f"uncommitted changes of yours in {top} are in the way: {listed(both)}. "
                        "Commit or stash them, then merge again")  # fmt: skip


def _committed(tree: Tree, message: str, *, is_working: bool) -> str:
    """Return the commit with all of a worker's work; while it works its branch is left to it."""
    with _private_index(tree) as git:
        taken = _take(tree, git)
        if taken.nested:
            raise WorkError(f"{listed(taken.nested)} in {tree.path} has a git repository of its own, "
                            "which cannot be merged: move it away, or ignore it")  # fmt: skip
        if taken.is_committed:
            return taken.tip
        commit = _commit(git, taken.content, message, taken.tip)
        # Another branch that it went to is not ours to move.
        if not is_working and taken.is_on_own:
            git.ask(
                "update-ref",
                "--no-deref",
                "-m",
                f"{PREFIX}: uncommitted work",
                f"refs/heads/{tree.branch}",
                commit,
                taken.tip,
            )
            # Its index is what was committed, so that nothing looks changed there.
            _put_index(Path(git.variables["GIT_INDEX_FILE"]), admin_dir(tree))
        return commit


def _same_time(source: Path, index: Path) -> None:
    """Give a copy of an index the time of the original: by it git knows which files it has to look into."""
    facts = source.lstat()
    os.utime(index, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _put_index(source: Path, admin: str) -> None:
    """Put a copy of an index in the place of a worktree's own, whatever a worker has put there."""
    try:
        # A name that is not known beforehand, and a file that was not there: no link leads away from it.
        descriptor, whole = tempfile.mkstemp(prefix=f"index.{PREFIX}-", dir=admin)
        with os.fdopen(descriptor, "wb") as file:
            file.write(source.read_bytes())
        try:
            _same_time(source, Path(whole))
            os.replace(whole, f"{admin}/index")  # noqa: PTH105 - both are texts
        except OSError:
            os.unlink(whole)  # noqa: PTH108
            raise
    except OSError as error:
        raise WorkError(f"its index in {admin} cannot be written: {error.strerror}") from error


def _newest(tree: Tree, user: Git, head: str, work: str) -> str:
    """Return the commit to merge, of the worktree's and its branch's: '' when the user's has both.

    Raises WorkError when neither has all.
    """
    own = _branch_tip(user, tree)
    new = [one for one in (work, own) if one and not _has(user, head, one)]
    if len(new) == 2 and not _has(user, work, own):
        where = inside(tree).run("symbolic-ref", "--quiet", "--short", "HEAD").text or "a detached HEAD"
        raise WorkError(
            f"its work is in two places: its worktree is on {readable(where)}, which has not all of "
            f"{tree.branch}. Bring both together first: `git merge {tree.branch}` in {tree.path}"
        )
    return new[0] if new else ""


def _has(git: Git, commit: str, wanted: str) -> bool:
    """Return whether a commit has all that another one has."""
    return bool(commit) and git.holds("merge-base", "--is-ancestor", wanted, commit)


def _commit(git: Git, content: str, message: str, *parents: str) -> str:
    if not git.holds("var", "GIT_COMMITTER_IDENT") or not git.holds("var", "GIT_AUTHOR_IDENT"):
        git = replace(git, variables={**git.variables, **_IDENTITY})
    words = [word for parent in parents for word in ("-p", parent)]
    text = message.encode("utf-8", "replace")
    return git.ask("commit-tree", content, *words, "-F", "-", data=text).text


def _merged_content(user: Git, tree: Tree, head: str, work: str) -> str:
    words = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z")
    done = user.run(*words, head, work, seconds=LONG_SECONDS)
    by_hand = f"`git merge {tree.branch}` in {tree.top}"
    if done.status not in (0, 1):
        if "usage:" in done.words:
            raise WorkError(f"merging needs git 2.38 or newer; by hand: {by_hand}")
        raise GitError(f"git merge-tree: {done.words or 'it took too long'}")
    content, *names = done.names
    if done.status == 1:
        files = "".join(f"\n  {readable(name)}" for name in names)
        raise ConflictError(f"{tree.branch} and your branch change the same lines in:{files}\n"
                            f"Nothing was changed. To resolve it by hand: {by_hand}")  # fmt: skip
    return content


def _branch_tip(user: Git, tree: Tree) -> str:
    """Return the commit of a worker's branch, '' without one.

    Raises WorkError when it stands for another branch, which a worker must not have us move or delete.
    """
    name = f"refs/heads/{tree.branch}"
    other = user.run("symbolic-ref", "--quiet", name).text
    if other:
        raise WorkError(f"{tree.branch} stands for {readable(other)}, which is not the worker's: "
                        f"`git symbolic-ref --delete {name}` takes it away")  # fmt: skip
    return user.run("rev-parse", "--verify", "--quiet", f"refs/heads/{tree.branch}^{{commit}}").text


def _keep(user: Git, tree: Tree, work: str) -> str:
    """Make a ref for a commit that neither the user's branch nor the beginning has; return it, else ''."""
    if not work or any(_has(user, one, work) for one in _lasting(user, tree)):
        return ""
    name = tree.branch.removeprefix(f"{PREFIX}/")
    ref = f"{KEPT}/{name}-{time.strftime('%Y%m%d-%H%M%S')}-{work[:8]}"
    user.ask("update-ref", "--create-reflog", "-m", f"{PREFIX}: discarded", ref, work)
    return ref


def _lasting(user: Git, tree: Tree) -> Iterator[str]:
    """Yield the user's commit and the one a worker began at, where more than its branch leads to them."""
    ours = f"refs/heads/{tree.branch}"
    branch = user.run("symbolic-ref", "--quiet", "HEAD").text
    # Detached, the user may just be looking at the work, and then goes back to a branch.
    if branch and branch != ours:
        yield branch
    refs = user.run("for-each-ref", "--format=%(refname)", "--contains", tree.base).text.splitlines()
    if set(refs) - {ours}:
        yield tree.base


def _forget(user: Git, tree: Tree) -> None:
    if tree.path in worktrees(user) or os.path.realpath(tree.path) in worktrees(user):
        user.ask("worktree", "remove", "--force", "--force", "--", tree.path, seconds=LONG_SECONDS)
    if _branch_tip(user, tree):
        user.ask("branch", "--quiet", "-D", "--", tree.branch)
    folder = Path(tree.path).parent
    if not any(str(Path(path).parent) == str(folder) for path in worktrees(user)):
        forget_rules(tree)
        forget(tree)
        # Somebody else's file in it keeps it.
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
