"""What the doctor found: facts and findings of one area, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from aiorch.doctor.words import Value, Words

_NOTHING = Words("")


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth saying, and what to do about it: in words, and as commands for a shell."""

    level: Level
    area: str
    text: Words
    remedy: Words = _NOTHING
    commands: tuple[Words, ...] = ()

    @property
    def sentence(self) -> str:
        """Return what to do in one sentence, with the commands in backticks."""
        commands = ", then ".join(f"`{one}`" for one in self.commands)
        parts = [part for part in (str(self.remedy), commands) if part]
        return ": ".join(parts)

    def record(self) -> dict[str, object]:
        """Return the finding as a JSON object."""
        return {
            "area": self.area,
            "level": str(self.level),
            "text": str(self.text),
            "remedy": self.sentence,
            "commands": [str(one) for one in self.commands],
        }


@dataclass(frozen=True, slots=True)
class Part:
    """All about one area, which is its key in JSON and its heading for people."""

    area: str
    facts: Mapping[str, Value] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def note(area: str, text: Words, remedy: Words, *commands: Words) -> Finding:
    """Return a finding that the user should know of."""
    return Finding(Level.NOTE, area, text, remedy, commands)


def problem(area: str, text: Words, remedy: Words, *commands: Words) -> Finding:
    """Return a finding that keeps something from working."""
    return Finding(Level.PROBLEM, area, text, remedy, commands)


def all_findings(parts: Iterable[Part]) -> list[Finding]:
    """Return the findings: first of areas where nothing is wrong, then notes, the problems last."""
    found = [one for part in parts for one in (part.findings or (_fine(part.area),))]
    return sorted(found, key=lambda one: list(Level).index(one.level))


def _fine(area: str) -> Finding:
    return Finding(Level.OK, area, Words("nothing wrong"))
