"""Text on its way into a journal: what no database takes becomes an escape, and costs nothing else."""

from __future__ import annotations

import sqlite3
from typing import Any


class Connection(sqlite3.Connection):
    """A connection that takes any text: what is no UTF-8 in it (half a surrogate pair) becomes an escape.

    Names of files and what agents write may hold such characters, and nobody should die of one.
    """

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run one statement, as sqlite3's own does."""
        try:
            return super().execute(sql, parameters)
        except UnicodeEncodeError:
            return super().execute(sql, tuple(map(_writable, parameters)))


def _writable(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
