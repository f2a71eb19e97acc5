"""How one agent draws its conversation: the values that tell an answer's row from all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from aiorch.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Gutter:
    """The left edge of an agent's rows, and its wrap rule; data from the `[screen]` table of a profile.

    Marks are compared with the start of a row, blanks included. `answer` marks open an answer and
    `indent` is the column of its text; `user` and `tool` marks open rows of others; with `runs_on` the
    rows below them, at the answer's indent, are theirs too. `filled`: user rows have a background colour.
    `anchored`: a row counts only when its answer's mark is known. `strict`: any text left of the indent ends
    the answer above it.
    `sticky`: the top row may repeat the user's words. `right` columns at the right edge stay free,
    `scrollbar` lists the glyphs drawn there, `panel`: a panel of another background may stand at the
    right. Rows break without a blank behind the characters in `break_after`; behind those in `doubtful`
    nobody knows. `numbered`: lines of a code block carry numbers. `reprints`: unfinished copies of an answer
    stay behind in the history. `apart`: joined emoji take the columns of all their parts. `mixed`: the output
    of commands looks as answers do, so the screen proves no more than plain lines. `flat` is a second way of
    drawing, for rows left of the indent (a screen-reader mode).
    """

    name: str = ""
    indent: int = 0
    answer: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    tool: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    runs_on: bool = True
    filled: bool = False
    sticky: bool = False
    right: int = 0
    scrollbar: str = ""
    break_after: str = ""
    doubtful: str = ""
    anchored: bool = False
    strict: bool = False
    panel: bool = False
    numbered: bool = False
    reprints: bool = False
    apart: bool = False
    mixed: bool = False
    flat: Gutter | None = None

    @classmethod
    def from_mapping(cls, table: Mapping[str, object]) -> Gutter:
        """Build a gutter from a `[screen]` table, or from the whole file that holds it.

        Raises ConfigError naming every wrong key or value.
        """
        whole = table.get("screen")
        if isinstance(whole, Mapping):
            table = whole
        values: dict[str, object] = {}
        problems = []
        known = {field.name: field.default for field in fields(cls)}
        for key, value in table.items():
            if key == "flat" and isinstance(value, Mapping):
                values[key] = cls.from_mapping(value)
            elif key not in known:
                problems.append(f"screen.{key}: unknown key")
            elif isinstance(known[key], tuple):
                marks = tuple(value) if isinstance(value, list) else ("",)
                if not all(isinstance(mark, str) and mark for mark in marks):
                    problems.append(f"screen.{key}: expected a list of texts")
                values[key] = marks
            elif type(value) is not type(known[key]):
                problems.append(f"screen.{key}: expected {type(known[key]).__name__}")
            else:
                values[key] = value
        if problems:
            raise ConfigError(problems)
        return cls(**values)  # type: ignore[arg-type]  # every value was checked against its field
