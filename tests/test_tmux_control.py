"""What becomes of the tmux server when the process that holds a control client is killed."""

from __future__ import annotations

import os
import random
import signal
import time

from aiorch.tmux.control import ControlClient
from support.lab import Lab, until

ROUNDS = 600
LONGEST = 0.004


def _hold_client(lab: Lab) -> int:
    """Fork a process that opens a control client and waits; return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            ControlClient(str(lab.socket), "m", lambda _line: None)
            signal.pause()
        finally:
            os._exit(0)
    return pid


def _clients(lab: Lab) -> str:
    return lab.tmux("list-clients", "-F", "#{client_pid}")


def test_a_holder_killed_at_any_moment_leaves_server_and_no_client(lab: Lab) -> None:
    """With a client that is killed by its holder's death, 3.3a died in 2 of 5 runs of 300 rounds."""
    server = lab.tmux("display-message", "-p", "#{pid}")
    moments = random.Random(1)
    for _ in range(ROUNDS):
        pid = _hold_client(lab)
        end = time.perf_counter() + moments.uniform(0, LONGEST)
        while time.perf_counter() < end:
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    until(lambda: not _clients(lab), "no client is left")
    assert lab.tmux("display-message", "-p", "#{pid}") == server
