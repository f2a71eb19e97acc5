"""The command line: reads arguments, calls what does the work, turns errors into sentences."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from aiorch import __version__
from aiorch.arguments import ARGUMENTS
from aiorch.errors import AiorchError

OVERVIEW = """aiorch: a lead AI agent delegates, workers appear in panes beside it.

  prefix + O                 adopt the current pane; later: the menu
  aiorch up                  a new session with an agent in three columns
  aiorch run "task"          delegate a task yourself
  aiorch status              the workers and their results
  aiorch wait                until they have ended, with their results
  aiorch stop                stop the run, the window is put back
  aiorch demo                see it work, with no key and no model
  aiorch init                teach your agents how to delegate
  aiorch doctor              what is there, what is wrong, how to mend it
  aiorch uninstall           take everything out again

  aiorch COMMAND --help      more about one command, with an example
"""


def build_parser(only: str = "") -> argparse.ArgumentParser:
    """Return the parser of all commands, or of one: to make them all takes longer than most commands."""
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
    # Named here: to make it up, argparse would load what it formats help with.
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", prog="aiorch")
    for name, text, example in _COMMANDS:
        if only not in ("", name):
            continue
        command = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}"
        )
        if name in ARGUMENTS:
            ARGUMENTS[name](command)
    for name in _INTERNAL:
        if only not in ("", name):
            continue
        command = commands.add_parser(name)
        if name in ARGUMENTS:
            ARGUMENTS[name](command)
    return parser


_COMMANDS = (
    ("start", "adopt a pane as the primary and open the columns around it", "aiorch start --agent claude"),
    ("up", "create or reattach a session with an agent in three columns", "aiorch up --agent claude"),
    ("run", "delegate a task", 'aiorch run "Build a REST API with tests" --wait'),
    ("spawn", "start one worker", 'aiorch spawn --type claude --name api -- "Write the routes"'),
    ("wait", "wait for workers to end and print their results", "aiorch wait api testing --timeout 600"),
    ("collect", "print the results of workers that have ended", "aiorch collect"),
    ("logs", "print what a worker says", "aiorch logs api --follow"),
    ("jump", "show a worker's pane", "aiorch jump api"),
    ("attach", "the same from a terminal outside of tmux", "aiorch --session work attach api"),
    ("status", "list the workers of this run", "aiorch status --json"),
    ("ps", "the same as status", "aiorch ps"),
    ("approve", "start the directives that wait for your answer", "aiorch approve 3"),
    (
        "review",
        "look at the directives that wait, change their plans, answer them",
        "aiorch review 3",
    ),
    ("decline", "decline the directives that wait for your answer", "aiorch decline --all"),
    ("retry", "try workers that ended once more", "aiorch retry testing"),
    ("kill", "end workers", "aiorch kill testing api"),
    ("pause", "hold workers where they are", "aiorch pause testing"),
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
    ("mcp", "serve agents by the Model Context Protocol", "claude mcp add aiorch -- aiorch mcp"),
    ("completion", "print what completes commands in a shell", 'eval "$(aiorch completion bash)"'),
    ("demo", "run the main job with scripted agents", "aiorch demo --headless"),
)
_INTERNAL = ("revive", "monitor", "new", "report")
_PLACES = ("--run", "--socket", "--session")


def command_in(argv: Sequence[str]) -> str:
    """Return the command that is called, '' when that is not clear without reading everything."""
    words = iter(argv)
    for word in words:
        if word in _PLACES:
            next(words, None)
        elif not word.startswith(tuple(f"{name}=" for name in _PLACES)):
            return word if any(word == name for name, *_ in _COMMANDS) or word in _INTERNAL else ""
    return ""


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
    given = list(sys.argv[1:] if argv is None else argv)
    options = build_parser(command_in(given)).parse_args(given)
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
