"""What changed in a git tree while a worker ran: which files, and how many lines of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from aiorch.errors import ChangesError

MAX_FILES = 500
"""Files that are kept by name; the others are counted."""

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames",
          "--ignore-submodules=dirty")  # fmt: skip
DIFF = ("diff", "--raw", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv")
_MAX_COUNTED = 256 * 1024
_GIT_SECONDS = 30.0
_INITIAL = "(initial)"
_OID = re.compile(r"[0-9a-f]{40,64}|\(initial\)")


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file, by its path in the tree; `kind` is added, modified or deleted.

    `added` and `removed` are lines, None where they cannot be told: a binary file, or one that had changes
    before that were not committed.
    """

    path: str
    kind: str
    added: int | None
    removed: int | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed in a tree; `more` files are not listed. `shared` names workers of the same tree and time.

    `base` and `head` are the commits before and after, the same when none was made.
    """

    files: tuple[FileChange, ...]
    more: int = 0
    base: str = ""
    head: str = ""
    shared: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[int, int]:
        """Return the lines that were added and removed, where they are known."""
        return sum(one.added or 0 for one in self.files), sum(one.removed or 0 for one in self.files)


@dataclass(frozen=True, slots=True)
class Tree:
    """What `git status` said of a tree: its commit, and by path what is not as committed."""

    commit: str
    entries: Mapping[str, str]


def tree_of(directory: str) -> Path | None:
    """Return the top of the git tree that a directory is in, None when it is in none."""
    for folder in (Path(directory), *Path(directory).parents):
        if (folder / ".git").exists():
            return folder
    return None


def parse_status(data: bytes) -> Tree | None:
    """Return what STATUS printed, None when that is nothing whole."""
    commit, entries = "", dict[str, str]()
    for word in _words(data):
        kind = word[:1]
        if word.startswith("# branch.oid "):
            commit = word.removeprefix("# branch.oid ")
        elif kind == "?":
            entries[word[2:]] = "?"
        elif kind in ("1", "u"):
            *facts, path = word.split(" ", 8 if kind == "1" else 10)
            entries[path] = " ".join(facts)
    return Tree(commit, entries) if _OID.fullmatch(commit) else None


def parse_diff(data: bytes) -> dict[str, FileChange]:
    """Return what DIFF printed, by path."""
    kinds: dict[str, str] = {}
    found: dict[str, FileChange] = {}
    words = _words(data)
    for word in words:
        if word.startswith(":"):
            kinds[next(words, "")] = {"A": "added", "D": "deleted"}.get(word[-1], "modified")
        elif word.count("\t") >= 2:
            added, removed, path = word.split("\t", 2)
            counts = (int(text) if text.isdigit() else None for text in (added, removed))
            found[path] = FileChange(path, kinds.get(path, "modified"), *counts)
    return found


def compare(
    before: Tree, after: Tree, diff: Mapping[str, FileChange], is_touched: Callable[[str], bool],
    count: Callable[[str], int | None],
) -> Changes:  # fmt: skip
    """Return what changed between two looks at a tree.

    `diff` is the later one against the commit of the earlier one. `is_touched` says of a file that had
    changes at both times whether it was written in between, `count` how many lines a file has.
    """
    found = [
        change
        for path in sorted({*before.entries, *after.entries, *diff})
        if (change := _change(path, before, after, diff.get(path), is_touched, count)) is not None
    ]
    return Changes(tuple(found[:MAX_FILES]), max(0, len(found) - MAX_FILES), before.commit, after.commit)


def _change(
    path: str, before: Tree, after: Tree, change: FileChange | None,
    is_touched: Callable[[str], bool], count: Callable[[str], int | None],
) -> FileChange | None:  # fmt: skip
    was, now = before.entries.get(path), after.entries.get(path)
    if was is None:
        return FileChange(path, "added", count(path), 0) if change is None and now == "?" else change
    if was == now and not is_touched(path):
        return None
    # What it was before is nowhere any more: its lines cannot be told.
    if change is not None:
        return FileChange(path, change.kind if was != "?" else "modified", None, None)
    return FileChange(path, "deleted" if was == "?" and now is None else "modified", None, None)


def attempt_changes(folder: Path, top: Path, read: Callable[[Path], bytes]) -> Changes | None:
    """Return what changed during an attempt, by what its wrapper noted in `folder`.

    None when that is not whole. `read` returns a file that a worker may have spoilt.
    """
    before, after = (parse_status(read(folder / name)) for name in ("tree.before", "tree.after"))
    lines = read(folder / "tree.lines")
    if before is None or after is None:
        return None
    try:
        begun = (folder / "tree.before").lstat().st_mtime
    except OSError:
        return None
    return compare(before, after, parse_diff(lines), _touched_since(top, begun), _counting(top))


def changes_since(directory: Path, base: str) -> Changes:
    """Return how a git tree differs from a commit that it was at, clean.

    That is what a worker did in a tree of its own. Raises ChangesError when git cannot tell.
    """
    after = parse_status(_git(directory, *STATUS))
    top = tree_of(str(directory))
    if after is None or top is None:
        raise ChangesError(f"{directory} is no git tree")
    diff = parse_diff(_git(directory, *DIFF, base, "--"))
    return compare(Tree(base, {}), after, diff, _touched_since(top, time.time()), _counting(top))


def as_json(changes: Changes) -> str:
    """Return changes as a JSON text of ASCII, which holds names that are no UTF-8, too."""
    return json.dumps(asdict(changes))


def from_json(text: str) -> Changes | None:
    """Return the changes in a JSON text, None when there are none in it."""
    data = json.loads(text)
    if "files" not in data:
        return None
    files = tuple(FileChange(**one) for one in data["files"])
    return Changes(files, data["more"], data["base"], data["head"], tuple(data["shared"]))


def described(changes: Changes) -> str:
    """Return changes in a few words, `3 files, +40 -2` for instance."""
    number = len(changes.files) + changes.more
    added, removed = changes.lines
    return f"{number} file{'s' * (number != 1)}, +{added} -{removed}" if number else "no files"


def _words(data: bytes) -> Iterator[str]:
    return iter(data.decode("utf-8", "surrogateescape").split("\0"))


def _git(directory: Path, *arguments: str) -> bytes:
    argv = ["git", "-C", str(directory), "-c", "core.fsmonitor=false", *arguments]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_SECONDS,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChangesError(f"git does not tell what changed: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise ChangesError(f"git does not tell what changed: {said}")
    return done.stdout


def _touched_since(top: Path, begun: float) -> Callable[[str], bool]:
    def is_touched(path: str) -> bool:
        try:
            return (top / path).lstat().st_ctime >= begun
        except (OSError, ValueError):
            return False

    return is_touched


def _counting(top: Path) -> Callable[[str], int | None]:
    """Return what counts the lines of a file, as many as a limit for all of them together lets it."""
    left = [MAX_FILES * 1024 * 8]

    def count(path: str) -> int | None:
        try:
            descriptor = os.open(top / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(min(_MAX_COUNTED, max(left[0], 0)) + 1)
        except (OSError, ValueError):
            return None
        left[0] -= len(data)
        if len(data) > _MAX_COUNTED or left[0] < 0 or b"\0" in data:
            return None
        return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))

    return count


def together(workers: Sequence[str]) -> str:
    """Return a sentence that says with whom a tree was shared."""
    return f"shared the tree with {', '.join(workers)}: whose changes these are cannot be told"
