"""What leaves this machine in a bug report: words of ours, numbers and times; else only what is wanted."""

from __future__ import annotations

import getpass
import json
import re
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aiorch import paths
from aiorch.doctor import vocabulary
from aiorch.doctor.words import Known, Value, Words

LEFT_OUT = "…"
_SYSTEM_FOLDERS = (
    "/bin",
    "/usr/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/home/linuxbrew/.linuxbrew/bin",
)
_SYSTEM_PROGRAMS = re.compile(r"tmux|python[\d.]*|split|node|sh")


class Redactor:
    """Turns values into what may be sent; with `tasks` also what people and programs wrote.

    The home directory becomes `~`, the names of the user and of the machine become placeholders, always.
    """

    def __init__(self, env: Mapping[str, str], *, tasks: bool = False) -> None:
        self.tasks = tasks
        self._home = env.get("HOME") or str(Path.home())
        self._names = _names()
        config, state, data = paths.config_dir(env), paths.state_dir(env), paths.data_dir(env)
        plain = {"HOME": self._home}
        self._folders = {
            config: self._label(config, paths.config_dir(plain), "<config>"),
            state: self._label(state, paths.state_dir(plain), "<state>"),
            data: self._label(data, paths.data_dir(plain), "<data>"),
            paths.plugin_dir(): "<plugin>",
            Path(sys.prefix): "<environment>",
        }

    def value(self, value: Value) -> object:
        """Return a value as JSON has it, without what is not to be sent."""
        match value:
            case bool() | None:
                return value
            case int():
                return int(value)
            case float():
                return float(value)
            case Known():
                return self.text(str(value))
            case str():
                return self.text(value) if self.tasks else LEFT_OUT
            case Path():
                return self.text(str(value)) if self.tasks else self.path(value)
            case Words():
                return self.text(value.template.format(*map(self._shown, value.values)))
            case Mapping():
                return {name: self.value(one) for name, one in value.items()}
        return [self.value(one) for one in value]

    def path(self, path: Path) -> str:
        """Return a path with the parts that we named; whose else it is, it is left out."""
        for folder, label in self._folders.items():
            if path.is_relative_to(folder):
                return "/".join([label, *map(vocabulary.part, path.relative_to(folder).parts)])
        if str(path.parent) in _SYSTEM_FOLDERS:
            known = _SYSTEM_PROGRAMS.fullmatch(path.name) or path.name in vocabulary.agents()
            return f"{path.parent}/{path.name if known else LEFT_OUT}"
        return f"~/{LEFT_OUT}" if path.is_relative_to(self._home) else LEFT_OUT

    def text(self, text: str) -> str:
        """Return text without the home directory and the names of user and machine."""
        text = text.replace(self._home, "~") if len(self._home) > 1 else text
        for name, placeholder in self._names:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", placeholder, text, flags=re.I)
        return text

    def json(self, value: object) -> str:
        """Return JSON of text that was written by others, with every string in it as `text` has it."""
        return json.dumps(self._deep(value), indent=1)

    def _deep(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self._deep(one) for name, one in value.items()}
        return [self._deep(one) for one in value] if isinstance(value, list | tuple) else value

    def _shown(self, value: Value) -> str:
        found = self.value(value)
        return ", ".join(map(str, found)) if isinstance(found, list) else str(found)

    def _label(self, folder: Path, usual: Path, label: str) -> str:
        return str(folder).replace(self._home, "~", 1) if folder == usual else label


def _names() -> list[tuple[str, str]]:
    """Return the names of the user and of the machine, longest first, with what stands for them."""
    host = socket.gethostname()
    found = {host: "<host>", host.partition(".")[0]: "<host>"}
    # A user without a name has none to hide.
    with suppress(OSError, KeyError):
        found[getpass.getuser()] = "<user>"
    found.pop("", None)
    found.pop("localhost", None)
    return sorted(found.items(), key=lambda item: len(item[0]), reverse=True)
