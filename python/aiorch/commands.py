"""The commands behind the command line."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from aiorch import machine, paths, process
from aiorch.client import Place, locate, request
from aiorch.errors import AiorchError, EngineError, RequestError, UsageError
from aiorch.journal import ACTIVE, OPEN, DirectiveState, Journal, WorkerRow
from aiorch.journal.fault import reading
from aiorch.paths import RunPaths
from aiorch.tmux.menu import show
from aiorch.ui.messages import message_line, message_record
from aiorch.ui.report import overlap_notes, printable, use_color, worker_record, worker_table

SHOWN_MS = 5000


def run(options: argparse.Namespace) -> int:
    """Carry out the command that was parsed and return its exit code."""
    return _COMMANDS[options.command](options)


def show_error(options: argparse.Namespace, text: str) -> None:
    """Show an error on the tmux client that pressed the key; it stays until a key is pressed."""
    show(options.socket or "", options.client, f"aiorch: {text}")


def _start(options: argparse.Namespace) -> int:
    from aiorch.engine.start import start
    from aiorch.engine.target import Target

    place = locate(options.socket, options.session, options.pane)
    if options.client and not options.fresh and not place.run:
        from aiorch.resume import offer

        if offer(place, options.client):
            return 0
    config = options.config.resolve() if options.config else None
    target = Target(place.socket, place.session, place.pane, options.agent, config)
    root = start(target, paths.state_dir())
    if options.client:
        from aiorch.first_run import tell_of_choice

        tell_of_choice(place, options.client)
    _say(f"listening on pane {place.pane} (run {root.name})")
    return 0


def _up(options: argparse.Namespace) -> int:
    from aiorch import up

    return up.up(
        options.name, options.agent, options.config, attach=not options.no_attach, socket=options.socket
    )


def _run(options: argparse.Namespace) -> int:
    payload: dict[str, object] = {"task": options.task}
    if options.id:
        payload["id"] = options.id
    if options.workers:
        try:
            payload["workers"] = json.loads(options.workers)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"--workers is no JSON: {error}") from error
    reply = request(_root(options), {"verb": "run", "payload": payload, "source": "cli"})
    return _tell(reply, as_json=options.json)


def _status(options: argparse.Namespace) -> int:
    with _reading(options) as journal:
        rows = journal.workers()
        asking = journal.directives(DirectiveState.ASKING)
        trees, notes = journal.trees(), overlap_notes(rows, journal.overlaps())
        messages = [row for row in journal.messages() if row.state in OPEN]
    memory = {row.number: machine.resident(one.pid for one in process.tree(row.pid)) for row in _active(rows)}
    if options.json:
        waiting = [{"number": row.number, "payload": row.payload, "reason": row.reason} for row in asking]
        records = [worker_record(row, memory, trees, notes) for row in rows]
        facts = {"load": os.getloadavg()[0], "cores": os.cpu_count(), "free_memory": machine.free_memory()}
        letters = [message_record(row) for row in messages]
        told = {"workers": records, "asking": waiting, "messages": letters, "machine": facts}
        _say(json.dumps(told, indent=1))
        return 0
    _say(worker_table(rows, memory=memory, trees=trees, notes=notes) if rows else "no workers yet")
    if memory:
        _say(f"{machine.size(sum(memory.values()))} in {len(memory)} at work; {machine.described()}")
    for message in messages:
        _say(printable(message_line(message)))
    for row in asking:
        _say(printable(f"#{row.number} waits for your answer ({row.reason}): aiorch approve {row.number}"))
    return 0


def _active(rows: Sequence[WorkerRow]) -> list[WorkerRow]:
    return [row for row in rows if row.state in ACTIVE and process.is_same(row.pid, row.ticks)]


def _answer(options: argparse.Namespace) -> int:
    number = "" if options.all or options.number is None else str(options.number)
    return _tell(request(_root(options), {"verb": options.command, "number": number}))


def _named(options: argparse.Namespace) -> int:
    return _tell(request(_root(options), {"verb": options.command, "name": options.name}))


def _answer_worker(options: argparse.Namespace) -> int:
    from aiorch.answer import answer

    return answer(RunPaths(_root(options)), _socket(options), options.name)


def _next(options: argparse.Namespace) -> int:
    from aiorch.answer import go_to_next

    return go_to_next(RunPaths(_root(options)), _socket(options), options.client)


def _permit(options: argparse.Namespace) -> int:
    from aiorch.first_run import remember

    path = remember(options.level)
    said = printable(f'permissions = "{options.level}" is in {path}')
    if options.client:
        show(options.socket or "", options.client, f"aiorch: {said}", SHOWN_MS)
    _say(said)
    return 0


def _message(options: argparse.Namespace) -> int:
    from aiorch import messages

    does = {"send": messages.send, "tell": messages.tell}
    return does[options.command](_root(options), options)


def _stop(options: argparse.Namespace) -> int:
    return _tell(request(_root(options), {"verb": "stop"}))


def _tidy(options: argparse.Namespace) -> int:
    return _tell(request(_root(options), {"verb": "tidy"}))


def _show(options: argparse.Namespace) -> int:
    from aiorch.ui import worker_view
    from aiorch.ui.document import directive_record

    root, what = RunPaths(_root(options)), str(options.what).removeprefix("#")
    with reading(root.journal) as journal:
        number = int(what) if re.fullmatch("[0-9]{1,9}", what) else None
        row = None if number is None else journal.directive(number)
        worker = journal.named([what]).get(what) if row is None else None
        steps = [one for one in journal.transitions() if worker and one.worker == worker.number]
        decisions = [one for one in journal.decisions() if row and one.directive == row.number]
    if worker is not None:
        record = worker_view.view_record(worker, root.workers, steps) if options.json else {}
        _say(json.dumps(record, indent=1) if options.json else worker_view.view_text(worker, root.workers))
        return 0
    if row is None:
        kind = "worker" if number is None else "directive or worker"
        raise RequestError(f"this run has no {kind} {printable(what)}: `aiorch ps` lists the workers")
    if options.json:
        _say(json.dumps(directive_record(row, decisions), indent=1))
        return 0
    _say(printable(f"#{row.number} {row.state} {row.reason}".rstrip()))
    _say(printable(f"from {row.source} at {row.position}, received as:"))
    _say(printable(row.received_as))
    return 0


def _log(options: argparse.Namespace) -> int:
    from aiorch.ui.monitor import format_event

    with _reading(options) as journal:
        events = journal.events()
    for event in events:
        if options.json:
            _say(json.dumps({"time": event.time, "tag": event.tag, "text": event.text}))
        else:
            _say(format_event(replace(event, text=printable(event.text)), color=use_color()))
    return 0


def _events(options: argparse.Namespace) -> int:
    from aiorch.ui.feed import feed

    run, follow, as_json = RunPaths(_root(options)), options.follow, options.json
    for line in feed(run, options.after, follow=follow, as_json=as_json, color=use_color()):
        _say(line)
    return 0


def _export(options: argparse.Namespace) -> int:
    from aiorch.export import export

    return export(RunPaths(_named_root(options)), options)


def _prune(options: argparse.Namespace) -> int:
    from aiorch.config import load_config
    from aiorch.prune import command

    days = load_config(paths.config_dir() / "config.toml").keep_runs_days
    return command(options, paths.state_dir(), days)


def _monitor(options: argparse.Namespace) -> int:
    from aiorch.ui.monitor import follow

    follow(RunPaths(_root(options)))
    return 0


def _new(options: argparse.Namespace) -> int:
    _say("What is to be done? One line; an empty one cancels.\n")
    try:
        task = input("> ").strip()
    except EOFError:
        task = ""
    if not task:
        return 0
    reply = request(_root(options), {"verb": "run", "payload": {"task": task}, "source": "key"})
    return _tell(reply)


def _agents(options: argparse.Namespace) -> int:
    from aiorch.agents import as_json, as_text, installed
    from aiorch.workers.profile_file import load_profiles
    from aiorch.workers.role_trial import Proofs

    profiles = load_profiles(paths.config_dir() / "profiles")
    proofs = Proofs(paths.state_dir() / "roles.json")
    found = installed(profiles, os.environ.get("PATH", os.defpath), proofs)
    _say(as_json(found) if options.json else as_text(found))
    return 0


def _init(options: argparse.Namespace) -> int:
    from aiorch.teach import command

    return command.init(options)


def _doctor(options: argparse.Namespace) -> int:
    from aiorch.doctor.command import doctor

    return doctor(options)


def _demo(options: argparse.Namespace) -> int:
    from aiorch.demo import run as demo

    return demo.main(options)


def _explain(options: argparse.Namespace) -> int:
    from aiorch.explain import explain
    from aiorch.ui.explain import explained, explanation

    if options.name is None:
        return explain(options)
    if options.screen is not None:
        raise UsageError("name a worker or a stored screen, not both")
    with _reading(options) as journal:
        row = journal.named([options.name]).get(options.name)
        if row is None:
            raise RequestError(f"there is no worker {printable(options.name)} in this run")
        steps = [step for step in journal.transitions() if step.worker == row.number]
    now = time.time()
    _say(json.dumps(explained(row, steps, now), indent=1) if options.json else explanation(row, steps, now))
    return 0


def _replay(options: argparse.Namespace) -> int:
    from aiorch.replay import replay

    return replay(options)


def _work(options: argparse.Namespace) -> int:
    from aiorch import branches

    does = {"diff": branches.diff, "merge": branches.merge, "discard": branches.discard}
    return does[options.command](options)


def _resume(options: argparse.Namespace) -> int:
    from aiorch.resume import resume

    if options.which and not (options.list or options.drop or options.rerun):
        root = Path(options.run) if options.run else _run_here(options)
        if root is not None:
            return _tell(request(root, {"verb": "resume", "name": options.which}))
    return resume(options)


def _run_here(options: argparse.Namespace) -> Path | None:
    try:
        place = locate(options.socket, options.session, None)
    except AiorchError:
        return None
    return Path(place.run) if place.run else None


def _revive(options: argparse.Namespace) -> int:
    from aiorch.engine.revive import revive
    from aiorch.engine.target import Target

    return revive(Target(options.socket, options.session))


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "start": _start,
    "up": _up,
    "run": _run,
    "status": _status,
    "ps": _status,
    "approve": _answer,
    "decline": _answer,
    "retry": _named,
    "kill": _named,
    "pause": _named,
    "diff": _work,
    "merge": _work,
    "discard": _work,
    "stop": _stop,
    "tidy": _tidy,
    "send": _message,
    "tell": _message,
    "permit": _permit,
    "answer": _answer_worker,
    "next": _next,
    "show": _show,
    "log": _log,
    "export": _export,
    "prune": _prune,
    "events": _events,
    "monitor": _monitor,
    "new": _new,
    "agents": _agents,
    "init": _init,
    "doctor": _doctor,
    "replay": _replay,
    "explain": _explain,
    "demo": _demo,
    "resume": _resume,
    "revive": _revive,
}


def _reading(options: argparse.Namespace) -> AbstractContextManager[Journal]:
    """Open the journal of the run that the options mean, for reading."""
    return reading(RunPaths(_root(options)).journal)


def _socket(options: argparse.Namespace) -> str:
    """Return the tmux socket that is meant, '' for the one we are called in."""
    return options.socket or os.environ.get("TMUX", "").partition(",")[0]


def _named_root(options: argparse.Namespace) -> Path:
    """Return the run that is named, else that of the options. Raises UsageError when there is none."""
    if options.run_name is None:
        return _root(options)
    runs = paths.state_dir() / "runs"
    root = runs / str(options.run_name)
    if root.parent != runs or root.name.startswith(".") or not root.is_dir():
        raise UsageError(f"there is no run {printable(options.run_name)} in {runs}")
    return root


def _root(options: argparse.Namespace) -> Path:
    if options.run:
        return Path(options.run)
    place: Place = locate(options.socket, options.session, None)
    if not place.run:
        raise EngineError("this session has no run: press prefix + O in the lead's pane, or `aiorch start`")
    return Path(place.run)


def _tell(reply: dict[str, object], *, as_json: bool = False) -> int:
    answers = reply.get("answers")
    found = answers if isinstance(answers, list) else []
    for answer in found:
        _say(json.dumps(answer) if as_json else printable(str(answer["text"])))
    return 1 if any(answer["state"] in ("refused", "rejected") for answer in found) else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output
