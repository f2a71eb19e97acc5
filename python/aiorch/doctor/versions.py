"""Which versions of what are there, and which of them are known to make trouble."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from aiorch import __version__, paths
from aiorch.doctor.finding import Finding, Part, note, problem
from aiorch.doctor.scene import Scene
from aiorch.doctor.words import Known, Moment, Value, command, say

AREA = "versions"
LIBRARIES = ("libtmux", "watchdog", "tomli", "pyavt")
OLDEST_TMUX = (3, 3)
_DEVELOPED = (999, 0)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_INSTALL_TMUX = say(
    "install tmux 3.3 or newer (Debian, Ubuntu: apt-get install tmux; macOS: brew install tmux)"
)


def look(scene: Scene) -> Part:
    """Return versions of programs, libraries and system."""
    client = _client_version(scene.path)
    found = {name: _library(name) for name in LIBRARIES}
    server = scene.server
    facts: dict[str, Value] = {
        "aiorch": Known(__version__),
        "commit": Known(commit_of(paths.plugin_dir()) or "-"),
        "python": Known(platform.python_version()),
        "tmux": Known(client) if client else None,
        "tmux_server": Known(server.version) if server else None,
        **{name: Known(version) if version else None for name, version in found.items()},
        "system": Known(_system()),
    }
    findings = [*_libraries(found), *_system_findings()]
    if client is None:
        findings.append(problem(AREA, say("the program tmux was not found on the PATH"), _INSTALL_TMUX))
    if server is not None:
        facts["tmux_server_since"] = Moment(server.started)
        findings += judge_tmux(client, server.version, _settings(scene), uses_utempter(server.pid))
    elif client is not None:
        findings += judge_tmux(client, None, {}, False)
        findings.append(_no_server(scene))
    if scene.lost:
        text = say("the session was not found: {}", scene.lost)
        findings.append(
            problem(AREA, text, say("name one of those that tmux has"), scene.tmux("list-sessions"))
        )
    return Part(AREA, facts, tuple(findings))


def tmux_number(version: str) -> tuple[int, int]:
    """Return the number in a version as tmux writes it (`3.3a`, `next-3.6`); a very high one without any."""
    found = re.search(r"(\d+)\.(\d+)", version)
    if found is None or version.startswith("openbsd-"):
        return _DEVELOPED
    return int(found[1]), int(found[2])


def judge_tmux(
    client: str | None, server: str | None, settings: Mapping[str, str], utempter: bool
) -> list[Finding]:
    """Return what is to be said on the version of tmux's program and of the running server."""
    running = server or client or ""
    number = tmux_number(running)
    if number < OLDEST_TMUX:
        text = say("tmux {} is too old: aiorch needs 3.3 or newer", Known(running))
        return [problem(AREA, text, _INSTALL_TMUX)]
    findings = []
    if client and server and client != server:
        differ = "the tmux server that runs is {}, the program is {}: it was replaced while the server ran"
        again = "when it suits you, end all sessions and start tmux anew; `aiorch resume` goes on with runs"
        findings.append(note(AREA, say(differ, Known(server), Known(client)), say(again)))
    if running == "3.3a" and settings.get("window-size") == "manual":
        dies = "window-size is manual: tmux 3.3a then dies, with all sessions, when one is made detached"
        latest = command("tmux set-option -g window-size latest")
        findings.append(
            problem(
                AREA,
                say(f"{dies} (`aiorch up` does that)"),
                say("choose another value, in tmux.conf too"),
                latest,
            )
        )
    return findings + _known_trouble(running, number, utempter)


def uses_utempter(pid: int) -> bool:
    """Return whether a tmux server has libutempter loaded; False where the system does not tell."""
    try:
        return "libutempter" in Path(f"/proc/{pid}/maps").read_text(errors="replace")
    except OSError:
        return False


def commit_of(folder: Path) -> str:
    """Return the git commit that a folder has checked out, '' when it is none or cannot be read."""
    try:
        git = folder / ".git"
        if git.is_file():
            git = folder / git.read_text().partition("gitdir: ")[2].strip()
        head = (git / "HEAD").read_text().strip()
        if head.startswith("ref: "):
            head = _resolved(git, head[len("ref: ") :])
    except OSError:
        return ""
    return head[:12] if _COMMIT.fullmatch(head) else ""


def _resolved(git: Path, ref: str) -> str:
    common = git / "commondir"
    base = (git / common.read_text().strip()) if common.exists() else git
    for place in (git / ref, base / ref):
        if place.exists():
            return place.read_text().strip()
    lines = (base / "packed-refs").read_text().splitlines()
    return next((line.split()[0] for line in lines if line.endswith(f" {ref}")), "")


def _known_trouble(version: str, number: tuple[int, int], utempter: bool) -> list[Finding]:
    """Return notes on versions that misbehave in ways that aiorch lives with, and the user may meet."""
    findings = []
    if number <= (3, 6):
        text = "tmux {} dies, with all sessions, when a `tmux -C` client is killed by force while it attaches"
        remedy = "never end one with kill -9; tmux 3.7 does not have this"
        findings.append(note(AREA, say(text, Known(version)), say(remedy)))
    if number < (3, 6) and utempter:
        text = "tmux {} with utempter forgets how about half of all programs ended: aiorch finds out in other"
        remedy = "do not rely on pane-died hooks of your own; tmux 3.6 does not have this"
        findings.append(note(AREA, say(f"{text} ways", Known(version)), say(remedy)))
    return findings


def _settings(scene: Scene) -> dict[str, str]:
    return {"window-size": scene.ask.look("show-options", "-gv", "window-size")}


def _no_server(scene: Scene) -> Finding:
    if scene.silence:
        remedy = "if it does not answer, look whether its process is stopped; if it refuses, read its words"
        return problem(AREA, say("the tmux server cannot be asked: {}", scene.silence), say(remedy))
    text = "no tmux server runs: options, key, status bar and sessions were not looked at"
    return note(AREA, say(text), say("call it inside of tmux, or name the server with --socket"))


def _client_version(path: str) -> str | None:
    program = shutil.which("tmux", path=path)
    if program is None:
        return None
    done = subprocess.run([program, "-V"], capture_output=True, text=True, check=False, timeout=5)
    return done.stdout.strip().removeprefix("tmux ")


def _library(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _libraries(found: Mapping[str, str]) -> list[Finding]:
    remedy = say("install what is missing")
    install = command("{}", paths.plugin_dir() / "install.sh")
    return [
        problem(AREA, say("the Python library {} is missing", Known(name)), remedy, install)
        for name, version in found.items()
        if not version
    ]


def _system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        name = platform.mac_ver()[0]
    return ", ".join(part for part in (f"{platform.system()} {platform.release()}", name) if part)


def _system_findings() -> list[Finding]:
    if sys.platform.startswith("linux"):
        return []
    text = say("aiorch was never tested on {}", Known(platform.system()))
    return [note(AREA, text, say("expect faults, and tell of them"))]
