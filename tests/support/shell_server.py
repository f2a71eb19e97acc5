"""A private tmux server with a private HOME, and the plugin's shell parts run against it as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from support.client import PREFIX, Client

REPO = Path(__file__).resolve().parents[2]
# What a person behind a proxy or with an index of their own needs for an install; the rest stays out.
_NETWORK = ("PIP_", "UV_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
# The tmux under test comes first, so that another version can be put on PATH for a whole run.
SYSTEM_PATH = f"{Path(shutil.which('tmux') or '/usr/bin/tmux').parent}:/usr/local/bin:/usr/bin:/bin"


def clean_env(home: Path, path: str = SYSTEM_PATH) -> dict[str, str]:
    """Return an environment as after `env -i`, with its own HOME and the way to the package index kept."""
    network = {name: value for name, value in os.environ.items() if name.upper().startswith(_NETWORK)}
    return {**network, "HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "TERM": "xterm-256color"}


def run(argv: list[str], env: Mapping[str, str], **options: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal or input and return what it said."""
    return subprocess.run(
        argv,
        env=dict(env),
        cwd=options.get("cwd"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def copy_plugin(to: Path) -> Path:
    """Put a copy of everything the plugin consists of at a path and return that path."""
    for name in ("scripts", "python"):
        shutil.copytree(REPO / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("aiorch.tmux", "install.sh"):
        shutil.copy2(REPO / name, to / name)
    return to


def wait_until(test: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Return once the test holds; raises AssertionError naming `what` after the time."""
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Server:
    """A tmux server below `root`, alive within a `with`."""

    def __init__(self, root: Path, env: Mapping[str, str] | None = None) -> None:
        self.home = root / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.socket = root / "tmux"
        self.env = {**clean_env(self.home), **(env or {})}

    def __enter__(self) -> Self:
        self.tmux(
            "set-option",
            "-g",
            "default-shell",
            "/bin/sh",
            ";",
            "new-session",
            "-d",
            "-x",
            "120",
            "-y",
            "30",
            "cat",
        )
        # Programs below the server find it by this, as TPM and the key's script do.
        self.env["TMUX"] = f"{self.socket},{self.tmux('display-message', '-p', '#{pid}')},0"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        run(["tmux", "-S", str(self.socket), "kill-server"], self.env)

    def tmux(self, *words: str) -> str:
        """Run one tmux command and return its output; raises AssertionError with what tmux said."""
        done = run(["tmux", "-S", str(self.socket), "-f", "/dev/null", *words], self.env)
        assert done.returncode == 0, f"tmux {words}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def option(self, name: str) -> str:
        """Return the value of a global option, empty when it is not set."""
        return self.tmux("show-options", "-gqv", name)

    def set_key(self, key: str) -> None:
        """Set the user's option for the key."""
        self.tmux("set-option", "-g", "@aiorch-key", key[:-1] + "\\;" if key.endswith(";") else key)

    def key(self, key: str) -> str:
        """Return the line of list-keys for a key of the prefix table, empty when it is free."""
        word = key[:-1] + "\\;" if key.endswith(";") else key
        # A table of its own tells how list-keys writes a key; with one line to print, tmux 3.7c prints none.
        probe = ("bind-key", "-T", "p", "User99", "start-server", ";", "bind-key", "-T", "p", "--", word)
        listed = self.tmux(
            *probe, "refresh-client", ";", "list-keys", "-T", "p", ";", "unbind-key", "-aT", "p"
        )
        written = next(line.split()[-2] for line in listed.splitlines() if line.endswith("refresh-client"))
        lines = self.tmux("list-keys", "-T", "prefix").splitlines()
        return next((line for line in lines if written in line.split()[:5]), "")

    def press(self, client: Client, key: str) -> None:
        """Press the prefix and a key, as slowly as fingers.

        Two characters within a millisecond are a paste to tmux (`assume-paste-time`, seen on 3.3a): the
        second would go to the pane.
        """
        client.send(PREFIX)
        wait_until(lambda: "1" in self.tmux("list-clients", "-F", "#{client_prefix}"), "the prefix is seen")
        client.send(key)

    def load(self, plugin: Path = REPO, file: str = "aiorch.tmux") -> None:
        """Run the plugin's file the way TPM does, and check that it is quiet."""
        done = run([str(plugin / file)], self.env, cwd="/")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def traces(self) -> dict[str, str]:
        """Return everything global that a plugin could leave behind."""
        return {
            " ".join(words): self.tmux(*words)
            for words in (
                ("show-options", "-s"),
                ("show-options", "-g"),
                ("show-options", "-gw"),
                ("show-options",),
                ("show-hooks", "-g"),
                ("show-hooks", "-gw"),
                ("list-keys",),
                ("show-environment", "-g"),
                ("show-environment", "-gh"),
                ("show-environment", "-h"),
            )
        }
