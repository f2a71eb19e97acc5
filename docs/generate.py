"""Write the tables of the documentation from the code that they describe: generate.py [--check].

A table stands between `<!-- table NAME -->` and `<!-- end -->`. With --check nothing is written, and the
exit code is 1 when a table is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))

from aiorch import cli, trust  # noqa: E402
from aiorch.config import (  # noqa: E402
    ISOLATIONS,
    MODES,
    PERMISSIONS,
    RATE_LIMIT,
    SANDBOXES,
    TERMINAL_NOTES,
    Config,
    Notify,
    UserType,
    load_config,
)
from aiorch.journal import WorkerState  # noqa: E402
from aiorch.plan.rules import Rule  # noqa: E402
from aiorch.ui.status import StatusStyle, status_text  # noqa: E402
from aiorch.workers.profile import AgentProfile  # noqa: E402
from aiorch.workers.profile_file import load_profiles  # noqa: E402

OPTIONS_FILE = ROOT / "scripts/options.conf"
_NO_ARGUMENTS = argparse._HelpAction | argparse._VersionAction | argparse._SubParsersAction
BLOCK = re.compile(r"(<!-- table (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_OPTION = re.compile(r"set-option -ogq (@aiorch-[a-z-]+) (.*)")

# Served by the launcher script, which works without Python.
UNINSTALL = ("uninstall", "take everything out of tmux and the home directory again", "[--purge]")

# What each key of config.toml may be and means. A key without a row here, or a row without its key,
# fails the tests.
SETTINGS: Mapping[str, tuple[str, str]] = {
    "max_workers": (
        "1 to 200",
        "Workers that run at the same time; more wait in a queue. See the note below.",
    ),
    "max_per_minute": ("0 to 10000", "Workers that start within a minute; more wait. 0 sets no limit."),
    "max_per_run": ("1 to 100000", "Workers of one run, all together; what asks for more is refused."),
    "min_free_memory": ("0 to 1000000", "MiB of memory that must be free for another worker to start."),
    "max_depth": ("1 to 8", "How deep workers may delegate: 1 not at all, 2 the lead's workers may."),
    "default_type": (
        "a type",
        "What runs the roles and workers without a type; `auto` is the first agent found.",
    ),
    "retries": ("0 to 20", "How often a worker that failed is tried again."),
    "retry_delay": (
        "0 to 3600",
        "Seconds before it is tried again; twice as long each further time, an hour at most.",
    ),
    "time_limit": (
        "0 to 604800",
        "Seconds of work (not of waiting for you) after which a worker is ended as failed; 0 sets no limit.",
    ),
    "check_time_limit": ("0 to 604800", "Seconds after which a check is ended as failed; 0 sets no limit."),
    "fold_after": ("0 to 604800", "Seconds after which the pane of a done worker is closed; 0 leaves it."),
    "permissions": (" ".join(PERMISSIONS), "What workers may do by themselves: see [agents](agents.md)."),
    "mode": (" ".join(MODES), "Whether a worker runs to its end, or its program stays open in the pane."),
    "rate_limit": (
        " ".join(RATE_LIMIT),
        "What becomes of a worker at its rate limit: it waits for you, or is parked: ended, and begun again"
        " in its own session when the limit is over.",
    ),
    "isolation": (" ".join(ISOLATIONS), "`worktree` gives each its own: see [isolation](isolation.md)."),
    "sandbox": (
        " ".join(SANDBOXES),
        "`bwrap` lets workers write nothing but their worktree: see [isolation](isolation.md#sandbox).",
    ),
    "setup": ("a list", "A program and its arguments that sets up a new worktree. No shell."),
    "copy": ("a list", "Names or patterns of files that are copied from your tree into a new worktree."),
    "link": ("a list", "Names or patterns of files and folders of your tree that are linked there."),
    "sandbox_writes": ("a list", "More places that a worker in a sandbox may write: `~/…` or `/…`."),
    "approve": ("auto ask", "`ask` [asks](questions.md) before every start, whoever asked for it."),
    "fenced": ("accept ask ignore", "What becomes of a directive in a code fence, where one can be told."),
    "report": (
        "none paste",
        "`paste` tells the lead how its workers end: see [messages](messages.md#ends-of-workers).",
    ),
    "history_limit": ("0 to 1000000", "Lines of scroll-back of a worker's pane."),
    "min_rows": ("2 to 500", "Least height of a worker's pane. See the note below."),
    "min_columns": ("40 to 1000", "Below this width the orchestrator is a strip. See the note below."),
    "keep_runs_days": (
        "0 to 36500",
        "Days after which a run that has ended is deleted, when another begins; 0 keeps all.",
    ),
    "builtin_rules": ("true false", "`false` leaves the built-in rules out."),
}
RULE_KEYS: Mapping[str, str] = {
    "name": "Name of the worker: letters, digits and `. _ -`. A built-in rule of that name is replaced.",
    "type": "Type of the worker; not `shell`.",
    "task": "The worker's task; `{task}` stands for the task that was received.",
    "match": "Words and phrases; `test*` is every word that starts so; capitals match capitals only.",
    "unless": "Phrases in which a match does not count.",
    "joins": "`true`: the worker is added also whenever another rule matched.",
    "after": "Names of workers that have to be done before.",
}
TYPE_KEYS: Mapping[str, str] = {
    "title": "Name for people.",
    "command": "A program of your own and its arguments, as a list; `{task}` stands for the task. No shell.",
    "task_via": "`arg`: the task is an argument. `stdin`: the task comes on standard input.",
    "agent": "The agent that runs this type.",
    "prompt": "Words that are put before the task.",
    "permissions": "As above, for this type alone.",
    "mode": "As above, for this type alone.",
    "isolation": "As above, for this type alone.",
    "sandbox": "As above, for this type alone.",
    "setup": "As above, for this type alone.",
    "idempotent": "`true`: a worker of this type may run once more when it was cut off with tmux.",
    "check": "A command, as a list, that decides whether a worker is [done](results.md#checks).",
}
NOTIFY_KEYS: Mapping[str, tuple[str, str]] = {
    "on": ("waiting failed done", "The states that you are told of."),
    "message": ("true false", "A message in the status line, for four seconds."),
    "bell": ("true false", "The terminal's bell."),
    "terminal": (" ".join(TERMINAL_NOTES), "The terminal's own notification, where it knows one of these."),
    "command": (
        "a list",
        "A program of your own and its arguments; what it is about is in `AIORCH_WORKER`,"
        " `AIORCH_STATE`, `AIORCH_REASON`, `AIORCH_PANE` and `AIORCH_SESSION`. No shell.",
    ),
}
STATUS_MEANING: Mapping[str, str] = {
    "ask": "directives that wait for your answer: press prefix + O",
    "run": "workers at work",
    "wait": "workers that wait for a person: prefix + O, then a answers",
    "queued": "workers that wait for a free place, for another worker or for their next attempt",
    "done": "workers that are done",
    "failed": "workers that failed, were stopped or were lost",
    "skip": "workers that were not started since one before them failed",
}


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(_cell(text) for text in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def code(text: str) -> str:
    """Return text as code, nothing for an empty one."""
    return f"`{text}`" if text else ""


def read_options() -> list[tuple[str, str, str]]:
    """Return (name, default, meaning) of every option; the meaning is the comment right above it."""
    found, comment = [], ""
    for line in OPTIONS_FILE.read_text().splitlines():
        if line.startswith("#"):
            comment = f"{comment} {line.lstrip('# ')}".strip()
            continue
        match = _OPTION.fullmatch(line)
        if match:
            found.append((match.group(1), match.group(2).strip("'\""), comment))
        comment = ""
    return found


def options_table() -> str:
    """Return the table of tmux options."""
    body = [(code(name), code(value) or "empty", text) for name, value, text in read_options()]
    return rows(("option", "default", "meaning"), body)


def trust_table() -> str:
    """Return the trust table."""
    head, *body = trust.table()
    return rows(head, body)


def trust_keys_table() -> str:
    """Return the trust table by its keys in config.toml."""
    body = [
        (code(f"[trust.{who}]"), *(str(trust.verdict_for(who, what)) for what in trust.Demand))
        for who in trust.Speaker
    ]
    return rows(("", *(code(str(what)) for what in trust.Demand)), body)


def commands() -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield (name, help, parser) of every command that is meant for people."""
    found = next(a for a in cli.build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    for choice in found._choices_actions:
        yield choice.dest, choice.help or "", found.choices[choice.dest]


def usage(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """Return (words, meaning) of every argument of a parser, its help left out."""
    found = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, _NO_ARGUMENTS):
            continue
        name = action.option_strings[-1] if action.option_strings else ""
        value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
        words = f"{name} {value}" if name else str(action.metavar or action.dest).lower()
        text = (action.help or "") % {"default": action.default}
        found.append((words.strip() if action.required or name else f"[{words}]", text))
    return found


def commands_table() -> str:
    """Return the table of commands."""
    body = [(code(f"aiorch {name}"), text) for name, text, _ in commands()]
    return rows(("command", "what it does"), [*body, (code(f"aiorch {UNINSTALL[0]}"), UNINSTALL[1])])


def arguments_table() -> str:
    """Return the table of every argument of every command."""
    body = [(code("aiorch"), code(words), text) for words, text in usage(cli.build_parser())]
    body.append((code("aiorch"), code("--version"), "print the version"))
    for name, _, parser in commands():
        body += [(code(f"aiorch {name}"), code(words), text) for words, text in usage(parser)]
    body.append((code("aiorch uninstall"), code("--purge"), "remove the runs, too"))
    return rows(("command", "argument", "meaning"), body)


def settings_table() -> str:
    """Return the table of the keys of config.toml outside of any table; ValueError for a key left out."""
    config = Config()
    plain = [f.name for f in fields(Config) if f.name not in ("rules", "types", "trust", "notify")]
    if [*plain, "builtin_rules"] != list(SETTINGS):
        raise ValueError("SETTINGS in docs/generate.py and the fields of Config differ")
    defaults = {name: getattr(config, name) for name in plain} | {"builtin_rules": True}
    body = [(code(k), toml_value(defaults[k]), values, text) for k, (values, text) in SETTINGS.items()]
    return rows(("key", "default", "values", "meaning"), body)


def notify_table() -> str:
    """Return the table of the keys of `[notify]`; ValueError for a key left out."""
    defaults = Notify()
    if [field.name for field in fields(Notify)] != list(NOTIFY_KEYS):
        raise ValueError("NOTIFY_KEYS in docs/generate.py and the fields of Notify differ")
    body = [
        (code(key), toml_value(getattr(defaults, key)), values, text)
        for key, (values, text) in NOTIFY_KEYS.items()
    ]
    return rows(("key", "default", "values", "meaning"), body)


def toml_value(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, tuple):
        return f"`[{', '.join(toml_value(word).strip('`') for word in value)}]`"
    return code(
        f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def keys_table(kind: type[Rule | UserType], texts: Mapping[str, str]) -> str:
    """Return the table of the keys of a rule or a type; ValueError for a key left out."""
    known = {f.name for f in fields(kind)} - ({"name"} if kind is UserType else set())
    if known != set(texts):
        raise ValueError(f"the keys in docs/generate.py and the fields of {kind.__name__} differ")
    return rows(("key", "meaning"), [(code(name), text) for name, text in texts.items()])


def rules_table() -> str:
    """Return the table of the built-in rules."""
    body = []
    for rule in load_config(None).rules:
        words = ", ".join(code(word) for word in rule.match)
        words += "; or any other rule" if rule.joins else ""
        body.append((code(rule.name), code(rule.type), words, rule.task.replace("{task}", "…")))
    body.append((code("simple"), code("simple"), "nothing else matched", "the task as it is"))
    return rows(("worker", "type", "the task mentions", "its task"), body)


def agents_table() -> str:
    """Return the table of the built-in agents."""
    body = []
    for profile in load_profiles(None).values():
        if profile.name != "demo":
            program = ", ".join(code(name) for name in profile.executables)
            body.append(
                (code(profile.name), profile.title, program, *_levels(profile), profile.tested or "any")
            )
    head = ("type", "agent", "program", "oneshot", "interactive", "version tried")
    return rows(head, body)


def _levels(profile: AgentProfile) -> tuple[str, str]:
    one = " ".join(profile.oneshot.permission) or "no levels"
    both = profile.interactive
    return one, " ".join(both.permission) if both else "no"


def status_table() -> str:
    """Return the table of the symbols in the status bar; KeyError for one without a meaning."""
    body: dict[str, tuple[str, str, str]] = {}
    for state in (None, *WorkerState):
        counts, asking = ({}, 1) if state is None else ({state: 1}, 0)
        sign, word = (
            status_text(counts, asking, StatusStyle(plain, False)).split()[1] for plain in (False, True)
        )
        body[word] = (code(sign), code(word), STATUS_MEANING[word])
    order = [body[word] for word in STATUS_MEANING]
    return rows(("sign", "in ASCII", "number of"), order)


TABLES: Mapping[str, Callable[[], str]] = {
    "options": options_table,
    "trust": trust_table,
    "trust-keys": trust_keys_table,
    "commands": commands_table,
    "arguments": arguments_table,
    "settings": settings_table,
    "notify-keys": notify_table,
    "rule-keys": lambda: keys_table(Rule, RULE_KEYS),
    "type-keys": lambda: keys_table(UserType, TYPE_KEYS),
    "rules": rules_table,
    "agents": agents_table,
    "status": status_table,
}


def pages() -> list[Path]:
    """Return the pages that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def filled(text: str) -> str:
    """Return a page with all its tables as they should be; KeyError for a table nobody makes."""
    return BLOCK.sub(lambda m: m.group(1) + TABLES[m.group("name")]() + m.group(3), text)


def main() -> int:
    """Write the tables, or with --check only tell which pages are out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    old = [page for page in pages() if filled(page.read_text()) != page.read_text()]
    for page in old:
        if check:
            print(f"{page.relative_to(ROOT)} is out of date: run docs/generate.py", file=sys.stderr)  # noqa: T201
        else:
            page.write_text(filled(page.read_text()))
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
