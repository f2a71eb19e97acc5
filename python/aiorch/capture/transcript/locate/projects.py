"""Claude Code and Qwen Code: a folder for each directory, in it a file for each session, and a register."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from aiorch import process
from aiorch.capture.transcript.locate import files
from aiorch.capture.transcript.locate.found import Found, Known, Seen, Store, begun_live
from aiorch.capture.transcript.locate.lead import Lead

# Claude Code 2.1 cuts longer names here and adds a hash that differs between its builds.
_CUT = 200
_NO_NAME = re.compile(r"[^a-zA-Z0-9]")
# The words that a command leaves as the user's own; in any other place somebody quotes them.
_CLEARED = re.compile(r'"content"\s*:\s*"(?:\\n|\s)*<command-name>/clear</command-name>')


def folder_name(directory: str) -> str:
    """Return the name of a directory's folder: every UTF-16 unit but ASCII letters and digits is a `-`.

    Seen with Claude Code 2.1.330 and Qwen Code 0.24.4: `/a/b_c.𝒳` → `-a-b-c---`.
    """
    return _NO_NAME.sub(lambda found: "-" * (2 if ord(found.group()) > 0xFFFF else 1), directory)


def folder_names(directories: Iterable[str]) -> list[str]:
    """Return the names that the folders of directories may have: Claude Code composes letters first."""
    spelt = (form for name in directories for form in (unicodedata.normalize("NFC", name), name))
    return list(dict.fromkeys(map(folder_name, spelt)))


def register_entry(register: Path, pid: int) -> Mapping[str, object]:
    """Return what a register says of a process; empty when it does not name it by when it began.

    An entry may be of an earlier process with its pid, or of nobody's. All versions seen write that mark
    (Claude Code from 2.1.197 on, Qwen Code 0.24.4); where the system does not tell it, the pid has to do.
    """
    record = files.note(register / f"{pid}.json")
    ticks = process.start_ticks(pid)
    is_its_own = ticks is None or record.get("procStart") == str(ticks)
    return record if record.get("pid") == pid and is_its_own else {}


class ProjectStore(Store):
    """Sessions at `<root>/projects/<folder of the directory>/`, in `chats/` below that for Qwen Code."""

    def __init__(self, beneath: str = "") -> None:
        self._beneath = beneath

    def projects(self, lead: Lead) -> Path:
        """Return the folder that holds those of all directories."""
        return self.root(lead.environment, lead.home) / "projects"

    def named(self, lead: Lead) -> list[Found] | None:
        """Return what the register says: `sessions/<pid>.json` of the process or one it launched."""
        for pid in lead.pids:
            record = self._record(lead, pid)
            session = record.get("sessionId")
            if not files.is_session(session):
                continue
            directory = record.get("cwd")
            path = self._session_file(lead, str(session), directory if isinstance(directory, str) else "")
            how = "named by the agent's own register of sessions"
            return [Found(lead.format, path, True, how, named=True)] if path else []
        return None

    def seen(self, lead: Lead, since: float) -> Iterator[Seen]:
        """Yield the sessions in the folders that stand for the agent's directory."""
        for folder in self._folders(lead):
            for entry in files.listed(folder / self._beneath, ".jsonl", since=since):
                if not entry.name.startswith("agent-"):
                    yield Seen(entry.path, entry.written, entry.name.removesuffix(".jsonl"), here=True)

    def known(self, lead: Lead, seen: Seen) -> Known:
        """Return what the first lines say; two directories can have the same folder."""
        text = files.head(seen.path)
        recorded = files.first_string(text, "cwd")
        elsewhere = lead.is_here(recorded) is False and folder_name(recorded or "") in folder_names(
            lead.directories
        )
        entry = files.first_string(text, "entrypoint")
        headless = entry is not None and entry.startswith("sdk") and not lead.says("-p", "--print")
        side = files.begins_with(text, "isSidechain", "true")
        return Known(
            here=not elsewhere,
            ours=not side,
            likely=not headless,
            continues=_CLEARED.search(text) is not None,
            begun=begun_live(seen, text),
        )

    def claimed(self, lead: Lead, pid: int) -> str:
        """Return the session that the register gives to another process."""
        session = self._record(lead, pid).get("sessionId")
        return str(session) if files.is_session(session) else ""

    def asked_for(self, lead: Lead) -> str:
        """Return the session of `--resume ID`, `-r ID`, `--session-id ID`; none when it becomes a new one."""
        session = lead.option("--session-id") or lead.option("--resume", "-r")
        return session if files.is_session(session) and not lead.says("--fork-session") else ""

    def places(self, lead: Lead) -> list[Path]:
        """Return the directory's folders, and the register, which changes with the session."""
        folders = self._folders(lead) or [self.projects(lead) / folder_name(lead.directories[0])]
        registry = self._registry(lead)
        return [
            *(folder / self._beneath for folder in folders),
            *([registry] if files.is_folder(registry) else []),
        ]

    def _registry(self, lead: Lead) -> Path:
        return self.root(lead.environment, lead.home) / "sessions"

    def _record(self, lead: Lead, pid: int) -> Mapping[str, object]:
        return register_entry(self._registry(lead), pid)

    def _session_file(self, lead: Lead, session: str, directory: str) -> Path | None:
        base = self.projects(lead)
        likely = [base / name for name in folder_names([directory, *lead.directories]) if name]
        for folder in (*likely, *files.folders(base)):
            path = files.owned(folder / self._beneath / f"{session}.jsonl", base)
            if path is not None:
                return path
        return None

    def _folders(self, lead: Lead) -> list[Path]:
        """Return the folders that stand for the directory, in whatever way a version spelt them."""
        names = folder_names(lead.directories)
        return [
            folder
            for folder in files.folders(files.real(self.projects(lead)))
            if _stands_for(folder.name, names)
        ]


class ClaudeStore(ProjectStore):
    """Claude Code's sessions."""

    def root(self, environment: Mapping[str, str], home: Path) -> Path:
        """Return `$CLAUDE_CONFIG_DIR`, else `~/.claude`."""
        return Path(environment.get("CLAUDE_CONFIG_DIR") or home / ".claude")


class QwenStore(ProjectStore):
    """Qwen Code's sessions."""

    def __init__(self) -> None:
        super().__init__("chats")

    def root(self, environment: Mapping[str, str], home: Path) -> Path:
        """Return `$QWEN_HOME`, else `~/.qwen`; the register is always there."""
        return _below_home(environment.get("QWEN_HOME", ""), home) or home / ".qwen"

    def projects(self, lead: Lead) -> Path:
        """Return `projects` in `$QWEN_RUNTIME_DIR`, else in the root."""
        told = _below_home(lead.environment.get("QWEN_RUNTIME_DIR", ""), lead.home)
        root = told or self.root(lead.environment, lead.home)
        return Path(lead.directories[0], root, "projects")


def _below_home(told: str, home: Path) -> Path | None:
    if told == "~" or told.startswith("~/"):
        return home / told[2:]
    return Path(told) if told else None


def _stands_for(folder: str, names: Iterable[str]) -> bool:
    spelt = folder_name(folder)
    return any(spelt == name or (len(name) > _CUT and spelt.startswith(name[:_CUT] + "-")) for name in names)
