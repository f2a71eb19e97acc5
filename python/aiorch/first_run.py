"""What the first run asks once: how much workers may do by themselves. The answer is kept in config.toml."""

from __future__ import annotations

import os
from pathlib import Path

from aiorch import paths
from aiorch.client import Place
from aiorch.config import PERMISSIONS, load_config
from aiorch.errors import ConfigError, SettingsError
from aiorch.tmux.menu import open_menu
from aiorch.toml_file import key_lines, read_toml
from aiorch.ui.menu import permission_arguments

_ASKED = "asked-permissions"


def ask_permissions(place: Place, client: str) -> None:
    """Show the question on the client that pressed the key, unless it was asked or answered before.

    Nobody waits for the answer: until it comes the default holds.
    """
    state, config = paths.state_dir(), paths.config_dir() / "config.toml"
    asked = state / _ASKED
    if asked.exists() or _is_answered(config):
        return
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    asked.touch(mode=0o600)
    items = permission_arguments(paths.own_command())
    open_menu(place.socket, client, "aiorch: what may workers do by themselves?", items)


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


def _is_answered(config: Path) -> bool:
    try:
        return config.exists() and "permissions" in read_toml(config).data
    except (ConfigError, OSError):
        # Whoever reads it next tells what is wrong with it.
        return True


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
