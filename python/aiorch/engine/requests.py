"""Requests that arrive as files in the inbox: read, carried out, answered."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from aiorch import disk, paths
from aiorch.capture.directive import Directive, Source
from aiorch.engine.approval import read_number, read_terms
from aiorch.engine.intake import Answer, shown
from aiorch.engine.letters import Letter, forget, in_order, letters_in
from aiorch.errors import AiorchError, DirectiveError, DiskError
from aiorch.journal import ENDED, Tag
from aiorch.tmux.menu import open_menu
from aiorch.tree import TreeState
from aiorch.ui.menu import RunCommands, menu_arguments, permission_question
from aiorch.ui.terminal import printable
from aiorch.whole_file import write_whole

if TYPE_CHECKING:
    from aiorch.engine.run import Run

BATCH = 20
_BY_DOOR = frozenset({"run"})
_SOURCES = frozenset({Source.KEY, Source.MCP, Source.DOOR})
_UNFETCHED_SECONDS = 3600.0
# What these do is in the journal alone; the others may be done twice.
_JOURNALED = frozenset(
    [
        *("run", "approve", "decline", "retry", "kill", "pause", "resume"),
        *("merged", "discarded", "collected", "send"),
    ]
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
            "approve": lambda body, _: run.approval.approve(read_terms(body)),
            "decline": lambda body, _: run.approval.decline(read_number(body)),
            "plan": lambda body, _: run.approval.preview(read_terms(body)),
            "retry": self._steer(run.steering.retry, "queued", "is queued again"),
            "kill": self._steer(run.steering.kill, "stopping", "is told to stop"),
            "pause": self._steer(run.steering.pause, "paused", "is held"),
            "resume": self._steer(run.steering.go_on, "resumed", "goes on"),
            "collected": self._note_collected,
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
        for letter in waiting[:BATCH]:
            reply = self._run.journal.answer(letter.name) or self._answer(letter)
            self._reply(letter, reply)
            self._forget(letter)
            self._run.journal.forget_answer(letter.name)
        return len(waiting) > BATCH

    def refuse(self, reason: str) -> int:
        """Refuse all requests that are there, but those that are known to be carried out; return how many."""
        count = 0
        for letter in self._waiting():
            if self._run.journal.answer(letter.name) is None:
                count += 1
                self._reply(letter, {"ok": False, "error": reason})
                self._forget(letter)
        return count

    def _waiting(self) -> list[Letter]:
        return in_order(
            [*letters_in(self._run.paths.inbox, self._stuck), *self._run.door.letters(self._stuck)]
        )

    def tidy(self) -> None:
        """Delete answers that nobody has fetched for long: whoever asked is gone."""
        before = time.time() - _UNFETCHED_SECONDS
        with suppress(OSError), os.scandir(self._run.paths.answers) as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    Path(entry.path).unlink(missing_ok=True)

    def _reply(self, letter: Letter, reply: Mapping[str, object]) -> None:
        if letter.from_key:
            # Keys and menus wait for no answer.
            return
        try:
            write_whole(self._run.paths.answers / letter.name, json.dumps(reply))
        except OSError as error:
            if disk.is_refusal(error):
                raise DiskError(f"a request cannot be answered: {error}") from error
            log.exception("no answer to request %s", printable(letter.name))

    def _answer(self, letter: Letter) -> dict[str, object]:
        if self._run.over:
            # A worker started now would belong to nobody.
            return {"ok": False, "error": "the run was stopped"}
        try:
            return self._carry_out(letter)
        except (DiskError, sqlite3.Error):
            # It stays where it is, and is carried out once the journal can be written.
            raise
        except AiorchError as error:
            self._run.journal.add_event(Tag.ERROR, shown(str(error)))
            return {"ok": False, "error": printable(str(error))}
        except Exception as error:
            # Nothing that one request does may end the engine, least of all again after each restart.
            log.exception("request %s", printable(letter.name))
            self._forget(letter, keep=True)
            text = f"a request failed: {type(error).__name__}: {error}"
            self._run.journal.add_event(Tag.ERROR, f"{shown(text)} (see engine.log)")
            return {"ok": False, "error": printable(text)}

    def _forget(self, letter: Letter, *, keep: bool = False) -> None:
        if not forget(letter, keep=keep):
            self._stuck.add(letter.name)

    def _carry_out(self, letter: Letter) -> dict[str, object]:
        body = letter.read()
        word = str(body.get("verb"))
        verb = self._verbs.get(word)
        if verb is None:
            raise DirectiveError(f"unknown request {word!r:.60}")
        if not letter.is_direct:
            # Anybody in a sandbox may have written it: it asks for workers, as a line on the screen does.
            if word not in _BY_DOOR:
                raise DirectiveError(f"not allowed: from a sandbox a command may not {word}")
            body = {**body, "source": str(Source.DOOR)}
        # A worker's own directive is judged and written down like any other, so is what it tells the lead.
        elif verb not in (self._orchestrate, self._send) and self._caller(body):
            raise DirectiveError(f"not allowed: it came from a worker, and workers may not {word}")
        if word not in _JOURNALED:
            return _reply(verb(body, letter.path.stem))
        # The request is removed then: nobody could read it once more.
        with self._run.journal.transaction(durable=True):
            reply = _reply(verb(body, letter.path.stem))
            self._run.journal.keep_answer(letter.name, reply)
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
        asks = body.get("ask", False)
        if not isinstance(asks, bool):
            raise DirectiveError('"ask" must be true or false')
        given = str(body.get("source"))
        source = Source(given) if given in _SOURCES else Source.CLI
        text = json.dumps(payload, ensure_ascii=False)
        directive = Directive(payload, source, "request", f"inbox/{request}", text, request)
        caller, pid = self._caller(body), body.get("pid")
        # What comes by MCP or from a sandbox comes with less of an environment than the lead has.
        if isinstance(pid, int) and not caller and source in (Source.CLI, Source.KEY):
            self._run.primary.learn_environment(pid)
        return [self._run.intake.take(directive, caller=caller, asks=asks)]

    def _steer(self, act: Callable[[str], None], state: str, words: str) -> Verb:
        """Return what carries out a request about some workers, all of them or none, and says so."""

        def carry_out(body: Mapping[str, object], _: str) -> Answers:
            names = _names(body)
            with self._run.steering.all_or_none():
                for name in names:
                    act(name)
            return [Answer(None, state, f"{name} {words}", (name,)) for name in names]

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

    def _note_collected(self, body: Mapping[str, object], _: str) -> Answers:
        """Note that somebody has the results of workers: the lead is not told of them again."""
        journal, told = self._run.journal, body.get("told")
        if isinstance(told, int) and told > 0:
            journal.set_meta("told", told)
        found = journal.named(_names(body)).values() if body.get("names") else ()
        rows = [row for row in found if row.state in ENDED and not row.collected]
        self._run.post.note_fetched([row.number for row in found if row.state in ENDED])
        for row in rows:
            journal.set_worker(row.number, collected=time.time())
        if rows and body.get("by") == "hook":
            names = ", ".join(row.name for row in rows)
            journal.add_event(Tag.COLLECTED, f"the lead was given the results of {shown(names)}")
        return []

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


def _names(body: Mapping[str, object]) -> list[str]:
    """Return the workers that a request is about. Raises DirectiveError when it names none."""
    names = body.get("names", [body.get("name")])
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DirectiveError("the request names no worker")
    return list(dict.fromkeys(names))


def _reply(answers: Answers) -> dict[str, object]:
    return {"ok": True, "answers": [asdict(answer) for answer in answers]}
