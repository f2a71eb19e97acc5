"""Requests that arrive as files in the inbox: read, carried out, answered."""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from aiorch import disk, paths
from aiorch.capture.directive import Directive, Source
from aiorch.engine.intake import Answer, shown
from aiorch.errors import AiorchError, DirectiveError, DiskError
from aiorch.journal import Tag
from aiorch.tmux.menu import open_menu
from aiorch.tree import TreeState
from aiorch.ui.menu import RunCommands, menu_arguments, permission_question
from aiorch.ui.report import printable

if TYPE_CHECKING:
    from aiorch.engine.run import Run

MAX_REQUEST = 4 * 1024 * 1024
MAX_DEPTH = 64
BATCH = 20
_KEYS = ("key-", "menu-")
_UNFETCHED_SECONDS = 3600.0
# What these do is in the journal alone; the others may be done twice.
_JOURNALED = frozenset(
    {"run", "approve", "decline", "retry", "kill", "pause", "resume", "merged", "discarded", "send"}
)
Answers = list[Answer]
Verb = Callable[[Mapping[str, object], str], Answers]

log = logging.getLogger(__name__)


class Requests:
    """The run's inbox; every method is called on the engine's thread only."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._children: list[subprocess.Popen[bytes]] = []
        self._stuck: set[str] = set()
        self._verbs: dict[str, Verb] = {
            "menu": self._menu,
            "run": self._orchestrate,
            "approve": lambda body, _: run.intake.approve(_number(body)),
            "decline": lambda body, _: run.intake.decline(_number(body)),
            "retry": self._steer(run.steering.retry, "queued", "is queued again"),
            "kill": self._steer(run.steering.kill, "stopping", "is told to stop"),
            "pause": self._steer(run.steering.pause, "paused", "is held"),
            "resume": self._steer(run.steering.go_on, "resumed", "goes on"),
            "merged": self._note_work,
            "discarded": self._note_work,
            "send": self._send,
            "log": self._log,
            "layout": self._layout,
            "tidy": self._tidy,
            "stop": self._stop,
        }

    def read(self) -> bool:
        """Carry out requests, keys first, then the oldest; return whether there are more.

        Only BATCH of them at once: nothing else is done meanwhile. One that is broken is answered too.
        What changes the journal does so once: the answer is kept there until the request is gone.
        """
        self._children = [child for child in self._children if child.poll() is None]
        waiting = self._waiting()
        for path in waiting[:BATCH]:
            name = os.fsencode(path.name).decode("utf-8", "replace")
            reply = self._run.journal.answer(name) or self._answer(path, name)
            self._reply(path, reply)
            self._forget(path)
            self._run.journal.forget_answer(name)
        return len(waiting) > BATCH

    def refuse(self, reason: str) -> int:
        """Refuse all requests that are there, but those that are known to be carried out; return how many."""
        count = 0
        for path in self._waiting():
            name = os.fsencode(path.name).decode("utf-8", "replace")
            if self._run.journal.answer(name) is None:
                count += 1
                self._reply(path, {"ok": False, "error": reason})
                self._forget(path)
        return count

    def _waiting(self) -> list[Path]:
        inbox, found = self._run.paths.inbox, []
        try:
            with os.scandir(inbox) as entries:
                for entry in entries:
                    name = entry.name
                    if name.endswith(".json") and not name.startswith(".") and name not in self._stuck:
                        found.append((entry.stat(follow_symlinks=False).st_mtime_ns, name))
        except OSError:
            # Whoever deletes a run's directory takes its requests too; the workers are still looked after.
            log.exception("the inbox cannot be read")
        return [
            inbox / name for _, name in sorted(found, key=lambda one: (not one[1].startswith(_KEYS), one))
        ]

    def tidy(self) -> None:
        """Delete answers that nobody has fetched for long: whoever asked is gone."""
        before = time.time() - _UNFETCHED_SECONDS
        with suppress(OSError), os.scandir(self._run.paths.answers) as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    Path(entry.path).unlink(missing_ok=True)

    def _reply(self, path: Path, reply: Mapping[str, object]) -> None:
        if path.name.startswith(_KEYS):
            # Keys and menus wait for no answer.
            return
        try:
            _write_whole(self._run.paths.answers / path.name, json.dumps(reply))
        except OSError as error:
            if disk.is_refusal(error):
                raise DiskError(f"a request cannot be answered: {error}") from error
            log.exception("no answer to request %s", printable(path.name))

    def _answer(self, path: Path, name: str) -> dict[str, object]:
        if self._run.over:
            # A worker started now would belong to nobody.
            return {"ok": False, "error": "the run was stopped"}
        try:
            return self._carry_out(path, name)
        except (DiskError, sqlite3.Error):
            # It stays where it is, and is carried out once the journal can be written.
            raise
        except AiorchError as error:
            self._run.journal.add_event(Tag.ERROR, shown(str(error)))
            return {"ok": False, "error": printable(str(error))}
        except Exception as error:
            # Nothing that one request does may end the engine, least of all again after each restart.
            log.exception("request %s", printable(path.name))
            self._forget(path, keep=True)
            text = f"a request failed: {type(error).__name__}: {error}"
            self._run.journal.add_event(Tag.ERROR, f"{shown(text)} (see engine.log)")
            return {"ok": False, "error": printable(text)}

    def _forget(self, path: Path, *, keep: bool = False) -> None:
        """Take a request out of the inbox; to be looked at later it is kept in `inbox/.bad`."""
        if not keep:
            try:
                path.unlink(missing_ok=True)
                return
            except OSError:
                # A directory, for one: only moving rids us of it.
                log.warning("request %s cannot be removed", printable(path.name))
        self._set_aside(path)

    def _set_aside(self, path: Path) -> None:
        bad = path.parent / ".bad"
        try:
            bad.mkdir(mode=0o700, exist_ok=True)
            path.rename(bad / f"{time.time_ns()}.json")
        except FileNotFoundError:
            return
        except OSError:
            log.exception("request %s is ignored from now on", printable(path.name))
            self._stuck.add(path.name)

    def _carry_out(self, path: Path, name: str) -> dict[str, object]:
        body = _load(path)
        verb = self._verbs.get(str(body.get("verb")))
        if verb is None:
            raise DirectiveError(f"unknown request {body.get('verb')!r:.60}")
        # A worker's own directive is judged and written down like any other, so is what it tells the lead.
        if verb not in (self._orchestrate, self._send) and self._caller(body):
            raise DirectiveError(f"not allowed: it came from a worker, and workers may not {body['verb']}")
        if body["verb"] not in _JOURNALED:
            return _reply(verb(body, path.stem))
        # The request is removed then: nobody could read it once more.
        with self._run.journal.transaction(durable=True):
            reply = _reply(verb(body, path.stem))
            self._run.journal.keep_answer(name, reply)
        return reply

    def _caller(self, body: Mapping[str, object]) -> int:
        """Return the depth of the worker that asks, 0 when it is none.

        The command tells its pid; the menu and the key have none.
        """
        pid = body.get("pid")
        if pid is None:
            return 0
        if not isinstance(pid, int) or pid < 1:
            raise DirectiveError("the request's pid is no process id")
        return self._run.crew.caller_depth(pid)

    def _orchestrate(self, body: Mapping[str, object], request: str) -> Answers:
        payload = body.get("payload")
        if not isinstance(payload, dict):
            raise DirectiveError("the request has no payload")
        source = Source.KEY if body.get("source") == "key" else Source.CLI
        text = json.dumps(payload, ensure_ascii=False)
        directive = Directive(payload, source, "request", f"inbox/{request}", text, request)
        caller, pid = self._caller(body), body.get("pid")
        if isinstance(pid, int) and not caller:
            self._run.primary.learn_environment(pid)
        return [self._run.intake.take(directive, caller=caller)]

    def _steer(self, act: Callable[[str], None], state: str, words: str) -> Verb:
        """Return what carries out a request about one worker, and says so."""

        def carry_out(body: Mapping[str, object], _: str) -> Answers:
            name = str(body.get("name"))
            act(name)
            return [Answer(None, state, f"{name} {words}")]

        return carry_out

    def _note_work(self, body: Mapping[str, object], _: str) -> Answers:
        """Write down what a command did with a worker's worktree."""
        name, journal = str(body.get("name")), self._run.journal
        row = journal.named([name]).get(name)
        if row is None:
            raise DirectiveError(f"there is no worker {name} in this run")
        is_gone = body["verb"] == "discarded"
        if is_gone:
            journal.set_tree_state(row.number, TreeState.DISCARDED)
        journal.add_event(Tag.DISCARDED if is_gone else Tag.MERGED, shown(str(body.get("text"))))
        return []

    def _send(self, body: Mapping[str, object], _: str) -> Answers:
        # Raises for a pid that is none.
        self._caller(body)
        pid = body.get("pid")
        return self._run.post.send(body.get("to"), body.get("text"), pid if isinstance(pid, int) else None)

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
        alive = [info.pane for info in run.session.panes()]
        question = permission_question(paths.own_command(), client) if run.renewal.lacks_permissions else []
        items = menu_arguments(
            run.journal.workers(), run.asking(), commands, alive, self._height(client), question
        )
        self._children.append(open_menu(run.socket, client, "aiorch", items))
        return []

    def _height(self, client: str) -> int | None:
        """Return how many rows a client has, None when tmux does not know it."""
        # Clients of any session: the key may have been pressed in one that only shows our window.
        rows = self._run.session.control.try_run("list-clients", "-F", "#{client_height} #{client_name}")
        found = {name: height for height, _, name in (row.partition(" ") for row in rows or [])}
        # Control clients have no height.
        return int(found[client]) if found.get(client, "").isdecimal() else None


def _load(path: Path) -> Mapping[str, object]:
    try:
        # Not blocking: anybody who can write here can also make a pipe that never has a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DirectiveError("a request could not be read: it is no regular file")
            data = file.read(MAX_REQUEST + 1)
        body = json.loads(data) if len(data) <= MAX_REQUEST else None
        if _is_too_deep(body):
            raise DirectiveError(f"a request may be nested {MAX_DEPTH} deep at most")
        # Half of a surrogate pair can be written in JSON, but not in a database.
        json.dumps(body, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise DirectiveError(f"a request could not be read: {error}") from error
    if not isinstance(body, dict):
        raise DirectiveError("a request must be one JSON object of at most 4 MiB")
    return body


def _is_too_deep(body: object) -> bool:
    level = [body]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def _children(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    # A file of its own: what lies there already may be a link or a pipe.
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def _number(body: Mapping[str, object]) -> int | None:
    """Return the directive that is meant, None for all. Raises DirectiveError when it is no number."""
    text = str(body.get("number", ""))
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise DirectiveError(f"{text!r:.60} is no number of a directive")
    return int(text)


def _reply(answers: Answers) -> dict[str, object]:
    return {"ok": True, "answers": [asdict(answer) for answer in answers]}
