"""Where an agent reads which MCP servers there are, and how ours looks there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aiorch.toml_file import Reader

HOME = "~/"
FORMS = ("json", "toml")
_STYLES = ("command", "loaded", "local", "list")


@dataclass(frozen=True, slots=True)
class Registration:
    """Where an agent reads which MCP servers there are: its profile's `[mcp]` table.

    `file` is in the project, or in the home directory when it begins with `~/`; the variable `home` moves
    the folder that it is in. `table` is where servers stand in it. `style` is how one
    looks. It is started with the `variables`, and has `seconds` for a call where the agent wants that said.
    """

    file: str
    form: str
    table: tuple[str, ...]
    style: str
    home: str = ""
    variables: tuple[str, ...] = ()
    seconds: int = 0
    hint: str = ""

    def place(self, root: Path, env: Mapping[str, str] = os.environ) -> Path:
        """Return the file for a project."""
        if not self.file.startswith(HOME):
            return root / self.file
        moved = env.get(self.home, "") if self.home else ""
        if moved.startswith("/"):
            return Path(moved) / PurePosixPath(self.file).name
        return Path(env.get("HOME") or Path.home()) / self.file.removeprefix(HOME)

    def server(self, command: str) -> dict[str, object]:
        """Return our server as the agent wants it."""
        if self.style == "list":
            return {"type": "local", "command": [command, "mcp"], "enabled": True}
        found: dict[str, object] = {"command": command, "args": ["mcp"]}
        if self.style == "local":
            found = {"type": "local", **found, "tools": ["*"]}
        if self.style == "loaded":
            found |= {"alwaysLoad": True}
        if self.variables:
            found |= {"env_vars": list(self.variables)}
        return found | ({"tool_timeout_sec": self.seconds} if self.seconds else {})


def read_registration(reader: Reader) -> Registration | None:
    """Return a profile's `[mcp]` table, None without one; mistakes are noted in the reader's file."""
    if not reader.table:
        return None
    found = Registration(
        reader.text("file", filled=True),
        reader.text("form", FORMS[0], choices=FORMS),
        reader.words("table", ("mcpServers",)),
        reader.text("style", _STYLES[0], choices=_STYLES),
        reader.text("home"),
        reader.words("variables"),
        reader.whole("seconds", 0, 0, 86400),
        reader.text("hint"),
    )
    path = PurePosixPath(found.file)
    if path.is_absolute() or ".." in path.parts:
        reader.problem("file", "must be the path of a file in a project, or begin with ~/")
    reader.finish()
    return found
