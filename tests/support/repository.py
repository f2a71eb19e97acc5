"""A git repository for a test, untouched by whatever git is told on this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# What one process of the tests prepares; another one must not take it for its own, and end it.
HERE = f"tests-{os.getpid()}"


class Repo:
    """A repository in a folder, with one commit when `files` are given."""

    def __init__(self, top: Path, files: dict[str, str] | None = None) -> None:
        self.top = top
        top.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        if files is not None:
            self.commit(files)

    def git(self, *argv: str, at: Path | None = None, check: bool = True) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        own = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        who = ("-c", "user.name=Tester", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")
        done = subprocess.run(
            ["git", *who, *argv],
            cwd=at or self.top,
            env=kept | own,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"git {argv}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def write(self, files: dict[str, str], at: Path | None = None) -> None:
        for name, text in files.items():
            path = (at or self.top) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, files: dict[str, str], at: Path | None = None) -> str:
        self.write(files, at)
        self.git("add", "-A", at=at)
        self.git("commit", "-q", "--allow-empty", "-m", "work", at=at)
        return self.git("rev-parse", "HEAD", at=at)

    @property
    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def state(self) -> tuple[str, str, str, dict[str, bytes]]:
        """Return all that a merge could change: HEAD, status, what is staged, every file."""
        files = {
            str(path.relative_to(self.top)): path.read_bytes()
            for path in sorted(self.top.rglob("*"))
            if path.is_file() and ".git" not in path.relative_to(self.top).parts
        }
        return (
            self.git("rev-parse", "HEAD"),
            self.git("status", "--porcelain"),
            self.git("ls-files", "-s"),
            files,
        )
