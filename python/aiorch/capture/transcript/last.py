"""What a session file says in the end: the last message, and the tools that were refused."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiorch.capture.transcript.aider import Ending, endings
from aiorch.capture.transcript.database import Database
from aiorch.capture.transcript.follow import RECORDS
from aiorch.capture.transcript.opencode import last_text
from aiorch.capture.transcript.records import Record, moment, parse, part

HEAD, TAIL = 256 * 1024, 4 * 1024 * 1024
"""Bytes of a long file that are looked at, from its beginning and from its end."""

_HEAD_OF_LINE = 4096
_MAX_REFUSED = 20
_TERMINAL = "cli"
# What was cut off was not refused.
_DENIED = frozenset({"user-rejected", "permission-rule", "policy", "hook", "classifier"})


@dataclass(frozen=True, slots=True)
class Last:
    """How a session stands; `text` is the last message of the assistant's own.

    `failed` are the beginnings of what tools answered that failed, oldest first; `failed_last` those after
    which nothing more was said. `denied` are those among them that were not allowed, where the record says
    that in a field of its own. `notes` are the agent's own lines after its last message.
    """

    text: str = ""
    failed: tuple[str, ...] = ()
    failed_last: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_last(format: str, path: Path, *, session: str = "", since: float = 0.0, task: str = "") -> Last:
    """Return how a session stands; what was before `since` (seconds since the epoch) is passed over.

    In a file that several sessions share, `session` names one (OpenCode), or else the `task` tells it
    (Aider). A file that is gone or cannot be read says nothing; a long one is read in part.
    """
    try:
        if format == "opencode":
            with Database(path).reading() as connection:
                return Last(last_text(connection, session, since))
        data = _read(path)
    except (OSError, sqlite3.Error, ValueError):
        return Last()
    if format == "aider":
        return _of_aider(endings(data.decode("utf-8", "replace")), since, task)
    return _of_records(format, data, path.name, since) if format in RECORDS else Last()


def _of_records(format: str, data: bytes, name: str, since: float) -> Last:
    form = RECORDS[format]()
    text, message = "", ""
    failed: list[str] = []
    failed_last: list[str] = []
    denied: list[str] = []
    refused: list[str] = []
    for line in data.split(b"\n"):
        record = parse(line) if line else None
        if record is None:
            continue
        is_old = (moment(record) or since) < since
        for said in form.take(record, name):
            if is_old or said.copied or not said.text.strip():
                continue
            own = said.message.rpartition("/")[0]
            # One message may have several texts.
            text = f"{text}\n\n{said.text}" if own == message else said.text
            message, failed_last, refused = own, [], []
        if not is_old:
            new = list(_failures(record))
            failed, failed_last = [*failed, *new][-_MAX_REFUSED:], [*failed_last, *new][-_MAX_REFUSED:]
            if record.get("toolDenialKind") in _DENIED:
                # What a person at the terminal refuses, and then says more, is between the two.
                refused += new if record.get("entrypoint") == _TERMINAL else []
                denied += new if record.get("entrypoint") != _TERMINAL else []
    return Last(text.strip(), tuple(failed), tuple(failed_last), tuple([*denied, *refused][-_MAX_REFUSED:]))


def _failures(record: Record) -> Iterator[str]:
    """Yield what tools answered that failed, as Claude Code writes it down (seen with 2.1.330)."""
    content = part(record, "message").get("content")
    if record.get("type") != "user" or record.get("isSidechain"):
        return
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_result" and block.get("is_error") is True:
            yield _plain(block.get("content"))[:_HEAD_OF_LINE]


def _plain(content: object) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "\n".join(str(one.get("text", "")) for one in blocks if isinstance(one, Mapping))


def _of_aider(chats: Iterable[Ending], since: float, task: str) -> Last:
    """Return how the chat with a task stands; without one that is it, the only one that began since."""
    # The history tells whole seconds.
    new = [chat for chat in chats if chat.began is None or chat.began >= since - 1.0]
    first = next((line.strip() for line in task.splitlines() if line.strip()), "")
    own = [chat for chat in new if first and any(first in asked for asked in chat.asked)] or new
    if len(own) != 1:
        return Last()
    return Last(own[0].text, notes=own[0].notes)


def _read(path: Path) -> bytes:
    """Return a file, or the first and the last lines of a long one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return b""
        if facts.st_size <= HEAD + TAIL:
            return file.read(HEAD + TAIL)
        head = file.read(HEAD).rpartition(b"\n")[0]
        file.seek(facts.st_size - TAIL)
        return head + b"\n" + file.read(TAIL).partition(b"\n")[2]
