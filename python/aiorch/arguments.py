"""What each command takes on the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path


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
    parser.add_argument("task", help="what is to be done; `-` reads it from standard input")
    parser.add_argument(
        "--workers",
        metavar="JSON",
        help='plan it yourself: [{"name": "api", "type": "claude"}]; `-` reads it',
    )
    _add_ask(parser)
    _add_waits(parser)


def _add_ask(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ask", action="store_true", help="let me look at the plan first, also where it would run"
    )


def _add_waits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", help="the same id never runs twice")
    parser.add_argument("--wait", action="store_true", help="until its workers have ended; print the results")
    _add_timeout(parser)
    _add_json(parser)


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=_timeout,
        metavar="SECONDS",
        help="wait no longer: exit code 124 (default: no limit)",
    )


def _add_spawn(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="what is to be done; `-` reads it from standard input")
    parser.add_argument(
        "--type", metavar="TYPE", help="an agent or a type of yours (default: the default type)"
    )
    parser.add_argument("--name", metavar="NAME", help="of the worker (default: made from the type)")
    parser.add_argument(
        "--after", metavar="NAME", action="append", help="begin when this worker is done; may be given again"
    )
    parser.add_argument("--host", metavar="HOST", help="where it is to run (default: here)")
    _add_ask(parser)
    _add_waits(parser)


def _add_wait(parser: argparse.ArgumentParser) -> None:
    _add_names(parser, "*", "WORKER|NUMBER", "workers, or directives by number (default: all workers)")
    parser.add_argument("--all", action="store_true", help="all workers of the run")
    _add_timeout(parser)
    _add_json(parser)


def _add_collect(parser: argparse.ArgumentParser) -> None:
    _add_names(parser, "*", "WORKER|NUMBER", "whose results (default: those that nobody has fetched yet)")
    parser.add_argument("--all", action="store_true", help="all results of the run")
    _add_json(parser)


def _add_logs(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the worker has ended")
    parser.add_argument("--lines", type=_count, metavar="N", help="only the last N lines")
    parser.add_argument("--screen", action="store_true", help="its pane as it looks now")
    _add_json(parser)


def _add_visit(parser: argparse.ArgumentParser) -> None:
    _add_name(parser)
    _add_client(parser)
    _add_json(parser)


def _add_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workers", nargs="*", metavar="WORKER", help="who is to read it")
    parser.add_argument("--all", action="store_true", help="all workers that can be told something")
    parser.add_argument("text", metavar="TEXT", help="what to say, after `--`; `-` reads standard input")
    _add_json(parser)


def _add_tell(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("who", choices=("lead",), help="the lead")
    parser.add_argument("text", metavar="TEXT", help="what to say; `-` reads standard input")
    _add_json(parser)


def _add_steer(parser: argparse.ArgumentParser) -> None:
    _add_names(parser, "+", "WORKER", "of workers")
    _add_json(parser)


def _add_names(parser: argparse.ArgumentParser, number: str, what: str, text: str) -> None:
    parser.add_argument("names", nargs=number, metavar=what, help=text)


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="for which shell")
    parser.add_argument("--words", nargs="*", help=argparse.SUPPRESS)


def _add_answer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", nargs="?", type=int, help="of the directive (default: all that wait)")
    parser.add_argument("--all", action="store_true", help="all that wait")
    _add_json(parser)


def _add_approve(parser: argparse.ArgumentParser) -> None:
    _add_answer(parser)
    parser.add_argument(
        "--drop", nargs="+", action="extend", default=[], metavar="NAME", help="leave these workers out"
    )
    parser.add_argument(
        "--workers", metavar="JSON", help="this plan instead, as in `aiorch run`; `-` is standard input"
    )
    parser.add_argument(
        "--always", action="store_true", help="do not ask again in this run for what this asked for"
    )


def _add_review(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "number", nargs="?", type=int, help="of the directive (default: the first that waits)"
    )


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
    parser.add_argument("--mcp", action="store_true", help="tell them of the MCP server instead")
    parser.add_argument("--remove", action="store_true", help="take it out again")
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


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no number of seconds")
    return seconds


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no number of lines")
    return int(text)


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


ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
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
    "approve": _add_approve,
    "review": _add_review,
    "decline": _add_answer,
    "spawn": _add_spawn,
    "wait": _add_wait,
    "collect": _add_collect,
    "logs": _add_logs,
    "jump": _add_visit,
    "attach": _add_visit,
    "retry": _add_steer,
    "kill": _add_steer,
    "pause": _add_steer,
    "send": _add_send,
    "tell": _add_tell,
    "tidy": _add_json,
    "stop": _add_json,
    "completion": _add_completion,
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
