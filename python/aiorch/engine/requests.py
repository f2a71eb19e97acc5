"""Requests that arrive as files in the inbox: read, carried out, answered."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aiorch import paths
from aiorch.capture.directive import Directive, Source
from aiorch.engine.intake import Answer
from aiorch.errors import AiorchError, DirectiveError
from aiorch.journal import Tag
from aiorch.ui.menu import RunCommands, menu_arguments

if TYPE_CHECKING:
    from aiorch.engine.run import Run

MAX_REQUEST = 4 * 1024 * 1024
Answers = list[Answer]


class Requests:
    """The run's inbox; every method is called on the engine's thread only."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._children: list[subprocess.Popen[bytes]] = []
        self._verbs: dict[str, Callable[[Mapping[str, object], str], Answers]] = {
            "menu": self._menu,
            "run": self._orchestrate,
            "approve": lambda body, _: run.intake.approve(_number(body)),
            "decline": lambda body, _: run.intake.decline(_number(body)),
            "retry": self._retry,
            "kill": self._kill,
            "log": self._log,
            "layout": self._layout,
            "tidy": self._tidy,
            "stop": self._stop,
        }

    def read(self) -> None:
        """Carry out all requests that are there, oldest first; one that is broken is answered too."""
        self._children = [child for child in self._children if child.poll() is None]
        inbox = self._run.paths.inbox
        files = [path for path in inbox.iterdir() if path.suffix == ".json" and not path.name.startswith(".")]
        for path in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name)):
            try:
                answers = self._carry_out(path)
                reply: dict[str, object] = {"ok": True, "answers": [_record(answer) for answer in answers]}
            except AiorchError as error:
                self._run.journal.add_event(Tag.ERROR, str(error))
                reply = {"ok": False, "error": str(error)}
            # Answered first, then forgotten: a request is carried out twice rather than lost, and its id
            # (the file's name) keeps a directive from running twice.
            _write_whole(self._run.paths.answers / path.name, json.dumps(reply))
            path.unlink(missing_ok=True)

    def _carry_out(self, path: Path) -> Answers:
        body = _load(path)
        verb = self._verbs.get(str(body.get("verb")))
        if verb is None:
            raise DirectiveError(f"unknown request {body.get('verb')!r:.60}")
        return verb(body, path.stem)

    def _orchestrate(self, body: Mapping[str, object], request: str) -> Answers:
        payload = body.get("payload")
        if not isinstance(payload, dict):
            raise DirectiveError("the request has no payload")
        source = Source.KEY if body.get("source") == "key" else Source.CLI
        text = json.dumps(payload, ensure_ascii=False)
        directive = Directive(payload, source, "request", f"inbox/{request}", text, request)
        pid = body.get("pid")
        from_worker = isinstance(pid, int) and self._run.crew.is_worker(pid)
        return [self._run.intake.take(directive, from_worker=from_worker)]

    def _retry(self, body: Mapping[str, object], _: str) -> Answers:
        self._run.crew.retry(str(body.get("name")))
        return [Answer(None, "queued", f"{body.get('name')} is queued again")]

    def _kill(self, body: Mapping[str, object], _: str) -> Answers:
        self._run.crew.kill(str(body.get("name")))
        return [Answer(None, "stopping", f"{body.get('name')} is told to stop")]

    def _log(self, _body: Mapping[str, object], _: str) -> Answers:
        self._run.columns.reopen()
        return []

    def _layout(self, _body: Mapping[str, object], _: str) -> Answers:
        self._run.columns.even()
        return []

    def _tidy(self, _body: Mapping[str, object], _: str) -> Answers:
        return [Answer(None, "closed", f"{self._run.crew.tidy()} panes of finished workers closed")]

    def _stop(self, _body: Mapping[str, object], _: str) -> Answers:
        self._run.stop()
        return [Answer(None, "stopped", "all workers were told to stop, the window is as it was")]

    def _menu(self, body: Mapping[str, object], _: str) -> Answers:
        run, client = self._run, str(body.get("client", ""))
        commands = RunCommands(
            str(paths.script("request.sh")),
            str(run.paths.inbox),
            paths.own_command("--run", str(run.paths.root)),
        )
        items = menu_arguments(
            run.journal.workers(), run.asking(), commands, [info.pane for info in run.session.panes()]
        )
        argv = [
            "tmux",
            "-S",
            run.socket,
            "display-menu",
            "-c",
            client,
            "-T",
            " aiorch ",
            "-x",
            "C",
            "-y",
            "C",
        ]
        # display-menu holds its client's queue until the menu closes: never through the control client.
        env = {name: value for name, value in os.environ.items() if name not in ("TMUX", "TMUX_PANE")}
        self._children.append(subprocess.Popen([*argv, "--", *items], env=env, stderr=subprocess.DEVNULL))
        return []


def _load(path: Path) -> Mapping[str, object]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_REQUEST + 1)
        body = json.loads(data) if len(data) <= MAX_REQUEST else None
    except (OSError, ValueError, RecursionError) as error:
        raise DirectiveError(f"a request could not be read: {error}") from error
    if not isinstance(body, dict):
        raise DirectiveError("a request must be one JSON object of at most 4 MiB")
    return body


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    temporary.replace(path)


def _number(body: Mapping[str, object]) -> int | None:
    text = str(body.get("number", ""))
    return int(text) if text.isdigit() else None


def _record(answer: Answer) -> dict[str, object]:
    return {"number": answer.number, "state": answer.state, "text": answer.text}
