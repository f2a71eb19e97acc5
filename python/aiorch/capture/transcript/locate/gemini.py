"""Gemini CLI: a folder for each project under a name that it registers, a file for each session."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from aiorch.capture.transcript.locate import files
from aiorch.capture.transcript.locate.found import Known, Seen, Store, begun_live
from aiorch.capture.transcript.locate.lead import Lead

_MARKER = ".project_root"
_HASH = re.compile(r"[0-9a-f]{64}")
# Folders that are looked into when none has the project's name.
_MAX_FOLDERS = 200


def project_hash(directory: str) -> str:
    """Return what a session file calls a directory; before 0.30 its folder was named so too."""
    return hashlib.sha256(os.fsencode(directory)).hexdigest()


def project_name(directory: str) -> str:
    """Return the name that a new project gets; a number is added when another one has it."""
    name = re.sub(r"[^a-z0-9]+", "-", Path(directory).name.lower()).strip("-")
    return name or "project"


class GeminiStore(Store):
    """Sessions at `~/.gemini/tmp/<project>/chats/session-<time>-<id>.jsonl` (`.json` in older versions).

    The project's name is in `projects.json` and, the other way round, in `.project_root` of its folder
    (seen in 0.61.0).
    """

    def root(self, environment: Mapping[str, str], home: Path) -> Path:
        """Return `.gemini` in `$GEMINI_CLI_HOME`, else in the home."""
        return Path(environment.get("GEMINI_CLI_HOME") or home) / ".gemini"

    def seen(self, lead: Lead, since: float) -> Iterator[Seen]:
        """Yield the sessions of the project's folders; of any that nobody owns when it has none."""
        for folder, here in self._folders(lead).items():
            for entry in files.listed(folder / "chats", (".jsonl", ".json"), "session-", since):
                yield Seen(entry.path, entry.written, _short_id(entry.name), here)

    def known(self, lead: Lead, seen: Seen) -> Known:
        """Return what the first line says: the hash of its directory, and whether it is a subagent's."""
        text = files.head(seen.path)
        recorded = files.first_string(text, "projectHash")
        same = recorded in [project_hash(directory) for directory in lead.directories]
        main = files.first_string(text, "kind") in (None, "main")
        return Known(here=True if same else seen.here, ours=main, begun=begun_live(seen, text))

    def asked_for(self, lead: Lead) -> str:
        """Return the first letters of the session of `--resume ID`, which is all that a file's name has."""
        session = lead.option("--session-id") or lead.option("--resume", "-r")
        return session[:8] if re.fullmatch(r"[0-9a-f]{8}(?:-[0-9a-f]+)+", session) else ""

    def places(self, lead: Lead) -> list[Path]:
        """Return the project's folders, and the one in which they appear."""
        return [*(folder / "chats" for folder in self._folders(lead)), self._base(lead)]

    def _base(self, lead: Lead) -> Path:
        return files.real(self.root(lead.environment, lead.home) / "tmp")

    def _folders(self, lead: Lead) -> dict[Path, bool | None]:
        """Return the folders that are the project's (True), or that nobody says to own (None)."""
        base = self._base(lead)
        registered = files.note(self.root(lead.environment, lead.home) / "projects.json").get("projects")
        names = registered if isinstance(registered, dict) else {}
        likely = [names.get(directory) for directory in lead.directories]
        likely += [project_hash(directory) for directory in lead.directories]
        likely += [project_name(directory) for directory in lead.directories]
        named = [base / str(name) for name in likely if files.is_session(name)]
        found = self._owned(
            lead, [folder for folder in dict.fromkeys(named) if files.is_plain_folder(folder)], names
        )
        if True not in found.values():
            found |= self._owned(lead, files.folders(base)[:_MAX_FOLDERS], names)
        own: dict[Path, bool | None] = {folder: here for folder, here in found.items() if here}
        return own or found

    def _owned(self, lead: Lead, folders: list[Path], names: Mapping[str, object]) -> dict[Path, bool | None]:
        hashes = [project_hash(directory) for directory in lead.directories]
        owners = {str(name): directory for directory, name in names.items()}
        found: dict[Path, bool | None] = {}
        for folder in folders:
            owner = files.line(folder / _MARKER) or owners.get(folder.name)
            here = True if folder.name in hashes else lead.is_here(owner)
            if here is not False and (here or not _HASH.fullmatch(folder.name)):
                found[folder] = here
        return found


def _short_id(name: str) -> str:
    return name.partition(".json")[0].rpartition("-")[2]
