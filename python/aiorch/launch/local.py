"""Workers on this machine: what goes into a worker's directory, and what its wrapper leaves there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiorch import paths, process

RESULT_LIMIT = 64 * 1024
# What the wrapper writes over with the user's mask: made before, it is for the owner alone, and has its room
# on the disk.
_BLANK = {"start": f"{'':10}\n", "exit": f"{'':3}\n"}
# What git says of the worker's directory; the wrapper fills them where they are.
_TREE = ("tree.before", "tree.after", "tree.lines")
_MAX_PID = 2**31 - 1
_STOP_ROUNDS = 20
_SIMPLE = re.compile(r"[A-Za-z0-9_./:=,+-][A-Za-z0-9_./:=,@+-]{0,255}")


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of a worker, ready to be placed; `action` names it in tmux and on disk.

    `task` is written into the attempt's task file, when its argv names that; `inputs` are files, by name, in
    the folder that `AIORCH_INPUTS` names. `tree` says that it runs in a git tree. `writes` are places that it
    has to write to wherever it runs. `box` is the command that runs another one, `argv`, in its sandbox.
    """

    action: str
    argv: Sequence[str]
    stdin: str | None
    cwd: str
    environment: Mapping[str, str]
    task: str | None = None
    inputs: Mapping[str, str] | None = None
    tree: bool = False
    writes: Sequence[str] = ()
    box: Sequence[str] = ()


class LocalLauncher:
    """Starts workers in panes of this machine; `root` is the run's `workers` directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._wrapper = str(paths.script("worker.sh"))

    def directory(self, action: str) -> Path:
        """Return the directory of one attempt."""
        return self._root / action

    def task_file(self, action: str) -> str:
        """Return the path of the file that holds the task, for agents that read it from one."""
        return f"{self._root}/{action}/task"

    def start(self, job: Job) -> tuple[list[str], dict[str, str]]:
        """Write the attempt's files and return the pane's argv and environment.

        Arguments that are more than a plain word go into files: neither a tmux command line nor
        `#{pane_start_command}` ever holds a task.
        """
        directory = f"{self._root}/{job.action}"
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)  # noqa: PTH102 - on the way to every worker, 5 times as fast
        for name, blank in _BLANK.items():
            write_file(f"{directory}/{name}", blank)
        if job.stdin is not None:
            write_file(f"{directory}/stdin", job.stdin)
        if job.tree:
            for name in _TREE:
                write_file(f"{directory}/{name}", "")
        if job.box:
            write_file(f"{directory}/box", f"{len(job.box)}\n")
        if job.task is not None:
            write_file(self.task_file(job.action), job.task)
        argv = ["/bin/sh", self._wrapper, job.action, directory]
        for index, argument in enumerate((*job.box, *job.argv)):
            if _SIMPLE.fullmatch(argument):
                argv.append(argument)
            else:
                write_file(f"{directory}/arg.{index}", argument + "\n")
                argv.append(f"@{index}")
        environment = dict(job.environment)
        environment |= self.variables(job.action, job.cwd, inputs=job.inputs is not None)
        if job.inputs is not None:
            self._put_inputs(job)
        return argv, environment

    def variables(self, action: str, cwd: str, *, inputs: bool) -> dict[str, str]:
        """Return the variables of an attempt that name its places."""
        found = {"AIORCH_CWD": cwd, "AIORCH_RESULT": f"{self._root}/{action}/result"}
        return found | ({"AIORCH_INPUTS": self.inputs(action)} if inputs else {})

    def inputs(self, action: str) -> str:
        """Return the path of the folder with the results of the workers before."""
        return f"{self._root}/{action}/inputs"

    def _put_inputs(self, job: Job) -> None:
        folder = self.inputs(job.action)
        with suppress(FileNotFoundError):
            # Left by an engine that died here; a worker has not run in it yet.
            shutil.rmtree(folder)
        os.mkdir(folder, 0o700)  # noqa: PTH102 - the path is a text on this way
        for name, text in (job.inputs or {}).items():
            write_file(f"{folder}/{name}", text)

    def attach(self, action: str) -> int | None:
        """Return the pid of an attempt that was started, None when it never was."""
        pid = number_in(self.directory(action) / "start", 10)
        return pid if pid is not None and 1 < pid <= _MAX_PID else None

    def poll(self, action: str) -> int | None:
        """Return the exit status in the wrapper's record (128 + n after signal n), None without one."""
        return number_in(self.directory(action) / "exit", 3)

    def mark_labelled(self, action: str) -> None:
        """Tell the wrapper that its pane will stay when it ends; a worker may have removed its directory."""
        with suppress(OSError):
            (self.directory(action) / "labelled").touch()

    def result(self, action: str) -> str:
        """Return what the worker wrote as its result, at most RESULT_LIMIT bytes, or an empty text.

        It was made with the user's mask, and is for the owner alone from now on.
        """
        places = self._results(action)
        data = next(filter(None, (read_file(path, RESULT_LIMIT, claim=True) for path in places)), b"")
        return data.decode("utf-8", "replace").strip()

    def result_file(self, action: str) -> Path:
        """Return the path of the file that `result` is read from."""
        places = self._results(action)
        return next((path for path in places if read_file(path, 1)), places[0])

    def _results(self, action: str) -> tuple[Path, Path]:
        folder = self.directory(action)
        # A sandbox has a folder of its own in the place of the attempt's.
        return folder / "result", folder / "out/result"

    def cancel(self, action: str, pid: int, ticks: int, *, force: bool = False) -> None:
        """End all processes of an attempt by TERM, or KILL; one that is gone is no error.

        `ticks` is when its first process began (0: not known): a later process with that pid is a stranger.
        """
        number = signal.SIGKILL if force else signal.SIGTERM
        found = self._processes(action, pid, ticks)
        if pid in found:
            # One signal for all of the group: a second TERM means more than one to some programs.
            _signal_group(pid, number)
        for each in found:
            if pid not in found or _group(each) != pid:
                _signal(each, number)
        for each in found:
            # One that is held takes its TERM only when it goes on.
            _signal(each, signal.SIGCONT)

    def is_there(self, action: str, pid: int, ticks: int) -> bool:
        """Return whether something of an attempt still runs."""
        return bool(self._processes(action, pid, ticks))

    def pause(self, action: str, pid: int, ticks: int) -> None:
        """Stop all processes of an attempt where they are.

        Not its wrapper, which waits for them anyway: tmux lets the process of a pane go on at once (3.3a).
        """
        for _ in range(_STOP_ROUNDS):
            found = self._processes(action, pid, ticks)
            left = [each for each in found if each != pid and not process.is_stopped(each)]
            for each in left:
                _signal(each, signal.SIGSTOP)
            # Between two looks one may have forked.
            if not left:
                return

    def go_on(self, action: str, pid: int, ticks: int) -> None:
        """Let the processes of an attempt go on, also those that are still about to stop."""
        for each in self._processes(action, pid, ticks):
            _signal(each, signal.SIGCONT)

    def is_held(self, action: str, pid: int, ticks: int) -> bool:
        """Return whether something of an attempt is stopped."""
        return any(map(process.is_stopped, self._processes(action, pid, ticks)))

    def _processes(self, action: str, pid: int, ticks: int) -> list[int]:
        known = pid > 1 and ticks in (0, process.start_ticks(pid) or ticks)
        result = f"AIORCH_RESULT={self._root}/{action}/result"
        return process.belongings(pid if known else 0, result)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def write_file(path: str, text: str) -> None:
    """Write a new file for the owner alone, in the place of whatever is there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        # Left by an engine that died here, or put there by a worker: it may be a link or a pipe.
        os.unlink(path)  # noqa: PTH108 - the path is a text on this way
        descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def read_file(path: Path, limit: int, *, claim: bool = False, from_end: bool = False) -> bytes:
    """Return the first bytes of a file, or the last ones; nothing when it is missing or no regular file.

    A worker can write anything into its directory, also a pipe that would never end. With `claim` the file
    is for the owner alone from then on, unless it has another name elsewhere.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                return b""
            if claim and facts.st_nlink == 1:
                # Somebody else's stays as it is.
                with suppress(PermissionError):
                    os.fchmod(descriptor, 0o600)
            if from_end:
                file.seek(max(0, facts.st_size - limit))
            return file.read(limit)
    except OSError:
        return b""


def number_in(path: Path, digits: int) -> int | None:
    """Return the number in a record that is whole, else None."""
    data = read_file(path, digits + 2)
    # The newline says that the record is whole.
    return int(data) if re.fullmatch(rb"[0-9]{1,%d} *\n" % digits, data) else None
