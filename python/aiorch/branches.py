"""`aiorch diff`, `merge` and `discard`: what is done with a worker's work in its own worktree."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiorch import process
from aiorch.client import request
from aiorch.errors import AiorchError, EngineError, RequestError, WorkError
from aiorch.journal import ACTIVE, WorkerRow, WorkerState
from aiorch.journal.reading import reading
from aiorch.paths import RunPaths
from aiorch.places import locate
from aiorch.tree import Tree, TreeState, branch_name
from aiorch.ui.report import counted
from aiorch.ui.terminal import printable, use_color
from aiorch.workers import work
from aiorch.workers.git import git_in
from aiorch.workers.owner import held, lock_file, mark_of
from aiorch.workers.worktree import end_leftovers, is_own, survey, worktrees

_COLORS = {"+": "\033[32m", "-": "\033[31m", "@": "\033[36m"}


@dataclass(frozen=True, slots=True)
class _Found:
    """A worker's worktree; without a run that knows it, `row` and `root` are None."""

    name: str
    tree: Tree
    row: WorkerRow | None = None
    root: Path | None = None

    @property
    def is_working(self) -> bool:
        """Say whether it works, or is just about to."""
        row = self.row
        if row is None or row.state not in ACTIVE:
            return False
        # One that lost its tmux is still written down as working.
        return row.pid == 0 or process.is_same(row.pid, row.ticks)

    @property
    def message(self) -> str:
        """Return the line that says in git what the work was for."""
        task = " ".join(self.row.task.split()) if self.row else ""
        words = f"{self.name}: {task}" if task else f"work of {self.name}"
        return words if len(words) <= 100 else f"{words[:99]}…"


def diff(options: argparse.Namespace) -> int:
    """Print what a worker changed since it began, committed or not."""
    found = _find(options)
    taken = work.snapshot(found.tree)
    changes = work.changes(found.tree, taken)
    if options.json:
        _say(json.dumps(_record(found, taken, changes), indent=1))
    elif options.stat:
        _say(_stat(changes) if changes else f"{found.name} changed nothing")
    elif sys.stdout.isatty():
        _say(_shown(work.patch(found.tree, taken)))
    else:
        # For `git apply` and the like it has to be what it is.
        sys.stdout.buffer.write(work.patch(found.tree, taken))
        sys.stdout.buffer.flush()
    return 0


def merge(options: argparse.Namespace) -> int:
    """Bring a worker's work into the branch of the user's tree."""
    found = _find(options)
    if found.is_working and not options.force:
        raise WorkError(f"{found.name} is still at work: wait for its end, or merge what there is by --force")
    done = work.merge(found.tree, found.message, is_working=found.is_working)
    if not done.commit:
        _say(printable(f"nothing to merge: {done.into} has all of {found.tree.branch}"))
        return 0
    text = f"{found.name} into {done.into}: {counted(len(done.changes), 'file')}, commit {done.commit[:10]}"
    _say(printable(f"merged {text}"))
    _say(_stat(done.changes))
    _say(printable(f"its worktree stays; `aiorch discard {found.name}` removes it"))
    _tell(found, "merged", text)
    return 0


def discard(options: argparse.Namespace) -> int:
    """Remove a worker's worktree and branch, with its work kept under a ref."""
    found = _find(options)
    if found.is_working:
        raise WorkError(f"{found.name} is still at work: `aiorch kill {found.name}` ends it")
    if found.row is not None and found.row.state is WorkerState.QUEUED:
        raise WorkError(f"{found.name} is to be tried again: `aiorch kill {found.name}` keeps it from that")
    done = _discarded(found)
    _say(printable(f"removed {found.tree.path} and branch {found.tree.branch}"))
    if done.ignored:
        _say(printable(f"files that git ignores went with it: {', '.join(done.ignored)}"))
    if done.ref:
        _say(printable(f"its work is kept as {done.ref}\nto have it back: git branch NAME {done.ref}"))
    else:
        _say("it had no work that is not in your branch")
    _tell(found, "discarded", f"{found.name}: {f'kept as {done.ref}' if done.ref else 'nothing to keep'}")
    return 0


def _discarded(found: _Found) -> work.Discarded:
    if found.row is None or found.root is None:
        return work.discard(found.tree)
    workers, number = _workers(found.root), found.row.number
    with held(lock_file(workers, number), wait=False):
        # Of a setup whose engine is lost.
        end_leftovers(mark_of(workers, number))
        return work.discard(found.tree)


def _find(options: argparse.Namespace) -> _Found:
    """Return the worktree of the worker that is named: as the run knows it, else as git does.

    Raises RequestError when there is none.
    """
    name, root = options.name, options.run
    if root is None:
        with suppress(AiorchError):
            root = locate(options.socket, options.session, None).run or None
    if root is not None:
        with reading(RunPaths(Path(root)).journal) as journal:
            row, trees = journal.named([name]).get(name), journal.trees()
        tree = trees.get(row.number) if row else None
        if row and tree and tree.state is not TreeState.DISCARDED:
            others = [other for number, other in trees.items() if number != row.number]
            _check_made(row, tree, others, Path(root))
            return _Found(name, tree, row, Path(root))
        if row and tree:
            raise RequestError(f"the work of {name} was discarded: `git for-each-ref {work.KEPT}` lists it")
        if row:
            raise RequestError(f"{name} has no worktree of its own: it works in the directory of the lead")
    return _Found(name, _by_git(name))


def _check_made(row: WorkerRow, tree: Tree, others: Sequence[Tree], root: Path) -> None:
    """Raise RequestError when what was chosen for a worker is not, or not yet, its own."""
    if tree.state is not TreeState.CHOSEN:
        return
    if row.state is WorkerState.QUEUED:
        raise RequestError(f"the worktree of {row.name} is still being made")
    is_shared = any(tree.collides(other) for other in others if other.state is not TreeState.DISCARDED)
    if is_shared or not is_own(tree, mark_of(_workers(root), row.number)):
        raise RequestError(f"no worktree was made for {row.name}: what is in {tree.path} is somebody else's")


def _workers(root: Path) -> Path:
    return RunPaths(root.resolve()).workers


def _by_git(name: str) -> Tree:
    """Return the worktree of a run that is over, as the repository around us knows it."""
    try:
        here = survey(str(Path.cwd()))
    except AiorchError as error:
        raise RequestError(f"there is no worker {name} here: no run, and {error}") from error
    git = git_in(here.top)
    for branch in (branch_name(name), branch_name(name, below=False)):
        tip = git.run("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
        path = next((p for p, f in worktrees(git).items() if f.get("branch") == f"refs/heads/{branch}"), "")
        if tip.status == 0 and path:
            base = git.run("merge-base", here.head, tip.text).text or tip.text
            return Tree(path, branch, base, here.top, here.common, state=TreeState.READY)
    raise RequestError(f"there is no worker {name}, and no worktree of a branch {branch_name(name)}")


def _tell(found: _Found, verb: str, text: str) -> None:
    """Have it written into the event log, where a run knows the worker."""
    if found.root is not None:
        # Done is done: a run that is over has nobody to write it down.
        with suppress(EngineError):
            plain = os.fsencode(text).decode(errors="replace")
            request(found.root, {"verb": verb, "name": found.name, "text": plain})


def _record(found: _Found, taken: work.Snapshot, changes: Sequence[work.Change]) -> dict[str, object]:
    tree = found.tree
    return {
        "worker": found.name,
        "branch": tree.branch,
        "worktree": tree.path,
        "base": tree.base,
        "tip": taken.tip,
        "committed": taken.is_committed,
        "files": [
            {"path": one.path, "kind": one.kind, "added": one.added, "deleted": one.deleted}
            for one in changes
        ],
        "ignored": work.ignored(tree),
    }


def _stat(changes: Sequence[work.Change]) -> str:
    rows = [
        (f"{one.kind} {printable(one.path.replace(chr(10), chr(92) + 'n'))}", _lines(one)) for one in changes
    ]
    width = max((len(name) for name, _ in rows), default=0)
    added, deleted = (sum(count or 0 for count in column) for column in _columns(changes))
    lines = [f"{name.ljust(width)}  {lines}".rstrip() for name, lines in rows]
    return "\n".join([*lines, f"{counted(len(rows), 'file')}, +{added} -{deleted}"])


def _columns(changes: Sequence[work.Change]) -> tuple[list[int | None], list[int | None]]:
    return [one.added for one in changes], [one.deleted for one in changes]


def _lines(change: work.Change) -> str:
    return "binary" if change.added is None else f"+{change.added} -{change.deleted}"


def _shown(patch: bytes) -> str:
    """Return a patch for a terminal, to which nothing in it does anything."""
    shown = []
    for line in patch.decode("utf-8", "replace").split("\n"):
        text = printable(line.expandtabs())
        color = _COLORS.get(text[:1], "") if use_color() else ""
        shown.append(f"{color}{text}\033[m" if color else text)
    return "\n".join(shown).rstrip("\n")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output
