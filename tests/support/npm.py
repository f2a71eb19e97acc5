"""Programs of real agents, got from the npm registry into a cache outside of the repository."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

SECONDS = 240


class NpmError(Exception):
    """A program cannot be had here; the message says why."""


def cache() -> Path:
    """Return the folder for what tests install, kept from one run to the next."""
    base = os.environ.get("AIORCH_TEST_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "aiorch-tests"


def install(package: str, version: str, program: str) -> Path:
    """Return the path of a package's native program, which `program` matches below `node_modules`.

    The platform's package holds it: no Node is needed to run it and no install script to get it. Raises
    NpmError without npm or registry.
    """
    folder = cache() / f"{package.rpartition('/')[2]}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _found(folder, program) or _fetched(folder, f"{package}@{version}", program)


def _found(folder: Path, program: str) -> Path | None:
    if not (folder / ".complete").exists():
        return None
    found = sorted((folder / "node_modules").glob(program))
    return next((path for path in found if os.access(path, os.X_OK)), None)


def _fetched(folder: Path, package: str, program: str) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise NpmError("npm is not installed")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--fetch-retries=1"]
    argv = [npm, "install", "--prefix", str(folder), *options, package]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise NpmError(f"npm did not finish within {SECONDS} s") from None
    if done.returncode:
        raise NpmError(f"npm failed: {done.stderr.strip()[-300:]}")
    (folder / ".complete").touch()
    path = _found(folder, program)
    if path is None:
        (folder / ".complete").unlink()
        raise NpmError("npm brought no native program for this platform")
    return path
