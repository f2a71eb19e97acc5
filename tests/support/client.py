"""A tmux client attached as a person's would be: on a terminal of its own, whose screen can be read."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Callable
from typing import Self

import avt

PREFIX = "\x02"
KEY_SECONDS = 0.005
_KEPT = 1 << 18
_KEYS = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z~]|O.|.)?|.", re.DOTALL)


class Client:
    """Attaches to a tmux server; a context manager that ends and reaps its process.

    `command` is the whole argv, by default an attach by `tmux -S socket`. The terminal is drained only
    while one of
    the methods runs.
    """

    def __init__(
        self,
        socket: str,
        *,
        size: tuple[int, int] = (140, 40),
        target: str | None = None,
        command: list[str] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        attach = ["tmux", "-u", "-S", str(socket), "attach-session"] + (["-t", target] if target else [])
        self._argv = command or attach
        self._attaches = command is None
        self._started = ""
        # What came last, as it came.
        self.received = ""
        self._size = size
        self._env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", **(env or {})}
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._vt = avt.Vt(*size)
        self.status: int | None = None

    def __enter__(self) -> Self:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                # The size must be there before tmux asks for it.
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", self._size[1], self._size[0], 0, 0))
                os.execvpe(self._argv[0], self._argv, self._env)
            finally:
                os._exit(127)
        if self._attaches:
            self._wait_attached(5.0)
        return self

    def __exit__(self, kind: object, error: object, at: object) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGHUP)
            if not self._reap(2.0):
                os.kill(self.pid, signal.SIGKILL)
                self._reap(2.0)
        os.close(self._fd)

    def send(self, keys: str) -> None:
        """Type raw characters and escape sequences: `PREFIX + "O"`, `"\\r"`, `"\\x1b[A"`."""
        for key in _KEYS.findall(keys):
            os.write(self._fd, key.encode())
            # tmux takes keys that come within 1 ms of each other for a paste and looks at no binding.
            end = time.monotonic() + KEY_SECONDS
            while (left := end - time.monotonic()) > 0:
                self.pump(left)

    def resize(self, cols: int, rows: int) -> None:
        """Change the terminal's size, as a window manager would."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self._vt.resize(cols, rows)

    def screen(self) -> str:
        """Return the screen as it is after all output that has arrived."""
        self.pump(0.0)
        return "\n".join(line.text.rstrip() for line in self._vt.view())

    def wait_for(self, found: str | Callable[[str], bool], seconds: float = 5.0) -> str:
        """Return the screen once it holds a text or passes a test; raises AssertionError with the screen."""
        end = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if found in screen if isinstance(found, str) else found(screen):
                return screen
            assert self.status is None, f"the client ended (status {self.status}):\n{screen}"
            assert time.monotonic() < end, f"{found!r} not on the screen after {seconds} s:\n{screen}"
            self.pump(0.05)

    def wait_exit(self, seconds: float = 5.0) -> int:
        """Return the client's exit status once it ended."""
        assert self._reap(seconds), f"the client still runs after {seconds} s:\n{self.screen()}"
        assert self.status is not None
        return self.status

    def pump(self, seconds: float) -> None:
        """Feed the screen with what arrives; return when nothing more is there after `seconds`."""
        while select.select([self._fd], [], [], seconds)[0]:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                data = b""
            if not data:
                self._reap(1.0)
                return
            self._feed(data)
            seconds = 0.0

    def _feed(self, data: bytes) -> None:
        text = self._decoder.decode(data)
        self._started = (self._started + text)[:4096]
        self.received = (self.received + text)[-_KEPT:]
        self._vt.feed_str(text)

    def _wait_attached(self, seconds: float) -> None:
        """Return when tmux has taken the terminal: keys sent before would be seen by its line discipline."""
        end = time.monotonic() + seconds
        while "\x1b[?1049h" not in self._started:
            assert self.status is None and time.monotonic() < end, f"not attached: {self._started!r}"
            self.pump(0.05)

    def _reap(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                return False
            elif select.select([self._fd], [], [], 0.02)[0]:
                # A client that cannot write cannot end.
                try:
                    self._feed(os.read(self._fd, 65536))
                except OSError:
                    time.sleep(0.02)
        return True
