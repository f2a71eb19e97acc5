"""Which worker has a worktree of its own, as the journal has it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from aiorch.journal.history import History, decoded
from aiorch.tree import Tree, TreeState, tree_of


class Trees(History):
    """The part of a journal that knows the workers' worktrees, and values by their names."""

    def set_meta(self, name: str, value: object) -> None:
        """Remember one JSON value under a name."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))

    def meta(self, name: str) -> object:
        """Return the JSON value under a name, None when there is none."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else decoded(_json, row)

    def set_tree(self, worker: int, tree: Tree) -> None:
        """Remember the worktree of a worker."""
        # Paths need not be UTF-8: JSON writes what is not as escapes, a database would refuse it.
        record = json.dumps(tree.record())
        self._db.execute(
            "INSERT OR REPLACE INTO trees VALUES (?, ?, ?, ?, ?)",
            (worker, tree.branch, tree.base, str(tree.state), record),
        )

    def set_tree_state(self, worker: int, state: TreeState) -> None:
        """Change how far the worktree of a worker has come."""
        tree = self.tree(worker)
        if tree is not None:
            self.set_tree(worker, tree._replace(state=state))

    def tree(self, worker: int) -> Tree | None:
        """Return the worktree of a worker, None when it has none."""
        return self.trees().get(worker)

    def trees(self) -> dict[int, Tree]:
        """Return all worktrees by their workers' numbers."""
        # An engine of an older version may still write this journal.
        if not self._has_table("trees"):
            return {}
        rows = self._db.execute("SELECT * FROM trees ORDER BY worker")
        return dict(decoded(_tree, row) for row in rows)

    def add_overlap(self, one: int, other: int, files: Sequence[str]) -> None:
        """Remember the files that two workers both change; those from before are to be among them."""
        pairs = {f"{first}-{second}": names for (first, second), names in self.overlaps().items()}
        self.set_meta("overlaps", {**pairs, f"{one}-{other}": list(files)})

    def overlaps(self) -> dict[tuple[int, int], list[str]]:
        """Return the files that two workers both change, by their numbers, the lower one first."""
        noted = self.meta("overlaps")
        found = {}
        for pair, names in noted.items() if isinstance(noted, dict) else ():
            first, _, second = pair.partition("-")
            found[int(first), int(second)] = [str(name) for name in names]
        return found


def _json(row: sqlite3.Row) -> object:
    return json.loads(row[0])


def _tree(row: sqlite3.Row) -> tuple[int, Tree]:
    return row["worker"], tree_of(json.loads(row["record"]))
