"""How much workers may do by themselves: the user is told of the choice, config.toml keeps it."""

from __future__ import annotations

import os
from pathlib import Path

from aiorch import paths
from aiorch.config import PERMISSIONS, load_config, says_permissions
from aiorch.errors import SettingsError
from aiorch.places import Place
from aiorch.tmux.menu import show
from aiorch.toml_file import key_lines

TOLD_MS = 8000
_TOLD = "asked-permissions"
_WORDS = "aiorch: workers may edit files by themselves; press the key again to choose"


def tell_of_choice(place: Place, client: str) -> None:
    """Tell the client that pressed the key, once, that the menu asks what workers may do.

    Only by a message, which takes no key: the user may be typing to the lead by now.
    """
    told = paths.state_dir() / _TOLD
    if told.exists() or says_permissions(paths.config_dir() / "config.toml"):
        return
    told.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    told.touch(mode=0o600)
    show(place.socket, client, _WORDS, TOLD_MS)


def remember(level: str) -> Path:
    """Write the permission level into config.toml and return its path.

    All else in the file stays as it is. Raises ConfigError for a file with mistakes, SettingsError when it
    cannot be written.
    """
    if level not in PERMISSIONS:
        raise SettingsError(f"{level!r} is no permission level: {', '.join(PERMISSIONS)}")
    path = paths.config_dir() / "config.toml"
    # A link stays one: the file may lie among the user's dotfiles.
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        load_config(target)
        text = target.read_text() if target.exists() else ""
        _write(target, _with_level(text, level))
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _with_level(text: str, level: str) -> str:
    lines = text.split("\n")
    number = key_lines(text).get(("permissions",))
    if number is not None:
        lines[number - 1] = f'permissions = "{level}"'
        return "\n".join(lines)
    return f'permissions = "{level}"\n{text}'


def _write(target: Path, text: str) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
