"""Which agent has the primary's terminal now, and which process that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from aiorch import process
from aiorch.capture.transcript.locate.lead import identity
from aiorch.process import Process
from aiorch.workers.profile import AgentProfile, recognise

# What runs behind them is elsewhere, with files and processes that are not ours to see.
_REMOTE = frozenset(
    [
        *("ssh", "mosh", "mosh-client", "et", "telnet", "tsh", "rsh"),
        *("docker", "podman", "nerdctl", "kubectl", "oc", "lxc", "incus", "machinectl", "systemd-nspawn"),
        *("distrobox", "distrobox-enter", "toolbox", "vagrant", "gcloud", "aws", "flatpak", "bwrap"),
    ]
)


@dataclass(frozen=True, slots=True)
class Running:
    """The agent that was recognised in the primary, and the process it was recognised by.

    `ticks` is the kernel's start mark: with the pid it names one process and no later one.
    """

    profile: AgentProfile
    pid: int
    ticks: int


def running_agent(
    profiles: Mapping[str, AgentProfile], given: AgentProfile | None, pane_pid: int
) -> Running | None:
    """Return the agent in the foreground of a pane: one that is stopped does not print.

    An agent that the user has `given` may be started by a program that we do not know by name: then it is
    the one in front, unless that is a bare shell, or leads to another machine or a container.
    """
    front = [entry for entry in process.tree(pane_pid) if entry.foreground]
    profile = recognise(profiles, [entry.argv for entry in front])
    if profile is not None and given in (None, profile):
        own = {profile.name: profile}
        return next(_running(profile, entry.pid) for entry in front if recognise(own, [entry.argv]))
    programs = [(_program(entry), entry.pid) for entry in front]
    if given is None or any(name in _REMOTE for name, _ in programs):
        return None
    return next((_running(given, pid) for name, pid in programs if name), None)


def _running(profile: AgentProfile, pid: int) -> Running:
    return Running(profile, pid, process.start_ticks(pid) or 0)


def _program(entry: Process) -> str:
    """Return the name of what a process runs; '' for a shell or an interpreter without a script."""
    words = identity(entry.argv)
    return PurePath(words[0]).name if words else ""
