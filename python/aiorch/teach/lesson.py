"""What an agent is told about delegating, in the form that its screen keeps intact; text in `lesson.md`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aiorch.toml_file import Reader

LINE, FENCE, REFERENCE = "line", "fence", "reference"
FORMS = (LINE, FENCE, REFERENCE)
"""Forms of a directive that an agent can be taught."""

BEGIN = "<!-- aiorch:begin: made by `aiorch init`, which replaces it; `aiorch init --remove` takes it out -->"
END = "<!-- aiorch:end -->"

_FORM = {
    LINE: """\
It is plain text on a line of its own, not in a code fence, list, table or quotation. Keep it short,
and free of backslashes, back-ticks, `*` and links: what needs them goes into a file.""",
    FENCE: """\
It stands on a line of its own in a code fence (three back-ticks), since outside of one your screen may lose
characters. What is long goes into a file.""",
    REFERENCE: """\
It is plain text on a line of its own, and always the form with `file`, since your screen may lose characters
of everything else.""",
}
# No marker in it is the first thing on its line, the only one with an object behind it stands behind a
# quotation mark, and that object is no JSON: however the text is shown, quoted or wrapped, nothing in it is
# a directive.
_LESSON = Path(__file__).with_name("lesson.md")


@dataclass(frozen=True, slots=True)
class Teaching:
    """Which file of a project an agent reads, and which form of a directive it is taught.

    `why` is the reason for the form, `hint` what the user has to do so that the file is read; both are
    sentences, or empty.
    """

    file: str
    form: str = LINE
    why: str = ""
    hint: str = ""


def read_teaching(reader: Reader) -> Teaching | None:
    """Return a profile's `[teach]` table, None without one; mistakes are noted in the reader's file."""
    if not reader.table:
        return None
    teaching = Teaching(
        reader.text("file", filled=True),
        reader.text("form", LINE, choices=FORMS),
        reader.text("why"),
        reader.text("hint"),
    )
    path = PurePosixPath(teaching.file)
    if path.is_absolute() or ".." in path.parts or path.suffix.lower() != ".md":
        reader.problem("file", "must be the path of a Markdown file (.md) in a project")
    reader.finish()
    return teaching


def lesson(form: str) -> str:
    """Return the text about delegating, as Markdown without a heading."""
    return _LESSON.read_text(encoding="utf-8").replace("{form}", _FORM[form])


def section(form: str) -> str:
    """Return the whole marked section, its lines ended by LF, the last one by nothing."""
    return f"{BEGIN}\n## Delegating to worker agents (aiorch)\n\n{lesson(form)}{END}"


def common(forms: Iterable[str]) -> str:
    """Return the form for all agents that share a file: the one that survives everywhere when they differ."""
    found = set(forms)
    return found.pop() if len(found) == 1 else REFERENCE
