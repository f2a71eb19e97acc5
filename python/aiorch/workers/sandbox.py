"""A worker that can write nothing but its worktree: bubblewrap around its command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiorch.errors import GitError, IsolationError
from aiorch.tree import PREFIX, Tree
from aiorch.workers.git import environment, fixed_path, run, said

_TRY_SECONDS = 20.0
_UNDO = 'or set sandbox = "none" for its type in config.toml'
# Where the sockets of tmux, of desktops and of services are.
_EMPTIED = ("/tmp", "/var/tmp", "/run")
# Names of hosts are looked up by files below /run on some systems, and NixOS has its programs there.
_KEPT = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/current-system")
# Each leads to a server that would do outside what the sandbox forbids inside.
_DROPPED = ("TMUX", "TMUX_PANE", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "DISPLAY",
            "WAYLAND_DISPLAY", "XAUTHORITY")  # fmt: skip
# git removes a folder of refs that is empty, and what was bound is gone then. A name that ends so is no ref
# to git, nor a fault to `git fsck`, and no branch can have it.
_KEEP = f"{PREFIX}..keep.lock"
# In git's directory for a worktree: whoever runs git in there later does so in a sandbox, too.
_NOTE = f"{PREFIX}.sandbox"


@dataclass(frozen=True, slots=True)
class Box:
    """What one worker's sandbox is made of.

    `admin` is git's directory for the worktree, `attempt` that of the attempt ('': there is none), `runs`
    that of all runs, `socket` the tmux socket, and `writes` what it may write beside its worktree (`~` is
    its HOME).
    """

    tree: Tree
    admin: str
    attempt: str
    runs: str
    socket: str
    writes: Sequence[str] = ()


def find_bwrap(path: str) -> str:
    """Return the bubblewrap on a PATH, tried out. Raises IsolationError when it does not work."""
    program = _program(path)
    if program is None:
        raise IsolationError(
            f"its sandbox needs bwrap (Debian, Ubuntu: apt install bubblewrap): install it, {_UNDO}"
        )
    argv = [program, "--unshare-pid", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--", "true"]
    done = run(argv, "/", environment({}), seconds=_TRY_SECONDS)
    if done.status != 0:
        raise IsolationError(
            f"bwrap cannot make a sandbox here ({said(done, _TRY_SECONDS)}): user namespaces may be"
            f" switched off; allow them, {_UNDO}"
        )
    return program


def prepare(box: Box) -> None:
    """Make what is bound into the sandbox, so that nothing in it has to be made from inside."""
    if box.attempt:
        os.makedirs(f"{box.attempt}/out", mode=0o700, exist_ok=True)  # noqa: PTH103
    _keep_branch_folders(box.tree)
    # Were it missing the worker could make it, and what it says counts for git outside, too.
    _make_file(Path(box.admin, "config.worktree"))
    note, text = Path(box.admin, _NOTE), f"{box.runs}\0{box.socket}"
    # A new one would not be bound in a sandbox that is there.
    if not note.exists() or note.read_text(errors="surrogateescape") != text:
        note.unlink(missing_ok=True)
        _make_file(note, text)


def around(tree: Tree, admin: str, writes: Sequence[str]) -> Sequence[str]:
    """Return the command that runs another one as a worktree's worker ran, nothing when that had no sandbox.

    What a worker left may have git run programs, and follow links. Raises GitError without a bwrap.
    """
    note = Path(admin, _NOTE)
    if not note.exists():
        return ()
    program = _program(os.environ.get("PATH", os.defpath))
    if program is None:
        raise GitError(f"{tree.path} is a sandbox, and is looked at from inside: that needs bwrap")
    runs, _, socket = note.read_text(errors="surrogateescape").partition("\0")
    _keep_branch_folders(tree)
    return command(program, Box(tree, admin, "", runs, socket, writes), os.environ, tree.path)


def forget(tree: Tree) -> None:
    """Take out of the repository what was made there for sandboxes; none of them may be in use."""
    for folder in _branch_folders(tree):
        (folder / _KEEP).unlink(missing_ok=True)
        # Another branch of ours keeps it.
        with suppress(OSError):
            folder.rmdir()


def command(bwrap: str, box: Box, variables: Mapping[str, str], directory: str) -> list[str]:
    """Return the command that runs another one, which is to follow it, in a directory of the sandbox.

    All is there to be read but tmux, /tmp, /run, the runs and other processes; the network is as it is. Of
    git's common directory only objects, our branches and this worktree's own files can be written: hooks and
    configuration would run outside. The result goes to a folder of its own, laid over the attempt's.
    """
    tree, common = box.tree, box.tree.common
    refs, logs = _branch_folders(tree) or (None, None)
    words: list[str] = ["--unshare-pid", "--unshare-ipc", "--die-with-parent"]
    words += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    words += [word for place in _EMPTIED if Path(place).is_dir() for word in ("--tmpfs", place)]
    words += _pairs("--ro-bind-try", _KEPT)
    words += ["--tmpfs", os.path.realpath(box.runs)] if Path(box.runs).is_dir() else []
    words += [*_hidden(box.socket), *_pairs("--ro-bind", [common])]
    words += _pairs("--bind", [tree.path, f"{common}/objects", *([str(refs)] if refs else []), box.admin])
    words += _pairs("--bind-try", [f"{common}/lfs"])
    # git outside appends to a log of a branch, and would follow a link there.
    words += ["--tmpfs", str(logs)] if logs else []
    fixed = ("commondir", "gitdir", "config.worktree", _NOTE)
    words += _pairs("--ro-bind", [f"{box.admin}/{name}" for name in fixed])
    # Whoever comes by would believe another repository there.
    words += _pairs("--ro-bind-try", [f"{tree.path}/.git"])
    words += _pairs("--bind-try", _outermost([_expanded(place, variables) for place in box.writes]))
    if box.attempt:
        words += ["--bind", f"{box.attempt}/out", box.attempt]
        words += _pairs("--ro-bind-try", [f"{box.attempt}/{name}" for name in ("task", "inputs")])
    words += [word for name in _DROPPED for word in ("--unsetenv", name)]
    return [bwrap, *words, "--chdir", directory, "--"]


def _program(path: str) -> str | None:
    return shutil.which("bwrap", path=fixed_path(path))


def _branch_folders(tree: Tree) -> list[Path]:
    """Return the folder of our branches and that of their logs, when there are such folders."""
    folder = Path(tree.branch).parent
    # Without a folder of ours all branches would be in reach.
    names = [f"refs/heads/{folder}", f"logs/refs/heads/{folder}"] if folder.parts else []
    return [Path(tree.common, name) for name in names]


def _keep_branch_folders(tree: Tree) -> None:
    for folder in _branch_folders(tree):
        folder.mkdir(parents=True, exist_ok=True)
        _make_file(folder / _KEEP)


def _make_file(path: Path, text: str = "") -> None:
    """Make a file where nothing is; no link is followed that a worker has put there."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", errors="surrogateescape") as file:
            file.write(text)


def _hidden(socket: str) -> list[str]:
    """Return what puts nothing in the place of the tmux socket, and of others beside it, wherever it is."""
    real = os.path.realpath(socket)
    gone = any(real.startswith(f"{place}/") for place in _EMPTIED)
    if gone or not Path(real).exists():
        return []
    folder = str(Path(real).parent)
    is_of_tmux = Path(folder).name == f"tmux-{os.getuid()}"
    return ["--tmpfs", folder] if is_of_tmux else ["--ro-bind", "/dev/null", real]


def _expanded(place: str, variables: Mapping[str, str]) -> str:
    home = variables.get("HOME") or str(Path.home())
    return home + place.removeprefix("~") if place.startswith("~/") else place


def _outermost(places: Iterable[str]) -> list[str]:
    """Return the places that are in no other one: there a worker may have made links that lead out."""
    kept: list[str] = []
    for place in sorted({os.path.normpath(place) for place in places}):
        if not any(place.startswith(f"{outer}/") for outer in kept):
            kept.append(place)
    return kept


def _pairs(option: str, places: Iterable[str]) -> list[str]:
    return [word for place in places for word in (option, place, place)]
