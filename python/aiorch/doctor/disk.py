"""Room for runs: what the file system has left, and what the runs take."""

from __future__ import annotations

import os
from pathlib import Path

from aiorch.doctor.finding import Finding, Part, note, problem
from aiorch.doctor.scene import Scene
from aiorch.doctor.words import Size, Value, Words, say

AREA = "disk"
FEW_BYTES, MANY_BYTES = 64 << 20, 512 << 20
_PRUNE = "prune --older-than 7d"
FEW_FILES, MANY_FILES = 1_000, 10_000


def look(scene: Scene) -> Part:
    """Return the room on the file system of the state directory, and the sizes of runs."""
    there = next(path for path in (scene.state, *scene.state.parents) if path.exists())
    room = os.statvfs(there)
    found = scene.survey
    facts: dict[str, Value] = {
        "free": Size(room.f_bavail * room.f_frsize),
        "free_files": room.f_favail if room.f_files else None,
        "runs": len(found.runs),
        "runs_take": Size(found.size),
        "largest": [{"run": path, "size": Size(size)} for path, size in found.largest],
    }
    files = room.f_favail if room.f_files else MANY_FILES
    prune = scene.ours(_PRUNE) if found.runs else None
    findings = judge(scene.state, room.f_bavail * room.f_frsize, files, prune)
    return Part(AREA, facts, tuple(findings))


def judge(state: Path, free: int, files: int, prune: Words | None) -> list[Finding]:
    """Return what is to be said when room runs out; `free` in bytes, `files` that can still be made.

    `prune` is the command that deletes old runs, where there are any.
    """
    if free >= MANY_BYTES and files >= MANY_FILES:
        return []
    remedy = say("make room")
    commands: tuple[Words, ...] = ()
    if prune is not None:
        remedy = say("make room; this deletes runs that ended long ago (--dry-run shows which)")
        commands = (prune,)
    if free < MANY_BYTES:
        text = say("only {} are free where runs are kept ({})", Size(free), state)
    else:
        text = say("only {} more files can be made where runs are kept ({})", files, state)
    is_low = free < FEW_BYTES or files < FEW_FILES
    return [(problem if is_low else note)(AREA, text, remedy, *commands)]
