"""A disk that is full or read-only: it is told, and nothing is lost or doubled once it can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.lab import STEP, Lab, alive, until

INSIDE = "AIORCH_OWN_MOUNTS"
RUNS = f'default_type = "step"\n[trust.plain]\nroles = "run"\n{STEP}'
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
outside = pytest.mark.skipif(INSIDE in os.environ, reason="runs the others")
inside = pytest.mark.skipif(INSIDE not in os.environ, reason="run by the first test, with mounts of its own")


@outside
def test_in_a_namespace_with_mounts_of_its_own() -> None:
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system gives users no mounts of their own: a full disk was NOT tried")
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env={**os.environ, INSIDE: "1"}, cwd=Path(__file__).parents[1], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    print(done.stdout)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return the state directory of a lab to come, on a small disk of its own."""
    path = tmp_path / "lab" / "home" / ".local" / "state"
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "none", str(path)], check=True)
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


def segment(lab: Lab) -> str:
    return lab.tmux("show-environment", "-h", "-t", "m", "AIORCH_STATUS")


@inside
def test_a_full_disk_stops_everything_and_loses_nothing(disk: Path) -> None:
    with Lab(disk.parents[2]) as lab:
        lab.start(RUNS)
        gate = lab.root / "gate"
        wait = f"while [ ! -e {gate} ]; do sleep 0.05; done"
        lab.delegate(("a", f"{wait}; echo a >>ran; exit 3"), ("b", f"{wait}; echo b >>ran"))
        lab.wait_state(a="working", b="working")
        fill(disk)
        lab.say({"task": "echo c >>ran"})
        until(lambda: "aiorch: waits for the disk" in segment(lab), "the segment says so")
        # Both end, and a directive is printed, while nothing can be written.
        gate.touch()
        pids = [row.pid for row in lab.workers().values()]
        until(lambda: not any(alive(pid) for pid in pids), "the workers have ended")
        lab.say({"task": "echo d >>ran"})
        (disk / "ballast").unlink()
        until(lambda: len(_ran(lab)) == 4, "all goes on")
        lab.wait_state(a="failed", b="done")
        assert lab.workers()["a"].status == 3
        assert sorted(_ran(lab)) == ["a", "b", "c", "d"]
        lab.wait_told("ERROR", "nothing could be written for ")
        until(lambda: "4" in segment(lab) or "✔" in segment(lab), "the segment is as before")
        lab.wait_state(simple="done", simple_2="done")


@inside
def test_a_read_only_disk_is_told_and_the_run_goes_on_afterwards(disk: Path) -> None:
    with Lab(disk.parents[2]) as lab:
        lab.start(RUNS)
        (lab.run / "restarts").write_text(f"{2**40}\n" * 5)
        lab.kill_engine()
        until(lambda: "engine died" in segment(lab), "no other engine is tried")
        # What writes on a disk keeps it from becoming read-only.
        for pane in lab.tmux(
            "list-panes", "-t", "m", "-f", "#{==:#{@aiorch_role},monitor}", "-F", "#D"
        ).split():
            lab.tmux("kill-pane", "-t", pane)
        lab.tmux("pipe-pane", "-t", "%0")
        until(lambda: _remount(disk, "ro"), "it is read-only")
        done = lab.aiorch("start", "--pane", "%0", check=False)
        assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
        assert "Read-only file system" in done.stderr
        lab.say({"task": "echo a >>ran"})
        assert _remount(disk, "rw")
        lab.aiorch("start", "--pane", "%0")
        until(lambda: _ran(lab) == ["a"], "it goes on")


def _remount(disk: Path, how: str) -> bool:
    return subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=False).returncode == 0


def _ran(lab: Lab) -> list[str]:
    path = lab.project / "ran"
    return path.read_text().split() if path.exists() else []
