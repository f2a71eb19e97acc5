"""Commands that hand the engine one request and print its answer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from aiorch.client import request
from aiorch.given import text_given, workers_given
from aiorch.places import root_of, run_here
from aiorch.questions import request_body
from aiorch.ui.terminal import printable, say

_REFUSED = ("refused", "rejected")


def run(options: argparse.Namespace) -> int:
    """Delegate a task, and wait for its workers when asked to; return the exit code."""
    payload: dict[str, object] = {"task": text_given(options.task)}
    if options.id:
        payload["id"] = options.id
    if options.workers:
        payload["workers"] = workers_given(options.workers)
    return _delegate(options, payload)


def spawn(options: argparse.Namespace) -> int:
    """Start one worker of a type, and wait for it when asked to; return the exit code."""
    task = text_given(options.task)
    worker: dict[str, object] = {"task": task}
    for name in ("name", "type", "after", "host"):
        if getattr(options, name):
            worker[name] = getattr(options, name)
    payload: dict[str, object] = {"task": task, "workers": [worker]}
    if options.id:
        payload["id"] = options.id
    return _delegate(options, payload)


def answer(options: argparse.Namespace) -> int:
    """Approve or decline directives that wait; return the exit code."""
    return tell(request(root_of(options), request_body(options)), options)


def steer(options: argparse.Namespace) -> int:
    """Kill, retry or pause workers by their names; return the exit code."""
    names = list(dict.fromkeys(options.names))
    return tell(request(root_of(options), {"verb": options.command, "names": names}), options)


def plain(options: argparse.Namespace) -> int:
    """Ask for what needs no more than its name; return the exit code."""
    return tell(request(root_of(options), {"verb": options.command}), options)


def resume(options: argparse.Namespace) -> int:
    """Let a worker go on that was held, or a run that was cut off; return the exit code."""
    if options.which and not (options.list or options.drop or options.rerun):
        root = Path(options.run) if options.run else run_here(options)
        if root is not None:
            return tell(request(root, {"verb": "resume", "name": options.which}), options)
    from aiorch.resume import resume as resume_run

    return resume_run(options)


def new(options: argparse.Namespace) -> int:
    """Ask the user on this terminal what is to be done, and delegate it; return the exit code."""
    say("What is to be done? One line; an empty one cancels.\n")
    try:
        task = input("> ").strip()
    except EOFError:
        task = ""
    if not task:
        return 0
    body = {"verb": "run", "payload": {"task": task}, "source": "key"}
    return tell(request(root_of(options), body), options)


def tell(reply: Mapping[str, object], options: argparse.Namespace) -> int:
    """Print the engine's answers, a line each; return 1 when it refused one."""
    found = answers_of(reply)
    for one in found:
        say(json.dumps(one) if getattr(options, "json", False) else printable(str(one["text"])))
    return 1 if any(one["state"] in _REFUSED for one in found) else 0


def answers_of(reply: Mapping[str, object]) -> list[dict[str, object]]:
    """Return what the engine answered: `number`, `state`, `text` and `workers` each."""
    answers = reply.get("answers")
    return list(answers) if isinstance(answers, list) else []


def _delegate(options: argparse.Namespace, payload: Mapping[str, object]) -> int:
    root = root_of(options)
    reply = request(root, {"verb": "run", "payload": payload, "source": "cli", "ask": options.ask})
    if not options.wait:
        return tell(reply, options)
    from aiorch import waiting

    found = answers_of(reply)
    numbers = [one["number"] for one in found if one["state"] not in _REFUSED]
    if not numbers or None in numbers:
        return tell(reply, options)
    for one in found:
        print(printable(str(one["text"])), file=sys.stderr, flush=True)  # noqa: T201 - progress
    wanted = waiting.Wanted((), tuple(int(str(number)) for number in numbers))
    return waiting.wait(root, wanted, options.timeout, as_json=options.json)


def by_name(names: Iterable[str]) -> tuple[list[str], list[int]]:
    """Return workers' names and directives' numbers of what the user named: `api`, `3` or `#3`."""
    workers: list[str] = []
    numbers: list[int] = []
    for name in names:
        bare = name.removeprefix("#")
        is_number = bare.isascii() and bare.isdigit() and len(bare) < 10
        if is_number:
            numbers.append(int(bare))
        else:
            workers.append(name)
    return workers, numbers
