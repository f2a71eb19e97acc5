"""All looks in their order; what fails in one of them is a finding, never a traceback."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from importlib import import_module

from aiorch.doctor.finding import Part, problem
from aiorch.doctor.scene import Scene
from aiorch.doctor.words import Known, say
from aiorch.errors import AiorchError

Look = Callable[[Scene], Part]

# (area, module, function, whether it needs a tmux server). Each module is loaded when its turn comes: a
# library that is missing spoils one look alone.
_LOOKS = (
    ("versions", "versions", "look", False),
    ("paths", "places", "look", False),
    ("configuration", "settings", "look", False),
    ("agents", "settings", "look_for_agents", False),
    ("disk", "disk", "look", False),
    ("options", "options", "look", True),
    ("key", "key", "look", True),
    ("status bar", "segment", "look", True),
    ("runs", "past", "look", False),
    ("sessions", "sessions", "look", True),
)
_EXPECTED = (AiorchError, OSError, sqlite3.Error, subprocess.SubprocessError, ImportError)


def collect(scene: Scene) -> list[Part]:
    """Return what all looks found."""
    looks = [
        one
        for one in _LOOKS
        if scene.server is not None or not one[3] or (one[0] == "sessions" and scene.run)
    ]
    return [guarded(scene, area, _loader(module, function)) for area, module, function, _ in looks]


def guarded(scene: Scene, area: str, look: Look) -> Part:
    """Return what a look found, or that it failed."""
    try:
        return look(scene)
    except _EXPECTED as error:
        text = say("this could not be looked at: {}: {}", Known(type(error).__name__), str(error))
        return Part(area, {}, (problem(area, text, say("set that right, then look again")),))
    except Exception as error:
        text = say("the doctor failed here: {}: {}", Known(type(error).__name__), str(error))
        report = scene.ours("doctor --bundle")
        return Part(area, {}, (problem(area, text, say("report it, with a bundle"), report),))


def _loader(module: str, function: str) -> Look:
    def look(scene: Scene) -> Part:
        found: Look = getattr(import_module(f"aiorch.doctor.{module}"), function)
        return found(scene)

    return look
