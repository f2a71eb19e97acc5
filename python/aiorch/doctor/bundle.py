"""The bundle for a bug report: what was found, and the outline of runs, without what is private."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiorch.doctor import engine_log, journal_outline, vocabulary
from aiorch.doctor.finding import Finding, Part
from aiorch.doctor.options import declared_options
from aiorch.doctor.redact import LEFT_OUT, Redactor
from aiorch.doctor.scene import Scene
from aiorch.doctor.sessions import runs_of
from aiorch.doctor.words import Size, shown
from aiorch.errors import BundleError
from aiorch.paths import RunPaths
from aiorch.tmux.hooks import INDEX, LOST, PIPED
from aiorch.ui.terminal import printable

LAST_RUNS = 3
_LOG_BYTES = 1 << 20
_FULL_LOG_BYTES = 4 << 20
_TMUX_OPTIONS = (
    "window-size", "remain-on-exit", "detach-on-destroy", "destroy-unattached", "exit-empty", "history-limit",
    "status", "status-interval", "status-right-length", "base-index", "pane-base-index", "renumber-windows",
    "mouse", "focus-events", "escape-time", "aggressive-resize", "allow-passthrough",
)  # fmt: skip
_OWN_STATE = ("@aiorch_dir", "@aiorch_key", "@aiorch_error", "@aiorch_segment", "@aiorch_status_length")
_LEFT_OUT = (
    "Left out: tasks, results, messages, names of sessions, workers and files of yours, values of environment"
    f" variables, and what else you or a program wrote ({LEFT_OUT} stands for it)."
)
_WITH_TASKS = "With tasks, results and messages, as you wished. Values of environment variables are left out."
_NAMES = "Your home directory is written ~, your name <user>, the name of this machine <host>."


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the bundle, and what it is."""

    name: str
    about: str
    text: str


def write_bundle(
    scene: Scene,
    parts: Sequence[Part],
    findings: Sequence[Finding],
    target: str,
    *,
    tasks: bool = False,
    as_json: bool = False,
) -> None:
    """Write the bundle to a new file and tell what is in it; raises BundleError."""
    path = Path(target or time.strftime("aiorch-doctor-%Y%m%d-%H%M%S.tar.gz"))
    members = list(gather(scene, parts, findings, Redactor(scene.env, tasks=tasks)))
    left_out = f"{_WITH_TASKS if tasks else _LEFT_OUT} {_NAMES}"
    lines = "".join(f"{one.name}: {one.about}\n" for one in members)
    members.insert(0, Member("CONTENTS.txt", "this list", f"{lines}\n{left_out}\n"))
    _write(path, packed(members))
    if as_json:
        files = [{"name": one.name, "about": one.about, "size": len(one.text.encode())} for one in members]
        record = {"bundle": str(path), "with_tasks": tasks, "left_out": left_out, "files": files}
        print(json.dumps(record, indent=1))  # noqa: T201 - the command's output
        return
    print(told(path, members, left_out))  # noqa: T201 - the command's output


def gather(
    scene: Scene, parts: Sequence[Part], findings: Sequence[Finding], redact: Redactor
) -> Iterator[Member]:
    """Yield the files of the bundle."""
    facts = {part.area: redact.value(part.facts) for part in parts}
    found = [
        {
            "area": one.area,
            "level": str(one.level),
            "text": redact.value(one.text),
            "remedy": redact.value(one.remedy),
            "commands": [redact.value(line) for line in one.commands],
        }
        for one in findings
    ]
    yield Member("doctor.json", "what `aiorch doctor` found", _json({"facts": facts, "findings": found}))
    if scene.server is not None:
        yield Member("tmux.json", "the tmux server and the options that matter", _json(_tmux(scene)))
    for number, root in enumerate(_runs(scene), 1):
        name = root.name if vocabulary.RUN_NAME.fullmatch(root.name) else f"run-{number}"
        yield from _run(f"runs/{name}", RunPaths(root), redact)


def packed(members: Sequence[Member]) -> bytes:
    """Return a tar.gz of the files that names neither its own file nor its writer."""
    raw = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file,
        tarfile.open(fileobj=file, mode="w") as archive,
    ):
        for one in members:
            data = one.text.encode("utf-8", "backslashreplace")
            info = tarfile.TarInfo(f"aiorch-doctor/{one.name}")
            info.size, info.mode, info.mtime = len(data), 0o600, int(time.time())
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def told(path: Path, members: Sequence[Member], left_out: str) -> str:
    """Return what the user is told about the bundle that was written."""
    longest = max(len(one.name) for one in members)
    rows = [f"  {one.name.ljust(longest)}  {shown(Size(len(one.text.encode()))):>10}" for one in members]
    head = printable(f"written: {path} ({shown(Size(path.stat().st_size))}, readable by you alone)")
    look = printable(f"  tar -xzOf {path} | less")
    return "\n".join(
        [head, "", *rows, "", textwrap.fill(left_out, 80), "", "Look at it before you send it:", look]
    )


def _run(folder: str, run: RunPaths, redact: Redactor) -> Iterator[Member]:
    journal = _json(journal_outline.outline(run.journal))
    yield Member(f"{folder}/journal.json", "the journal without its texts", journal)
    events = "".join(f"{json.dumps(one)}\n" for one in journal_outline.events(run.journal))
    yield Member(f"{folder}/events.jsonl", "the event log, with texts that are ours alone", events)
    with suppress(OSError):
        text = engine_log.outline(engine_log.read_tail(run.engine_log, _LOG_BYTES))
        yield Member(f"{folder}/engine.log", "times, levels and places in code of engine.log", text)
    if redact.tasks:
        full = redact.json(journal_outline.texts(run.journal))
        yield Member(f"{folder}/journal-with-tasks.json", "all of the journal", full)
        with suppress(OSError):
            text = redact.text(engine_log.read_tail(run.engine_log, _FULL_LOG_BYTES))
            yield Member(f"{folder}/engine-with-messages.log", "all of engine.log", text)


def _runs(scene: Scene) -> list[Path]:
    """Return the runs of live sessions, the one that was named, and the last ones on this machine."""
    live = list(runs_of(scene).values()) if scene.server else []
    named = [scene.run] if scene.run else []
    last = sorted(scene.survey.runs, key=lambda root: root.name, reverse=True)[:LAST_RUNS]
    return [root for root in dict.fromkeys((*named, *live, *last)) if root.is_dir()]


def _tmux(scene: Scene) -> dict[str, object]:
    """Return what matters of the server: versions, numbers, options of which no value is anybody's words."""
    ask, server = scene.ask.look, scene.server
    own = {name: ask("show-options", "-gqv", name) for name in declared_options()}
    options = {name: ask("show-options", "-gqv", name) for name in _TMUX_OPTIONS}
    windows = {name: ask("show-options", "-gwqv", name) for name in _TMUX_OPTIONS if not options[name]}
    clients = ask(
        "list-clients", "-F", "#{client_control_mode} #{client_utf8} #{client_width} #{client_height}"
    )
    counts = {name: len(ask(f"list-{name}", *flag, "-F", "x").split()) for name, flag in _LISTS.items()}
    hooks = ask("show-hooks", "-g")
    return {
        "version": server.version if server else None,
        "pid": server.pid if server else None,
        "started": server.started if server else None,
        **counts,
        "clients": [
            dict(zip(("control", "utf8", "columns", "rows"), map(int, row), strict=True))
            for row in (line.split() for line in clients.splitlines())
            if len(row) == 4 and all(word.isdecimal() for word in row)
        ],
        "options": {name: _word(value) for name, value in {**options, **windows}.items() if value},
        "options_of_aiorch": {name: _own_word(value) for name, value in own.items()},
        "set_by_aiorch": [name for name in _OWN_STATE if ask("show-options", "-gqv", name)],
        "hooks": [name for name in (LOST, PIPED) if f"{name}[{INDEX}]" in hooks],
    }


_LISTS = {"sessions": (), "windows": ("-a",), "panes": ("-a",)}


def _word(value: str) -> str:
    return vocabulary.tmux_value(value) or LEFT_OUT


def _own_word(value: str) -> str:
    known = value in ("", "auto", "manual", "unicode", "ascii", "on", "off")
    return value if known or value.isdecimal() or len(value) == 1 else LEFT_OUT


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _write(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read; raises BundleError when there is one already."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError as error:
        raise BundleError(f"{path} is there already: name another file") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be written ({error.strerror}): name another file") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise BundleError(f"{path} cannot be written: {error.strerror}") from error
