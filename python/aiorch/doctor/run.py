"""What a run's directory says: its journal, its log, where its directives are read from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiorch.doctor import journal_outline
from aiorch.doctor.vocabulary import known_agent, known_shape
from aiorch.doctor.words import Known, Size, Value
from aiorch.engine.allowances import Allowances
from aiorch.errors import JournalDamagedError, JournalError
from aiorch.journal import Event, Tag
from aiorch.journal.fault import mark_of
from aiorch.journal.reading import Reading, reading
from aiorch.paths import RunPaths

LAST_ERRORS = 3
_SQLITE = (
    "database is locked", "unable to open database file", "file is not a database", "disk I/O error",
    "database disk image is malformed",
)  # fmt: skip
# What the engine writes down where no session file serves the pane.
_SCREEN, _PANE, _ALONE = "the screen", "the pane itself", "the screen alone"


@dataclass(frozen=True, slots=True)
class RunState:
    """What the journal of one run says; `damage` is why it cannot be read, '' when it can.

    `is_busy` says that this may pass. `files` are the session files that serve the pane, `unread` the bytes
    of its log that were not read yet. `allowed` is what the user said is not asked again, in words of ours.
    """

    root: Path
    damage: str = ""
    is_busy: bool = False
    is_stopped: bool = False
    pane: str = ""
    agent: str = ""
    source: str = ""
    files: tuple[Path, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    asking: int = 0
    allowed: tuple[str, ...] = ()
    errors: tuple[Event, ...] = ()
    log: int = 0
    unread: int = 0

    @property
    def is_there(self) -> bool:
        """Return whether the run's directory still exists."""
        return self.root.is_dir()

    @property
    def serves(self) -> Known:
        """Return what serves the pane, in a word of ours."""
        if self.files:
            return Known("a session file")
        for words in (_ALONE, _SCREEN, _PANE):
            if self.source.startswith(words):
                return Known(words)
        return Known("not known yet")

    @property
    def is_unverified(self) -> bool:
        """Return whether the screen of an agent decides because no file of its can."""
        return self.serves == _ALONE

    def facts(self) -> dict[str, Value]:
        """Return what is known, for people and programs."""
        if self.damage or not self.is_there:
            return {"run": self.root, "journal": self.damage or None}
        return {
            "run": self.root,
            "primary": known_shape(self.pane),
            "agent": known_agent(self.agent) or None,
            "served_by": self.serves,
            "source": self.source or None,
            "session_files": list(self.files),
            "workers": {state: count for state, count in self.counts.items() if count},
            "asking": self.asking,
            "not_asked_again": list(map(Known, self.allowed)),
            "log": Size(self.log),
            "unread": Size(self.unread),
        }


def read_run(root: Path) -> RunState:
    """Return what is known of a run; a journal that cannot be read is part of that."""
    path = RunPaths(root).journal
    if not path.exists():
        return RunState(root, Known("it is missing"))
    if mark_of(path).exists():
        return RunState(root, Known("an engine met damage in it"))
    try:
        with reading(path) as journal:
            return (
                RunState(root, damage) if (damage := journal_outline.damage(path)) else _read(root, journal)
            )
    except (JournalError, OSError) as error:
        cause = error.__cause__ or error
        is_damage = isinstance(error, JournalDamagedError) or str(cause).startswith("no such ")
        return RunState(root, _known(cause), is_busy=not is_damage)
    # What a damaged file gives may be anything.
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        return RunState(root, _known(error))


def _known(error: BaseException) -> str:
    """Return an error in its own words, as words of everybody's where they are SQLite's."""
    text = str(error) or type(error).__name__
    return Known(text) if text in _SQLITE else text


def _read(root: Path, journal: Reading) -> RunState:
    target, agent, source = journal.meta("target"), journal.meta("agent"), journal.meta("source")
    place = target if isinstance(target, dict) else {}
    errors = [event for event in journal.events() if event.tag is Tag.ERROR]
    records = journal.session_files().values()
    size, unread = _log_sizes(root, journal.meta("cursor"))
    return RunState(
        root,
        is_stopped=bool(journal.meta("stopped")),
        pane=str(place.get("pane") or ""),
        agent=str(agent[0]) if isinstance(agent, list) and agent else str(place.get("agent") or ""),
        source=source if isinstance(source, str) else "",
        files=tuple(Path(str(one.get("path"))) for one in records if one.get("bound")),
        counts={str(state): count for state, count in journal.counts().items()},
        asking=journal.asking(),
        allowed=tuple(one.words for one in Allowances(journal).all()),
        errors=tuple(errors[-LAST_ERRORS:]),
        log=size,
        unread=unread,
    )


def _log_sizes(root: Path, cursor: object) -> tuple[int, int]:
    """Return the bytes of a run's log, and how many of them come after the cursor."""
    segment, offset = ("", 0)
    if isinstance(cursor, list) and len(cursor) == 2:
        segment, offset = str(cursor[0]), int(cursor[1])
    size = unread = 0
    with suppress(OSError):
        for path in RunPaths(root).logs.iterdir():
            length = path.stat().st_size
            size += length
            unread += length if path.name > segment else max(0, length - offset) * (path.name == segment)
    return size, unread
