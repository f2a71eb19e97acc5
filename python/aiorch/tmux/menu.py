"""Menus that tmux opens on a client, and messages that it shows there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from aiorch.tmux import quote
from aiorch.tmux.ask import Ask


def open_menu(socket: str, client: str, title: str, items: Iterable[str]) -> subprocess.Popen[bytes]:
    """Open a menu in the middle of a client; return the program that waits until it is closed.

    `items` are a name, a key and a command each, the name alone where it is empty. Nothing opens where
    the client is gone or shows another menu.
    """
    # display-menu holds its client's queue until the menu closes: never through the control client.
    words = ["display-menu", "-c", client, "-T", f" {title} ", "-x", "C", "-y", "C", "--", *items]
    env = {name: value for name, value in os.environ.items() if name not in ("TMUX", "TMUX_PANE")}
    argv = ["tmux", "-S", socket, *quote.arguments(words)]
    return subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def show(socket: str, client: str, text: str, milliseconds: int = 0) -> None:
    """Show a line on a client, with 0 until a key is pressed; nothing where the client is gone."""
    # The message is a format, and goes through strftime.
    line = quote.literal(" ".join(text.split())).replace("%", "%%")
    Ask(socket).look("display-message", "-d", str(milliseconds), "-c", client, line)
