"""Directories and files: whether they are there, ours alone, and can be written."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from aiorch import disk, paths
from aiorch.doctor.finding import Finding, Part, note, problem
from aiorch.doctor.scene import Scene
from aiorch.doctor.survey import Survey
from aiorch.doctor.words import Known, Words, command, say

AREA = "paths"
_MANY = 3


def look(scene: Scene) -> Part:
    """Return where things are and what is wrong with it."""
    config, profiles = scene.config / "config.toml", scene.config / "profiles"
    data = paths.data_dir(scene.env)
    own = shutil.which("aiorch", path=scene.path)
    facts = {
        "plugin": paths.plugin_dir(),
        "command": Path(own) if own else None,
        "tmux": _found("tmux", scene),
        "python": Path(sys.executable),
        "environment": Path(sys.prefix),
        "config": config,
        "profiles": profiles,
        "state": scene.state,
        "runs": scene.state / "runs",
        "data": data,
    }
    findings = [
        *judge_state(scene.state, scene.survey),
        *(one for path in (config, profiles) for one in judge_read(path)),
        *(one for path in _code() for one in judge_shared(path)),
        *old_environments(data, Path(sys.prefix)),
        *_command(own, scene),
    ]
    if shutil.which("split", path=scene.path) is None:
        text = say("the program split, which writes the log of a pane, was not found on the PATH")
        findings.append(problem(AREA, text, say("install coreutils")))
    return Part(AREA, facts, tuple(findings))


def judge_state(state: Path, found: Survey) -> list[Finding]:
    """Return what is wrong with the state directory: its owner, its modes, and that it cannot be written."""
    findings = _foreign(state, found.foreign)
    shut = [*found.open_folders, *found.open_files]
    if shut:
        text = say("others on this machine may read {}{}", shut[0], _and_more(len(shut) - 1))
        # A file alone is out of reach in a directory that is closed.
        kind = problem if found.open_folders else note
        findings.append(kind(AREA, text, say("close it"), *_closing(state, found)))
    if found.unreadable:
        text = say("{} cannot be read", found.unreadable[0])
        findings.append(problem(AREA, text, say("look at its owner and mode"), _list(found.unreadable[0])))
    return findings + _writable(state)


def judge_read(path: Path) -> list[Finding]:
    """Return what is wrong with a file or folder of the user's: who else may change what it says."""
    try:
        status = path.stat()
    except OSError:
        # Who reads it says why it cannot be read.
        return []
    if status.st_uid not in (os.getuid(), 0):
        text = say("{} belongs to somebody else, who can change what aiorch may do", path)
        return [problem(AREA, text, say("make it yours"), _taking(path))]
    return judge_shared(path)


def judge_shared(path: Path) -> list[Finding]:
    """Return a problem when others may write what decides what aiorch does."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return []
    # Members of a group that has no others but the user are no others, but that cannot be seen here.
    if not mode & stat.S_IWOTH:
        return []
    text = say("everybody on this machine may change {}", path)
    return [problem(AREA, text, say("close it"), command("chmod o-w {}", path))]


def old_environments(data: Path, present: Path) -> list[Finding]:
    """Return a note when environments of former versions lie beside the present one."""
    if present.parent != data:
        return []
    old = sorted(path for path in data.glob("venv-*") if path != present and path.is_dir())
    if not old:
        return []
    text = say("{} of former versions take room in {}", _counted(len(old), "environment"), data)
    return [note(AREA, text, say("remove them"), *(command("rm -r {}", path) for path in old))]


def _foreign(state: Path, foreign: Sequence[Path]) -> list[Finding]:
    if not foreign:
        return []
    text = say("{} belongs to somebody else: was aiorch called by sudo?", foreign[0])
    remedy = say("make it yours again")
    return [problem(AREA, text, remedy, _taking(state))]


def _closing(state: Path, found: Survey) -> list[Words]:
    if len(found.open_folders) + len(found.open_files) > _MANY:
        return [command("chmod -R go= {}", state)]
    return [
        *(command("chmod 700 {}", path) for path in found.open_folders),
        *(command("chmod 600 {}", path) for path in found.open_files),
    ]


def _writable(state: Path) -> list[Finding]:
    """Return a problem when runs cannot be kept where they belong."""
    there = next(path for path in (state, *state.parents) if path.exists())
    remedy = say("make it a directory of yours that can be written, or name another place by XDG_STATE_HOME")
    if not there.is_dir():
        return [problem(AREA, say("{} is no directory: runs cannot be kept in {}", there, state), remedy)]
    may = os.access(there, os.W_OK | os.X_OK)
    # What is ours is really written to; elsewhere nothing is left behind, not for a moment.
    reason = disk.trouble(there) if there == state else "" if may else os.strerror(errno.EACCES)
    if not reason:
        return []
    text = say("{} cannot be written: {}", there, _in_words_of_the_system(reason))
    return [problem(AREA, text, remedy, _list(there))]


def _command(own: str | None, scene: Scene) -> list[Finding]:
    script = paths.script("aiorch")
    if own is None:
        text = say("aiorch is not on the PATH: agents and you have to call {}", script)
        folder = _own_folder(scene)
        if folder is None:
            return [note(AREA, text, say("add {} to your PATH", script.parent))]
        made = command("ln -s {} {}", script, folder / "aiorch")
        return [note(AREA, text, say("link it into a directory of the PATH"), made)]
    there = Path(own).resolve()
    if there == script.resolve() or not (there.parents[1] / "aiorch.tmux").exists():
        return []
    text = say("the aiorch on the PATH is of another copy: {}", there)
    return [note(AREA, text, say("link it to this one"), command("ln -sf {} {}", script, Path(own)))]


def _own_folder(scene: Scene) -> Path | None:
    """Return the first directory of the PATH in the user's home that can be written."""
    folders = (Path(name) for name in scene.path.split(os.pathsep) if name.startswith("/"))
    home = Path(scene.env.get("HOME") or Path.home())
    return next((one for one in folders if one.is_relative_to(home) and os.access(one, os.W_OK)), None)


def _in_words_of_the_system(reason: str) -> str:
    return Known(reason) if reason in map(os.strerror, errno.errorcode) else reason


def _code() -> list[Path]:
    plugin = paths.plugin_dir()
    return [plugin, plugin / "scripts", plugin / "scripts" / "aiorch", plugin / "python", Path(sys.prefix)]


def _taking(path: Path) -> Words:
    return command("sudo chown -R {} {}", os.getuid(), path)


def _list(path: Path) -> Words:
    return command("ls -ld {}", path)


def _found(name: str, scene: Scene) -> Path | None:
    found = shutil.which(name, path=scene.path)
    return Path(found) if found else None


def _and_more(number: int) -> Known:
    return Known(f" and {number} more" if number else "")


def _counted(number: int, word: str) -> Known:
    return Known(f"{number} {word}{'' if number == 1 else 's'}")
