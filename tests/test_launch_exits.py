"""Ends of processes, told once each."""

from __future__ import annotations

import subprocess
from pathlib import Path

from aiorch.launch.exits import ExitWatcher
from support.lab import until


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_process_added_again_and_again_is_told_once_and_costs_one_descriptor() -> None:
    ended: list[int] = []
    watcher = ExitWatcher(ended.append)
    with subprocess.Popen(["sleep", "60"]) as child:
        watcher.add(child.pid)
        before = _descriptors()
        for _ in range(20):
            watcher.add(child.pid)
        assert _descriptors() == before
        child.kill()
    until(lambda: bool(ended), "its end is told")
    assert ended == [child.pid]
    watcher.close()


def test_process_that_is_gone_counts_as_ended() -> None:
    ended: list[int] = []
    child = subprocess.Popen(["true"])
    child.wait()
    watcher = ExitWatcher(ended.append)
    watcher.add(child.pid)
    assert ended == [child.pid]
    watcher.close()
