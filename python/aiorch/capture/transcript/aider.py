"""Aider's history: `.aider.chat.history.md` in the project, Markdown that several runs append to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiorch.capture.grammar import MARKER
from aiorch.capture.transcript.line_file import MAX_LINE, LineFile
from aiorch.capture.transcript.said import Said

_CHAT = "# aider chat started at "
_USER = "#### "
_OWN = "> "
# Aider ends what it and the user say with a Markdown line break; the assistant's quotes have none.
_BREAK = "  "


class History:
    """Lines of the history → the assistant's answers (pure).

    Seen with 0.86.2. An answer is written at once when it is complete, with a blank line before and
    after it, and something of Aider's own (the count of tokens) follows immediately: only that ends
    it, so that no half of it is taken. A message of Aider's own with several lines bears a mark only
    on its first, so it goes on until a line with its line break.

    When an answer does not fit the edit format (a fence without a file name is enough), Aider asks the
    model again by itself, up to three times: all answers of one user turn bear one identity, and equal
    directives among them are one. Two in the same answer stay two.
    """

    def __init__(self, name: str, marker: str = MARKER) -> None:
        self._name, self._marker = name, marker
        self.restart()

    def restart(self) -> None:
        """Forget everything: the file begins anew."""
        self.chat = ""
        self.turn = 0
        self._answer: list[str] | None = None
        self._size = 0
        self._start = 0
        self._open = False
        self._blank = False

    @property
    def state(self) -> dict[str, object] | None:
        """Return what is remembered between lines, JSON-able, or None while an answer is under way."""
        if self._answer is not None:
            return None
        return {"chat": self.chat, "turn": self.turn, "open": self._open, "blank": self._blank}

    def resume(self, state: Mapping[object, object]) -> None:
        """Go on from a `state`."""
        turn = state.get("turn")
        self.chat, self.turn = str(state.get("chat", "")), turn if isinstance(turn, int) else 0
        self._open, self._blank = bool(state.get("open")), bool(state.get("blank"))

    def take(self, text: str, offset: int) -> Iterator[Said]:
        """Take one line, and yield the answer that it ends."""
        if self._is_mark(text):
            yield from self.finish()
            self._mark(text)
        elif self._answer is not None:
            self._add(text)
        elif self._open:
            self._open = not text.endswith(_BREAK)
        elif not text:
            self._blank = True
        elif self._blank:
            self._answer, self._size, self._start = [], 0, offset
            self._add(text)

    def finish(self) -> Iterator[Said]:
        """Yield the answer that is under way, as far as it came."""
        answer, self._answer, self._blank = self._answer, None, False
        text = "\n".join(answer or [])
        if self._marker in text:
            identity = f"aider/{self.chat}/{self.turn}"
            yield Said(text, identity, self.chat, f"{self._name}:{self._start}", asked_again=True)

    def _is_mark(self, text: str) -> bool:
        if text.startswith(_CHAT):
            return True
        if self._answer is not None:
            return text.startswith((_USER, _OWN)) and text.endswith(_BREAK)
        return text.startswith((_USER, _OWN))

    def _mark(self, text: str) -> None:
        self._open = not text.endswith(_BREAK) and not text.startswith(_CHAT)
        if text.startswith(_CHAT):
            self.chat, self.turn = text.removeprefix(_CHAT).strip(), 0
        elif text.startswith(_USER):
            self.turn += 1

    def _add(self, text: str) -> None:
        self._size += len(text) + 1
        if self._answer is not None and self._size <= MAX_LINE:
            self._answer.append(text)


@dataclass(frozen=True, slots=True)
class Ending:
    """How one chat of the history ended: the last answer, and Aider's own lines after it.

    `began` is in seconds since the epoch, `asked` what the user said, line by line.
    """

    began: float | None
    asked: tuple[str, ...]
    text: str
    notes: tuple[str, ...]


def endings(history: str) -> list[Ending]:
    """Return how the chats of a history ended, oldest first."""
    return [_ending(chat) for chat in history.split(f"\n{_CHAT}")[1:]]


def _ending(chat: str) -> Ending:
    title, *lines = chat.split("\n")
    asked: list[str] = []
    answer: list[str] = []
    notes: list[str] = []
    said = open_ = False
    for line in (one.removesuffix("\r") for one in lines):
        if line.startswith(_USER):
            asked, answer, notes, said = [*asked, line.removeprefix(_USER).rstrip()], [], [], False
        elif (line.startswith(_OWN) and line.endswith(_BREAK)) or open_:
            notes.append(line.removeprefix(_OWN).rstrip())
            said = False
        elif line.startswith(_OWN) and not answer and asked:
            # The first line of several of Aider's own; the last of them has its line break.
            notes.append(line.removeprefix(_OWN).rstrip())
            open_ = True
            continue
        elif asked and line.strip():
            # Another answer after one of Aider's own lines takes the place of the one before.
            answer, notes, said = [*answer, line] if said else [line], [], True
        elif said:
            answer.append(line)
        open_ = open_ and not line.endswith(_BREAK)
    return Ending(_time(title), tuple(asked), "\n".join(answer).strip(), tuple(notes))


def _time(title: str) -> float | None:
    try:
        return datetime.fromisoformat(title.strip()).timestamp()
    except ValueError:
        return None


class AiderFile:
    """Follows the history of one project."""

    def __init__(self, path: Path, cursor: object = None, *, marker: str = MARKER) -> None:
        self.path = path
        known = cursor if isinstance(cursor, Mapping) else {}
        self._file = LineFile(path, known.get("file"))
        self._restarts = 0
        self._history = History(path.name, marker)
        state = known.get("state")
        if self._file.offset and isinstance(state, Mapping):
            self._history.resume(state)
        self._cursor: object = {"file": self._file.cursor, "state": self._history.state}

    @property
    def restarts(self) -> int:
        """Return how often the file began anew."""
        return self._restarts

    @property
    def watched(self) -> tuple[Path, ...]:
        """Return the file itself."""
        return (self.path,)

    @property
    def cursor(self) -> object:
        """Return the place where no answer was under way: a restart reads the present one again."""
        return self._cursor

    def read(self) -> list[Said]:
        """Return the answers with a marker that were ended since the last read."""
        found: list[Said] = []
        for line in self._file.read():
            if self._file.restarts != self._restarts:
                self._restarts = self._file.restarts
                self._history.restart()
            found.extend(self._history.take(_text(line.data), line.offset))
            state = self._history.state
            if state is not None:
                self._cursor = {"file": self._file.cursor, "state": state}
        return found

    def finish(self) -> list[Said]:
        """Return what `read` does, and the last answer although nothing ended it."""
        found = self.read()
        rest = self._file.rest()
        if rest:
            found.extend(self._history.take(_text(rest.data), rest.offset))
        return [*found, *self._history.finish()]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").removesuffix("\r")
