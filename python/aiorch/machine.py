"""How the machine is doing: memory that is free, load, and what processes take of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from aiorch import process

MIB = 1 << 20
_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return the bytes that can be had without swapping, by the kernel and by our control group.

    None where the system does not tell.
    """
    found = []
    with suppress(OSError, ValueError, IndexError):
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(rows["MemAvailable"].split()[0]) * 1024)
    with suppress(OSError, ValueError, IndexError):
        # cgroup 2 only; a limit of `max` is none.
        name = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
        group = _CGROUP / name
        used = int((group / "memory.current").read_text())
        cache = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        found.append(int((group / "memory.max").read_text()) - used + int(cache["inactive_file"]))
    return max(0, min(found)) if found else None


def resident(pids: Iterable[int]) -> int:
    """Return the bytes of memory that processes hold; what they share counts for each of them."""
    return sum(used.memory for pid in pids if (used := process.usage(pid)) is not None)


def described() -> str:
    """Return load and free memory in words: `load 1.2 on 2 cores, 3.1 GB free`."""
    parts = [f"load {os.getloadavg()[0]:.1f} on {os.cpu_count() or 1} cores"]
    free = free_memory()
    if free is not None:
        parts.append(f"{size(free)} free")
    return ", ".join(parts)


def size(number: float) -> str:
    """Return a number of bytes in words of five characters or so: `87 MB`, `1.2 GB`."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
