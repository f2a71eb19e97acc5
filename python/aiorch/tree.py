"""A worker's own git worktree: what is known of it, and how its branch is called (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

PREFIX = "aiorch"
"""What our branches begin with, before a `/`."""

_DOTS = re.compile(r"\.{2,}")


class TreeState(StrEnum):
    """How far a worktree has come: its name is chosen, a worker may start in it, it is gone."""

    CHOSEN = "chosen"
    READY = "ready"
    DISCARDED = "discarded"


class Tree(NamedTuple):
    """The worktree of one worker.

    `top` is the user's own tree, where merges go, and `common` git's directory that both share. `folder` is
    where the worker begins below `path`, '' at its top. `base` is the commit that it was made from.
    """

    path: str
    branch: str
    base: str
    top: str
    common: str
    folder: str = ""
    state: TreeState = TreeState.CHOSEN

    @property
    def directory(self) -> str:
        """Return where the worker begins."""
        return f"{self.path}/{self.folder}" if self.folder else self.path

    def collides(self, other: Tree) -> bool:
        """Say whether two cannot be there at once: they have one folder or one branch."""
        return self.path == other.path or (self.common, self.branch) == (other.common, other.branch)

    def record(self) -> dict[str, str]:
        """Return it as JSON values; `tree_of` reads them."""
        return {name: str(value) for name, value in self._asdict().items()}


def tree_of(record: Mapping[str, str]) -> Tree:
    """Return the worktree that a record tells of. Raises ValueError or TypeError without one."""
    values: dict[str, str] = {**record}
    return Tree(**{**values, "state": TreeState(values.pop("state"))})  # type: ignore[arg-type]


def label(name: str) -> str:
    """Return a worker's name as git takes it in a branch: no `..`, no `.` and no `.lock` at the end."""
    text = _DOTS.sub(".", name).strip(".-")
    while text.endswith(".lock"):
        text = text.removesuffix(".lock").rstrip(".-")
    return text or "worker"


def branch_name(part: str, *, below: bool = True) -> str:
    """Return the branch for a label: `below` our prefix, unless a branch has that very name."""
    return f"{PREFIX}/{part}" if below else f"{PREFIX}-{part}"
