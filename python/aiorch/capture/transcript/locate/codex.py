"""Codex: a file for each session in a folder for each day, held open while the session runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

from aiorch import process
from aiorch.capture.transcript.locate import files
from aiorch.capture.transcript.locate.found import Found, Known, Seen, Store, begun_live
from aiorch.capture.transcript.locate.lead import Lead

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME = re.compile(r"rollout-.*\.jsonl")
_LOCK = re.compile(r".*/thread-writer-locks/([A-Za-z0-9-]+)\.lock")
# Days that are looked into, the newest first: a resumed session goes on in the folder of its first day.
_MAX_DAYS = 120


class CodexStore(Store):
    """Sessions at `$CODEX_HOME/sessions/YYYY/MM/DD/rollout-<time>-<id>.jsonl`."""

    def root(self, environment: Mapping[str, str], home: Path) -> Path:
        """Return `$CODEX_HOME`, else `~/.codex`."""
        return Path(environment.get("CODEX_HOME") or home / ".codex")

    def named(self, lead: Lead) -> list[Found] | None:
        """Return the session that the process holds open, or whose lock it holds (seen in 0.169.0)."""
        held = [path for pid in lead.pids for path in process.written_files(pid)]
        base = self._base(lead)
        rollouts = [Path(path) for path in held if _NAME.fullmatch(PurePath(path).name)]
        open_now = [path for path in (files.owned(path, base) for path in rollouts) if path is not None]
        main = [path for path in open_now if _is_main(files.head(path))]
        if main:
            newest = max(main, key=lambda path: path.name)
            return [Found(lead.format, newest, True, "held open by the agent", named=True)]
        locks = [found.group(1) for found in map(_LOCK.fullmatch, held) if found]
        return [] if locks and not open_now else None

    def seen(self, lead: Lead, since: float) -> Iterator[Seen]:
        """Yield the sessions of the last days."""
        base = files.real(self._base(lead))
        for day in self._days(base):
            for entry in files.listed(day, ".jsonl", "rollout-", since):
                yield Seen(entry.path, entry.written, _session(entry.name))

    def known(self, lead: Lead, seen: Seen) -> Known:
        """Return what the first line says: directory, and whether it is a session of the terminal."""
        text = files.head(seen.path)
        headless = files.first_string(text, "source") == "exec" and not lead.says("exec", "e")
        told = lead.option("-C", "--cd")
        asked = str(Path(lead.directories[0], told).resolve()) if told else ""
        recorded = files.first_string(text, "cwd")
        return Known(
            here=True if asked and recorded == asked else lead.is_here(recorded),
            ours=_is_main(text),
            likely=not headless,
            begun=begun_live(seen, text),
        )

    def claimed(self, lead: Lead, pid: int) -> str:
        """Return the session that another process holds open."""
        names = [Path(path).name for path in process.written_files(pid)]
        return next((_session(name) for name in names if name.startswith("rollout-")), "")

    def asked_for(self, lead: Lead) -> str:
        """Return the session of `codex resume ID`."""
        words = [word for word in lead.argv[1:] if not word.startswith("-")]
        follows = words[words.index("resume") + 1 :] if "resume" in words else []
        return next((word for word in follows if re.fullmatch(_ID, word)), "")

    def places(self, lead: Lead) -> list[Path]:
        """Return the newest day's folder and those above it, in which the next one appears."""
        chain = [files.real(self._base(lead))]
        while len(chain) < 4 and (below := _newest(chain[0])):
            chain.insert(0, below[0])
        return chain

    def _base(self, lead: Lead) -> Path:
        return self.root(lead.environment, lead.home) / "sessions"

    def _days(self, base: Path) -> Iterator[Path]:
        """Yield the folders of the days, the newest first."""
        left = _MAX_DAYS
        for year in _newest(base):
            for month in _newest(year):
                for day in _newest(month):
                    if left == 0:
                        return
                    left -= 1
                    yield day


def _session(name: str) -> str:
    """Return the id in a file's name, the name itself when it has none."""
    found = re.search(rf"({_ID})\.jsonl$", name)
    return found.group(1) if found else name


def _is_main(text: str) -> bool:
    """Return whether a session is the user's own; a subagent's says where it comes from instead."""
    if files.begins_with(text, "source", "{"):
        return False
    return files.first_string(text, "thread_source") in (None, "user")


def _newest(folder: Path) -> list[Path]:
    return sorted(files.folders(folder), key=lambda path: path.name, reverse=True)
