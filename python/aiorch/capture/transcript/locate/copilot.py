"""Copilot CLI: a folder for each session, with a note of the process that uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from aiorch import process
from aiorch.capture.transcript.locate import files
from aiorch.capture.transcript.locate.found import Found, Known, Seen, Store, begun_live
from aiorch.capture.transcript.locate.lead import Lead

_EVENTS = "events.jsonl"
_MAX_WATCHED = 4
_HELD = re.compile(r"(.*)/inuse\.[0-9]+\.(?:hold|lock)")


class CopilotStore(Store):
    """Sessions at `~/.copilot/session-state/<id>/events.jsonl`."""

    def root(self, environment: Mapping[str, str], home: Path) -> Path:
        """Return `$COPILOT_HOME`, else `~/.copilot`."""
        return Path(environment.get("COPILOT_HOME") or home / ".copilot")

    def named(self, lead: Lead) -> list[Found] | None:
        """Return the session whose folder holds `inuse.<pid>` of the process (seen in 1.0.102)."""
        folder = self._used_by(lead, lead.pids)
        if folder is None:
            return None
        path = files.owned(folder / _EVENTS, self._base(lead))
        return [Found(lead.format, path, True, "marked as in use by the agent", named=True)] if path else []

    def seen(self, lead: Lead, since: float) -> Iterator[Seen]:
        """Yield all sessions: only their first lines say of which directory they are."""
        for entry in files.named(files.real(self._base(lead)), _EVENTS, since):
            yield Seen(entry.path, entry.written, entry.name)

    def known(self, lead: Lead, seen: Seen) -> Known:
        """Return what the first event says about the directory."""
        text = files.head(seen.path)
        return Known(lead.is_here(files.first_string(text, "cwd")), begun=begun_live(seen, text))

    def claimed(self, lead: Lead, pid: int) -> str:
        """Return the session that another process uses."""
        folder = self._used_by(lead, (pid,))
        return folder.name if folder else ""

    def asked_for(self, lead: Lead) -> str:
        """Return the session of `--resume ID` or `--session-id ID`."""
        session = lead.option("--session-id") or lead.option("--resume", "-r")
        return session if files.is_session(session) else ""

    def places(self, lead: Lead) -> list[Path]:
        """Return the folders of the newest sessions, which their files come into later, and the one above."""
        base = files.real(self._base(lead))
        used = self._used_by(lead, lead.pids)
        newest = sorted(((_changed(folder), folder) for folder in files.folders(base)), reverse=True)
        since = lead.started or 0.0
        new = [folder for changed, folder in newest[:_MAX_WATCHED] if changed >= since]
        return [*([used] if used else []), *new, base]

    def _base(self, lead: Lead) -> Path:
        return self.root(lead.environment, lead.home) / "session-state"

    def _used_by(self, lead: Lead, pids: tuple[int, ...]) -> Path | None:
        """Return the session's folder that a process holds open, else the one with its note."""
        base = self._base(lead)
        held = [_HELD.fullmatch(path) for pid in pids for path in process.written_files(pid)]
        folders = [Path(found.group(1)) for found in held if found]
        folders = [folder for folder in folders if _is_in(folder, base)]
        if folders:
            return max(folders, key=_used_since)
        noted = [folder for folder in files.folders(base) for pid in pids if _notes(folder, pid)]
        return max(noted, key=_used_since, default=None)


def _notes(folder: Path, pid: int) -> bool:
    return files.line(folder / f"inuse.{pid}.lock") == str(pid)


def _changed(folder: Path) -> float:
    try:
        return folder.lstat().st_mtime
    except OSError:
        return 0.0


def _used_since(folder: Path) -> float:
    return max((entry.written for entry in files.listed(folder, prefix="inuse.")), default=0.0)


def _is_in(folder: Path, base: Path) -> bool:
    try:
        return folder.parent.resolve() == base.resolve()
    except (OSError, RuntimeError):
        return False
