"""The user's configuration: `config.toml`, checked, with a default for everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from aiorch.errors import ConfigError
from aiorch.plan.rules import SHELL, Rule
from aiorch.plan.schema import clean_name
from aiorch.toml_file import Reader, TomlFile, read_toml
from aiorch.trust import Demand, Speaker, Verdict

PERMISSIONS = ("ask", "edit", "full")
MODES = ("oneshot", "interactive")
RATE_LIMIT = ("wait", "park")
FENCED = ("accept", "ask", "ignore")
ISOLATIONS = ("none", "worktree")
SANDBOXES = ("none", "bwrap")
TASK_VIA = ("arg", "stdin", "file")
OCCASIONS = ("waiting", "failed", "done")
REPORTS = ("none", "paste")
TERMINAL_NOTES = ("off", "osc9", "osc777")

_BUILTIN_RULES = Path(__file__).with_name("plan") / "builtin.toml"


@dataclass(frozen=True, slots=True)
class UserType:
    """What the user says about one worker type; empty fields keep the type's own setting.

    With `command` it is a program of the user's own (`{task}` stands for the task, which no shell
    sees); with `agent` and `prompt` it is a role; with neither it changes settings of a known type.
    """

    name: str
    title: str = ""
    command: tuple[str, ...] = ()
    task_via: str = "arg"
    agent: str = ""
    prompt: str = ""
    permissions: str = ""
    mode: str = ""
    idempotent: bool = False
    check: tuple[str, ...] = ()
    isolation: str = ""
    sandbox: str = ""
    setup: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify:
    """How the user is told of workers, besides the status bar; `on` are the states that are told of.

    `terminal` is the escape sequence that asks the terminal for a notification. `command` is a
    program of the user's own; what it is about is in its environment.
    """

    on: tuple[str, ...] = ("waiting", "failed")
    message: bool = True
    bell: bool = False
    terminal: str = "off"
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, with its default."""

    max_workers: int = 4
    max_per_minute: int = 60
    max_per_run: int = 1000
    min_free_memory: int = 0
    max_depth: int = 1
    default_type: str = "auto"
    retries: int = 0
    retry_delay: float = 2.0
    time_limit: float = 0.0
    check_time_limit: float = 600.0
    fold_after: float = 0.0
    permissions: str = "edit"
    mode: str = "oneshot"
    rate_limit: str = "wait"
    isolation: str = "none"
    sandbox: str = "none"
    setup: tuple[str, ...] = ()
    copy: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    sandbox_writes: tuple[str, ...] = ()
    approve: str = "auto"
    fenced: str = "accept"
    report: str = "none"
    history_limit: int = 2000
    min_rows: int = 5
    min_columns: int = 120
    keep_runs_days: int = 30
    rules: tuple[Rule, ...] = ()
    types: Mapping[str, UserType] = field(default_factory=dict)
    trust: Mapping[Speaker, Mapping[Demand, Verdict]] = field(default_factory=dict)
    notify: Notify = Notify()

    def permission_of(self, kind: str) -> str:
        """Return what workers of a type may do: the type's own setting, else the general one."""
        own = self.types.get(kind)
        return own.permissions if own and own.permissions else self.permissions

    def check_of(self, kind: str) -> tuple[str, ...]:
        """Return the command that decides whether a worker of a type is done; empty when exit code 0 does."""
        own = self.types.get(kind)
        return own.check if own else ()

    def mode_of(self, kind: str) -> str:
        """Return how workers of a type run: the type's own setting, else the general one."""
        own = self.types.get(kind)
        return own.mode if own and own.mode else self.mode

    def is_isolated(self, kind: str) -> bool:
        """Return whether workers of a type get a worktree of their own."""
        own = self.types.get(kind)
        return (own.isolation if own and own.isolation else self.isolation) == "worktree"

    def is_sandboxed(self, kind: str) -> bool:
        """Return whether workers of a type are kept from writing outside of their worktree."""
        own = self.types.get(kind)
        return (own.sandbox if own and own.sandbox else self.sandbox) == "bwrap"

    def setup_of(self, kind: str) -> tuple[str, ...]:
        """Return the command that sets up a worktree for workers of a type, () for none."""
        own = self.types.get(kind)
        return own.setup if own and own.setup else self.setup


def load_config(path: Path | None) -> Config:
    """Return the configuration of a file; without a file, or when it is missing, the defaults.

    Raises ConfigError with all mistakes at once, each with file, line and key.
    """
    file = TomlFile("") if path is None or not path.exists() else read_toml(path)
    builtin = read_toml(_BUILTIN_RULES)
    reader = Reader(file, (), file.data)
    config = _config(reader, _rules(Reader(builtin, (), builtin.data)))
    _check_sandboxes(reader, config)
    reader.finish()
    problems = file.all_problems() + builtin.all_problems()
    if problems:
        raise ConfigError(problems)
    return config


def says_permissions(path: Path) -> bool:
    """Say whether a file says what workers may do; a file with mistakes is taken to."""
    try:
        return path.exists() and "permissions" in read_toml(path).data
    except (ConfigError, OSError):
        # Whoever reads it next tells what is wrong with it.
        return True


def _config(reader: Reader, builtin: tuple[Rule, ...]) -> Config:
    base = Config()
    keep = reader.flag("builtin_rules", True)
    return Config(
        max_workers=reader.whole("max_workers", base.max_workers, 1, 200),
        max_per_minute=reader.whole("max_per_minute", base.max_per_minute, 0, 10_000),
        max_per_run=reader.whole("max_per_run", base.max_per_run, 1, 100_000),
        min_free_memory=reader.whole("min_free_memory", base.min_free_memory, 0, 1_000_000),
        max_depth=reader.whole("max_depth", base.max_depth, 1, 8),
        default_type=reader.text("default_type", base.default_type, filled=True),
        retries=reader.whole("retries", base.retries, 0, 20),
        retry_delay=reader.number("retry_delay", base.retry_delay, 0, 3600),
        time_limit=reader.number("time_limit", base.time_limit, 0, 7 * 86400),
        check_time_limit=reader.number("check_time_limit", base.check_time_limit, 0, 7 * 86400),
        fold_after=reader.number("fold_after", base.fold_after, 0, 7 * 86400),
        permissions=reader.text("permissions", base.permissions, choices=PERMISSIONS),
        mode=reader.text("mode", base.mode, choices=MODES),
        rate_limit=reader.text("rate_limit", base.rate_limit, choices=RATE_LIMIT),
        isolation=reader.text("isolation", base.isolation, choices=ISOLATIONS),
        sandbox=reader.text("sandbox", base.sandbox, choices=SANDBOXES),
        setup=reader.words("setup"),
        copy=_inside(reader, "copy"),
        link=_inside(reader, "link"),
        sandbox_writes=_places(reader, "sandbox_writes"),
        approve=reader.text("approve", base.approve, choices=("auto", "ask")),
        fenced=reader.text("fenced", base.fenced, choices=FENCED),
        report=reader.text("report", base.report, choices=REPORTS),
        history_limit=reader.whole("history_limit", base.history_limit, 0, 1_000_000),
        min_rows=reader.whole("min_rows", base.min_rows, 2, 500),
        min_columns=reader.whole("min_columns", base.min_columns, 40, 1000),
        keep_runs_days=reader.whole("keep_runs_days", base.keep_runs_days, 0, 36500),
        rules=_merged(builtin if keep else (), _rules(reader)),
        types=_types(reader.sub("types")),
        trust=_trust(reader.sub("trust")),
        notify=_notify(reader.sub("notify")),
    )


def _inside(reader: Reader, key: str) -> tuple[str, ...]:
    """Return patterns of files below the user's tree."""
    for pattern in (patterns := reader.words(key)):
        if not pattern or pattern.startswith(("/", "~")) or ".." in PurePath(pattern).parts:
            reader.problem(key, "takes names below the project, without .. and not beginning with / or ~")
    return patterns


def _places(reader: Reader, key: str) -> tuple[str, ...]:
    for place in (places := reader.words(key)):
        if not place.startswith(("/", "~/")) or place in ("/", "~/"):
            reader.problem(key, "takes places that begin with / or ~/")
    return places


def _check_sandboxes(reader: Reader, config: Config) -> None:
    """Note a sandbox without a worktree: it would have nothing that it may write."""
    words = 'needs isolation = "worktree"'
    if config.sandbox != "none" and config.isolation == "none":
        reader.problem("sandbox", words)
    for name in config.types:
        if config.is_sandboxed(name) and not config.is_isolated(name):
            reader.problem("sandbox", f"{words}, and type {name} has none")


def _rules(reader: Reader) -> tuple[Rule, ...]:
    rules: dict[str, Rule] = {}
    for item in reader.tables("rules"):
        rule = Rule(
            name=item.text("name", "", filled=True),
            type=item.text("type", "simple", filled=True),
            task=item.text("task", "{task}", filled=True),
            match=item.words("match"),
            unless=item.words("unless"),
            joins=item.flag("joins"),
            after=item.words("after"),
        )
        item.finish()
        if not rule.name or clean_name(rule.name) != rule.name:
            item.problem("name", "is needed, of 1 to 40 letters, digits and . _ -")
        if rule.type == SHELL:
            # The task comes from the screen of a program: a shell would run whatever it says.
            item.problem("type", "a rule cannot have type shell; make a type with a command")
        if rule.name in rules:
            item.problem("name", f"two rules are called {rule.name}")
        if not rule.match and not rule.joins:
            item.problem("match", "is needed: words or phrases, or joins = true")
        rules[rule.name] = rule
    return tuple(rules.values())


def _merged(builtin: tuple[Rule, ...], own: tuple[Rule, ...]) -> tuple[Rule, ...]:
    replaced = {rule.name: rule for rule in own}
    names = {rule.name for rule in builtin}
    return tuple(replaced.get(rule.name, rule) for rule in builtin) + tuple(
        rule for rule in own if rule.name not in names
    )


def _types(reader: Reader) -> dict[str, UserType]:
    types = {}
    for name, item in reader.subs().items():
        types[name] = UserType(
            name=name,
            title=item.text("title", name),
            command=item.words("command"),
            task_via=item.text("task_via", "arg", choices=TASK_VIA),
            agent=item.text("agent"),
            prompt=item.text("prompt"),
            permissions=item.text("permissions", "", choices=PERMISSIONS),
            mode=item.text("mode", "", choices=MODES),
            idempotent=item.flag("idempotent"),
            check=item.words("check"),
            isolation=item.text("isolation", "", choices=ISOLATIONS),
            sandbox=item.text("sandbox", "", choices=SANDBOXES),
            setup=item.words("setup"),
        )
        item.finish()
        _check_type(item, types[name])
    return types


def _check_type(item: Reader, kind: UserType) -> None:
    if clean_name(kind.name) != kind.name:
        item.problem("name", "a type's name is 1 to 40 letters, digits and . _ -")
    if kind.command and (kind.agent or kind.prompt):
        item.problem("command", "excludes agent and prompt")
    takes_task = any("{task}" in word or "{file}" in word for word in kind.command)
    if kind.command and kind.task_via == "arg" and not takes_task:
        item.problem("command", 'needs "{task}", or task_via = "stdin"')
    if kind.command and "{task}" in kind.command[0]:
        item.problem("command", "the program itself cannot be the task")


def _notify(reader: Reader) -> Notify:
    base = Notify()
    on = reader.words("on", base.on)
    if unknown := [word for word in on if word not in OCCASIONS]:
        reader.problem("on", f'does not know "{unknown[0]}", only {", ".join(OCCASIONS)}')
    chosen = Notify(
        on=on,
        message=reader.flag("message", base.message),
        bell=reader.flag("bell", base.bell),
        terminal=reader.text("terminal", base.terminal, choices=TERMINAL_NOTES),
        command=reader.words("command"),
    )
    reader.finish()
    return chosen


def _trust(reader: Reader) -> dict[Speaker, dict[Demand, Verdict]]:
    table: dict[Speaker, dict[Demand, Verdict]] = {}
    for who in Speaker:
        row = reader.sub(str(who))
        cells = {what: row.text(str(what), "", choices=tuple(Verdict)) for what in Demand}
        row.finish()
        chosen = {what: Verdict(text) for what, text in cells.items() if text}
        if chosen:
            table[who] = chosen
    reader.finish()
    return table
