"""A plan in the user's own editor: as JSON in a file that stays until it could be used."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from aiorch.errors import DirectiveError, UsageError
from aiorch.plan.schema import WorkerSpec
from aiorch.plan.stored import to_payload
from aiorch.ui.full_screen import FullScreen

MAX_BYTES = 4 * 1024 * 1024
_EDITORS = ("sensible-editor", "nano", "vim", "vi")
# What an editor would take for settings of its own: the task may come from anybody.
_SETTINGS = re.compile(r"((?<!\S)(?:vim?|ex)(?:[<=>]?\d+)?|local variables)(\s*):|-\*-", re.IGNORECASE)


class Draft:
    """The plan of one directive as the user writes it; its file lies in the run's directory."""

    def __init__(self, root: Path, number: int) -> None:
        self._path = root / "drafts" / f"plan-{number}.json"

    @property
    def exists(self) -> bool:
        """Return whether something is kept that could not be used, or was not yet."""
        return self._path.is_file()

    def edit(self, screen: FullScreen, workers: Sequence[WorkerSpec]) -> list[object] | None:
        """Have the plan edited, or what is kept of it; return what was written, None when nothing was.

        An empty file drops what was kept.

        Raises UsageError when no editor can be run, DirectiveError for what is no list in JSON.
        """
        text = as_text(workers)
        if not self.exists:
            self._write(text)
        argv = [*editor(os.environ), str(self._path)]
        try:
            status = screen.lend(argv)
        except OSError as error:
            raise UsageError(f"the editor {argv[0]} cannot be run: {error.strerror}") from error
        if status:
            raise DirectiveError(f"the editor ended with {status}")
        written = self._read()
        if written == text or not written.strip():
            self.forget()
            return None
        return read(written)

    def forget(self) -> None:
        """Delete what is kept."""
        with suppress(OSError):
            self._path.unlink()

    def _write(self, text: str) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(self._path, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UsageError(f"the plan cannot be written for the editor: {error}") from error

    def _read(self) -> str:
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_BYTES).decode("utf-8")
        except (OSError, ValueError) as error:
            raise DirectiveError(f"what was written cannot be read: {error}") from error


def editor(env: Mapping[str, str]) -> list[str]:
    """Return the argv of the user's editor. Raises UsageError when there is none."""
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(env.get(name, ""))
        except ValueError as error:
            raise UsageError(f"{name} cannot be read: {error}") from error
        if words:
            return words
    for program in _EDITORS:
        if shutil.which(program, path=env.get("PATH")):
            return [program]
    raise UsageError("there is no editor: set EDITOR")


def as_text(workers: Sequence[WorkerSpec]) -> str:
    """Return a plan as JSON to be edited, with nothing that an editor would draw or read as settings."""
    text = json.dumps(to_payload(workers), indent=2, ensure_ascii=False)
    shown = "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)
    return _SETTINGS.sub(_harmless, shown) + "\n"


def read(text: str) -> list[object]:
    """Return the workers that a text gives. Raises DirectiveError when it is no list in JSON."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise DirectiveError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise DirectiveError("it is nested too deep") from error
    except ValueError as error:
        # A number of thousands of digits, for one.
        raise DirectiveError(str(error)) from error
    if not isinstance(found, list):
        raise DirectiveError("a plan is a list of workers: [{…}, {…}]")
    return found


def _harmless(match: re.Match[str]) -> str:
    # The same text to whoever reads JSON.
    return f"{match[1]}{match[2]}\\u003a" if match[1] else "-\\u002a-"
