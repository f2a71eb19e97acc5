"""The command line: reads arguments, calls what does the work, turns errors into sentences."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aiorch import __version__
from aiorch.errors import AiorchError
from aiorch.messages import add_send, add_tell

OVERVIEW = """aiorch: a lead AI agent delegates, workers appear in panes beside it.

  prefix + O                 adopt the current pane; later: the menu
  aiorch up                  a new session with an agent in three columns
  aiorch run "task"          delegate a task yourself
  aiorch status              the workers and their results
  aiorch stop                stop the run, the window is put back
  aiorch demo                see it work, with no key and no model
  aiorch init                teach your agents how to delegate
  aiorch doctor              what is there, what is wrong, how to mend it
  aiorch uninstall           take everything out again

  aiorch COMMAND --help      more about one command, with an example
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="aiorch", description="Worker agents in tmux panes beside a lead agent."
    )
    parser.add_argument("--version", action="version", version=f"aiorch {__version__}")
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="the run directory (found by itself inside tmux)"
    )
    parser.add_argument(
        "--socket", metavar="PATH", help="the tmux socket (default: the one we are called in)"
    )
    parser.add_argument(
        "--session", metavar="NAME", help="the tmux session (default: the one we are called in)"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text, example in _COMMANDS:
        command = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}"
        )
        if name in _ARGUMENTS:
            _ARGUMENTS[name](command)
    for name in _INTERNAL:
        command = commands.add_parser(name)
        if name in _ARGUMENTS:
            _ARGUMENTS[name](command)
    return parser


_COMMANDS = (
    ("start", "adopt a pane as the primary and open the columns around it", "aiorch start --agent claude"),
    ("up", "create or reattach a session with an agent in three columns", "aiorch up --agent claude"),
    ("run", "delegate a task", 'aiorch run "Build a REST API with tests"'),
    ("status", "list the workers of this run", "aiorch status --json"),
    ("ps", "the same as status", "aiorch ps"),
    ("approve", "start the directives that wait for your answer", "aiorch approve 3"),
    ("decline", "decline the directives that wait for your answer", "aiorch decline --all"),
    ("retry", "try a worker that ended once more", "aiorch retry testing"),
    ("kill", "end a worker", "aiorch kill testing"),
    ("pause", "hold a worker where it is", "aiorch pause testing"),
    ("send", "tell workers something, as soon as it disturbs nobody", 'aiorch send testing -- "Go on"'),
    ("tell", "tell the lead something", 'aiorch tell lead "The tests fail"'),
    ("permit", "choose what workers may do by themselves, for good", "aiorch permit edit"),
    ("answer", "answer a worker that waits, in its own dialog", "aiorch answer testing"),
    ("next", "go to the next worker that waits for you", "aiorch next"),
    ("diff", "show what a worker changed in its own worktree", "aiorch diff testing --stat"),
    ("merge", "bring what a worker did in its own worktree into your branch", "aiorch merge testing"),
    (
        "discard",
        "remove a worker's worktree and branch, its work is kept under a ref",
        "aiorch discard testing",
    ),
    ("show", "show a directive as it was received", "aiorch show 3"),
    ("log", "print the event log", "aiorch log"),
    (
        "events",
        "print all that happened, for programs",
        "aiorch events --json --follow",
    ),
    ("export", "write a run as one file: a report, JSON or an archive", "aiorch export -o run.md"),
    (
        "prune",
        "delete runs that have ended, by age and by size",
        "aiorch prune --older-than 30d --max-size 500M --dry-run",
    ),
    (
        "agents",
        "list the agents, which are installed, in which version, and whether they start",
        "aiorch agents",
    ),
    ("init", "teach the agents of this project how to delegate", "aiorch init --agent claude --dry-run"),
    ("doctor", "tell what is there, what is wrong and how to mend it, and what may do what", "aiorch doctor"),
    ("tidy", "close the panes of finished workers", "aiorch tidy"),
    (
        "resume",
        "let a worker go on that was held, or a run that was cut off when tmux or the machine went down",
        "aiorch resume testing",
    ),
    ("stop", "stop all workers and put the window back", "aiorch stop"),
    (
        "replay",
        "print the directives that a recorded log of a pane gives",
        "aiorch replay raw.log --cols 80 --rows 24 --agent claude --json",
    ),
    (
        "explain",
        "tell what shows the state of a worker, or what a stored screen of an agent shows",
        "aiorch explain testing",
    ),
    ("demo", "run the main job with scripted agents", "aiorch demo --headless"),
)
_INTERNAL = ("revive", "monitor", "new")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_lead(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--client", metavar="NAME", help="the tmux client to show errors on")
    parser.add_argument("--agent", metavar="NAME", help="what runs in it (default: found by itself)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="instead of your config.toml")


def _add_start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pane", metavar="%N", help="the pane to adopt (default: this one)")
    _add_lead(parser)
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="begin a new run, with no offer to go on with one that was cut off",
    )


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "which",
        nargs="?",
        metavar="WORKER|RUN",
        help="in a session with a run the worker, else the run (default: the last one of this directory)",
    )
    parser.add_argument("--pane", metavar="%N", help="the pane of the lead (default: this one)")
    _add_lead(parser)
    parser.add_argument(
        "--rerun",
        action="store_true",
        help="run all workers that were cut off once more, not only those that may",
    )
    parser.add_argument("--list", action="store_true", help="list the runs that can go on")
    parser.add_argument("--drop", action="store_true", help="give the run up: it is not offered again")
    _add_json(parser)


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agent", metavar="NAME", help="the lead (default: the first agent found)")
    parser.add_argument(
        "--name", metavar="NAME", default="ai-orchestrator", help="of the session (default: %(default)s)"
    )
    parser.add_argument("--session", metavar="NAME", dest="name", help="the same as --name")
    parser.add_argument("--no-attach", action="store_true", help="leave it in the background")
    parser.add_argument("--config", type=Path, metavar="FILE", help="instead of your config.toml")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="what is to be done")
    parser.add_argument(
        "--workers", metavar="JSON", help='plan it yourself: [{"name": "api", "type": "claude"}]'
    )
    parser.add_argument("--id", help="the same id never runs twice")
    _add_json(parser)


def _add_answer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", nargs="?", type=int, help="of the directive (default: all that wait)")
    parser.add_argument("--all", action="store_true", help="all that wait")


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of the worker")


def _add_diff(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--stat", action="store_true", help="only the files and how many lines")
    _add_json(parser)


def _add_merge(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("--force", action="store_true", help="also while it is at work: what there is so far")


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--agent",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="the agents to teach (default: those that are installed; with --remove: all)",
    )
    parser.add_argument("--remove", action="store_true", help="take the section out again")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, write nothing")
    _add_json(parser)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    _add_json(parser)
    parser.add_argument(
        "--bundle",
        nargs="?",
        const="",
        metavar="FILE.tar.gz",
        help="write a bundle for a bug report (default: a new file here), without tasks and secrets",
    )
    parser.add_argument(
        "--with-tasks", action="store_true", help="put tasks, results and messages into it, too"
    )


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", required=True, dest="socket")
    parser.add_argument("--session", required=True, dest="session")


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", metavar="WORKER|NUMBER", help="the worker's name, or the directive's number in the event log"
    )
    _add_json(parser)


def _add_events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--after", type=int, default=0, metavar="N", help="only what has a higher number (default: all)"
    )
    parser.add_argument("--follow", action="store_true", help="go on until the run is stopped")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def _add_run_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_name", nargs="?", metavar="RUN", help="its name (default: that of this session)")


def _add_export(parser: argparse.ArgumentParser) -> None:
    _add_run_name(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to; `-` is standard output (default: a file called RUN)"
    )
    parser.add_argument(
        "--format",
        choices=("json", "markdown", "tar"),
        help="json: one object; markdown: a report; tar: the whole directory (default: as FILE ends, "
        "else markdown)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there")


def _seconds(text: str) -> float:
    return _quantity(text, {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}, "30d, 12h or 2w")


def _bytes(text: str) -> int:
    return int(
        _quantity(text.upper(), {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}, "500M or 2G")
    )


def _quantity(text: str, units: Mapping[str, int], examples: str) -> float:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([A-Za-z])", text)
    if match is None or match[2] not in units:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no such amount: write {examples}")
    return float(match[1]) * units[match[2]]


def _add_prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--older-than",
        type=_seconds,
        metavar="AGE",
        help="delete runs that were not touched for so long (default: keep_runs_days of config.toml)",
    )
    parser.add_argument(
        "--max-size", type=_bytes, metavar="SIZE", help="delete the oldest ones until the rest is no larger"
    )
    parser.add_argument(
        "--keep", type=int, default=0, metavar="N", help="keep the newest N whatever else is said"
    )
    parser.add_argument(
        "--unfinished",
        action="store_true",
        help="also those with unfinished or lost workers, with questions, or with a damaged journal",
    )
    parser.add_argument("--dry-run", action="store_true", help="tell what would be deleted, delete nothing")
    _add_json(parser)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("log", type=Path, metavar="RAW.log", help="the bytes as `pipe-pane` gave them")
    parser.add_argument(
        "--cols", type=int, default=80, metavar="N", help="of the pane (default: %(default)s)"
    )
    parser.add_argument(
        "--rows", type=int, default=24, metavar="N", help="of the pane (default: %(default)s)"
    )
    parser.add_argument(
        "--resizes",
        type=Path,
        metavar="FILE.json",
        help='its later sizes: [{"offset": 9, "cols": 80, "rows": 24}]',
    )
    parser.add_argument("--agent", metavar="NAME", help="what ran in it (default: a program we do not know)")
    parser.add_argument(
        "--session",
        type=Path,
        action="append",
        default=[],
        dest="session_files",
        metavar="FILE",
        help="the agent's own session file; may be given several times",
    )
    _add_json(parser)
    parser.add_argument("--all", action="store_true", help="also what does not count, with the reason")


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="WORKER", help="a worker of this run")
    parser.add_argument(
        "--agent", default="", metavar="NAME", help="whose screen (default: a program we do not know)"
    )
    parser.add_argument(
        "--screen",
        metavar="FILE",
        help="a stored screen: its rows, as `capture-pane -p` prints them; `-` is standard input",
    )
    parser.add_argument("--title", default="", metavar="TEXT", help="the title of the pane")
    parser.add_argument("--cols", type=int, metavar="N", help="of the pane (default: the longest row)")
    parser.add_argument(
        "--rows", type=int, metavar="N", help="of the pane: so many lines at the end count (default: all)"
    )
    _add_json(parser)


def _add_permit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "level", metavar="ask|edit|full", help="ask in their panes, edit files, do everything"
    )
    parser.add_argument("--client", metavar="NAME", help="the tmux client to show the answer on")


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="WORKER", help="the worker (default: the first that waits)"
    )


def _add_client(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--client", metavar="NAME", help="the tmux client (default: the one we are called in)"
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--headless", action="store_true", help="do not attach, also with a terminal")
    parser.add_argument("--keep", action="store_true", help="leave the demo's tmux server running")
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="F", help="how many times as fast (default: %(default)s)"
    )
    parser.add_argument(
        "--size",
        default="140x40",
        metavar="COLSxROWS",
        help="of the window without a terminal (default: %(default)s)",
    )


_ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "start": _add_start,
    "up": _add_up,
    "run": _add_run,
    "status": _add_json,
    "ps": _add_json,
    "agents": _add_json,
    "doctor": _add_doctor,
    "log": _add_json,
    "events": _add_events,
    "export": _add_export,
    "prune": _add_prune,
    "resume": _add_resume,
    "approve": _add_answer,
    "decline": _add_answer,
    "retry": _add_name,
    "kill": _add_name,
    "pause": _add_name,
    "send": add_send,
    "tell": add_tell,
    "permit": _add_permit,
    "answer": _add_waiting,
    "next": _add_client,
    "show": _add_show,
    "diff": _add_diff,
    "merge": _add_merge,
    "discard": _add_name,
    "init": _add_init,
    "replay": _add_replay,
    "explain": _add_explain,
    "demo": _add_demo,
    "revive": _add_place,
}


def _run_until_heard(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run a command; that who reads its output has seen enough is no error."""
    try:
        return run(options)
    except BrokenPipeError:
        # What is buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 fine, 1 it failed, 2 wrong usage, 3 no engine."""
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.command is None:
        print(OVERVIEW)  # noqa: T201 - the overview is the output
        return 0
    from aiorch import commands

    try:
        return _run_until_heard(commands.run, options)
    except AiorchError as error:
        if getattr(options, "client", None):
            commands.show_error(options, str(error))
        print(f"aiorch: {error}", file=sys.stderr)  # noqa: T201 - errors go to stderr
        return error.exit_code
    except KeyboardInterrupt:
        return 130
