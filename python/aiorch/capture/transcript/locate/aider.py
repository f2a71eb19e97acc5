"""Aider: one Markdown file for all sessions of a project, in the project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from aiorch.capture.transcript.locate import files
from aiorch.capture.transcript.locate.found import Known, Seen, Store
from aiorch.capture.transcript.locate.lead import Lead

_NAME = ".aider.chat.history.md"


class AiderStore(Store):
    """The file of `--chat-history-file` or `$AIDER_CHAT_HISTORY_FILE`, else of the Git work tree.

    What `.aider.conf.yml` or `.env` say is not read.
    """

    def root(self, environment: Mapping[str, str], home: Path) -> Path:
        """Return the home: every project has a file of its own, whoever writes it."""
        return home

    def seen(self, lead: Lead, since: float) -> Iterator[Seen]:
        """Yield the file that was asked for, else that of the project or of the directory."""
        told = self._told(lead)
        usual = [folder / _NAME for folder in self._folders(lead)]
        for path in [files.real(told)] if told else usual:
            for entry in files.listed(files.real(path.parent), path.name, path.name, since):
                yield Seen(entry.path, entry.written, str(entry.path), here=True)

    def known(self, lead: Lead, seen: Seen) -> Known:
        """Return that the file is of the project; an old one is gone on with always."""
        return Known(here=True)

    def competes(self, lead: Lead, directory: str) -> bool:
        """Return whether a directory is of the same work tree: whoever works in it writes the same file."""
        own = self._folders(lead)[0]
        there = Path(directory)
        return there.is_relative_to(own) and _work_tree(there) in (own, None)

    def places(self, lead: Lead) -> list[Path]:
        """Return the folder of the file."""
        told = self._told(lead)
        return [told.parent] if told else self._folders(lead)

    def _told(self, lead: Lead) -> Path | None:
        told = lead.option("--chat-history-file") or lead.environment.get("AIDER_CHAT_HISTORY_FILE", "")
        return Path(lead.directories[0], told) if told and "\0" not in told else None

    def _folders(self, lead: Lead) -> list[Path]:
        """Return the Git work tree and the directory, the former first."""
        here = Path(lead.directories[0])
        return list(dict.fromkeys([_work_tree(here) or here, here]))


def _work_tree(directory: Path) -> Path | None:
    return next((path for path in (directory, *directory.parents) if files.exists(path / ".git")), None)
