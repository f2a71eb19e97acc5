"""The commands behind the command line; what each needs is loaded only when it is called."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from importlib import import_module

from aiorch import paths
from aiorch.paths import RunPaths
from aiorch.places import locate, named_root, root_of, socket_of
from aiorch.ui.terminal import printable, say

SHOWN_MS = 5000


def run(options: argparse.Namespace) -> int:
    """Carry out the command that was parsed and return its exit code."""
    found = _COMMANDS[options.command]
    if isinstance(found, str):
        module, _, name = found.partition(":")
        found = getattr(import_module(f"aiorch.{module}"), name)
    return found(options)


def show_error(options: argparse.Namespace, text: str) -> None:
    """Show an error on the tmux client that pressed the key; it stays until a key is pressed."""
    from aiorch.tmux.menu import show

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
    say(f"listening on pane {place.pane} (run {root.name})")
    return 0


def _up(options: argparse.Namespace) -> int:
    from aiorch import up

    return up.up(
        options.name, options.agent, options.config, attach=not options.no_attach, socket=options.socket
    )


def _answer_worker(options: argparse.Namespace) -> int:
    from aiorch.answer import answer

    return answer(RunPaths(root_of(options)), socket_of(options), options.name)


def _review(options: argparse.Namespace) -> int:
    from aiorch.review import review

    return review(RunPaths(root_of(options)), options.number)


def _next(options: argparse.Namespace) -> int:
    from aiorch.answer import go_to_next

    return go_to_next(RunPaths(root_of(options)), socket_of(options), options.client)


def _permit(options: argparse.Namespace) -> int:
    from aiorch.first_run import remember

    path = remember(options.level)
    said = printable(f'permissions = "{options.level}" is in {path}')
    if options.client:
        from aiorch.tmux.menu import show

        show(options.socket or "", options.client, f"aiorch: {said}", SHOWN_MS)
    say(said)
    return 0


def _export(options: argparse.Namespace) -> int:
    from aiorch.export import export

    return export(RunPaths(named_root(options)), options)


def _prune(options: argparse.Namespace) -> int:
    from aiorch.config import load_config
    from aiorch.prune import command

    days = load_config(paths.config_dir() / "config.toml").keep_runs_days
    return command(options, paths.state_dir(), days)


def _monitor(options: argparse.Namespace) -> int:
    from aiorch.ui.monitor import follow

    follow(RunPaths(root_of(options)))
    return 0


def _agents(options: argparse.Namespace) -> int:
    from aiorch.agents import as_json, as_text, installed
    from aiorch.workers.profile_file import load_profiles
    from aiorch.workers.role_trial import Proofs

    profiles = load_profiles(paths.config_dir() / "profiles")
    proofs = Proofs(paths.state_dir() / "roles.json")
    found = installed(profiles, os.environ.get("PATH", os.defpath), proofs)
    say(as_json(found) if options.json else as_text(found))
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


def _replay(options: argparse.Namespace) -> int:
    from aiorch.replay import replay

    return replay(options)


def _work(options: argparse.Namespace) -> int:
    from aiorch import branches

    does = {"diff": branches.diff, "merge": branches.merge, "discard": branches.discard}
    return does[options.command](options)


def _revive(options: argparse.Namespace) -> int:
    from aiorch.engine.revive import revive
    from aiorch.engine.target import Target

    return revive(Target(options.socket, options.session))


_COMMANDS: dict[str, str | Callable[[argparse.Namespace], int]] = {
    "run": "calls:run",
    "spawn": "calls:spawn",
    "status": "views:status",
    "ps": "views:status",
    "approve": "calls:answer",
    "decline": "calls:answer",
    "retry": "calls:steer",
    "kill": "calls:steer",
    "pause": "calls:steer",
    "stop": "calls:plain",
    "tidy": "calls:plain",
    "resume": "calls:resume",
    "new": "calls:new",
    "wait": "waiting:command",
    "collect": "waiting:collect",
    "logs": "words:logs",
    "jump": "visit:visit",
    "attach": "visit:visit",
    "show": "views:show",
    "log": "views:log",
    "events": "views:events",
    "explain": "views:explain",
    "completion": "completion:command",
    "report": "reporting:command",
    "review": _review,
    "send": "messages:send",
    "tell": "messages:tell",
    "mcp": "mcp.server:serve",
    "start": _start,
    "up": _up,
    "diff": _work,
    "merge": _work,
    "discard": _work,
    "permit": _permit,
    "answer": _answer_worker,
    "next": _next,
    "export": _export,
    "prune": _prune,
    "monitor": _monitor,
    "agents": _agents,
    "init": _init,
    "doctor": _doctor,
    "replay": _replay,
    "demo": _demo,
    "revive": _revive,
}
