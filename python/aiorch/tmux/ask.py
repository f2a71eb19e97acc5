"""tmux asked from outside, one program per question: for what has no control client, and must not hang."""

from __future__ import annotations

import subprocess

from aiorch.errors import TmuxError, TmuxGoneError
from aiorch.tmux import quote

ANSWER_SECONDS = 5.0
_NO_SERVER = ("no server running", "error connecting", "lost server", "server exited")


class Ask:
    """Asks the tmux server of one socket ('': the one that tmux itself would take); changes nothing."""

    def __init__(self, socket: str = "", seconds: float = ANSWER_SECONDS) -> None:
        # -u: else what is not ASCII comes as `_` where the locale is none of UTF-8.
        self._program = ["tmux", "-u", *(["-S", socket] if socket else [])]
        self._seconds = seconds
        self._silent = False

    def run(self, *argv: str) -> str:
        """Return what tmux prints for one command, without the last line end.

        Raises TmuxGoneError when no server is there, TmuxError in tmux's own words when it refuses, and when
        it gives no answer in time; after that it is not asked again.
        """
        if self._silent:
            raise TmuxError("tmux does not answer")
        try:
            done = subprocess.run(
                [*self._program, *quote.arguments(argv)],
                stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=self._seconds,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise TmuxError("the program tmux was not found on the PATH") from error
        except OSError as error:
            raise TmuxError(f"tmux cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            self._silent = True
            raise TmuxError(f"tmux gave no answer within {self._seconds:g} s") from error
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")
        words = done.stderr.decode("utf-8", "replace").strip() or f"tmux refused {argv[0]}"
        raise (TmuxGoneError if words.startswith(_NO_SERVER) else TmuxError)(words)

    def look(self, *argv: str) -> str:
        """Return what tmux prints for one command, '' when it does not answer or refuses."""
        try:
            return self.run(*argv)
        except TmuxError:
            return ""
