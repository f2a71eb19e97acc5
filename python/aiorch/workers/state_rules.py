"""The rules by which an agent's state is told: data from the `[states]` table of a profile."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from aiorch.errors import ConfigError
from aiorch.toml_file import Reader, read_toml
from aiorch.workers.state import AgentState

REGIONS = ("title", "screen", "bottom", "dialog", "above", "box", "below")
"""Where a rule looks; most take a number of rows: `bottom 12`."""

SHELL_PROMPT = "common.screen.shell-prompt"
"""The common rule whose state an agent may set by `at_shell`."""

_FOLDER = Path(__file__).with_name("profiles") / "states"
_COMMON = "common"
_JUDGED = [state.value for state in AgentState if state is not AgentState.UNKNOWN]
_MANY = 200


@dataclass(frozen=True, slots=True)
class Rule:
    """One sign of one state.

    The last match of `match` in the region counts; `unless` may not match behind it, `needs` must match in
    the region `within`, too. `box`, `cursor` and `alternate` must be as said, where something is said.
    In `reason`, `{name}` is a group of the match, `{what}` comes from the first of `detail` that matches
    when the match has no such group, `{question}` is the last question before the match; a part in brackets
    vanishes when what it names was not found.
    """

    name: str
    state: AgentState
    region: str
    count: int
    match: re.Pattern[str]
    unless: re.Pattern[str] | None = None
    needs: re.Pattern[str] | None = None
    within: tuple[str, int] = ("screen", 0)
    reason: str = ""
    detail: tuple[re.Pattern[str], ...] = ()
    box: bool | None = None
    cursor: bool | None = None
    alternate: bool | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """How an agent's input box looks.

    `prompt` is the start of the row where the user types; earlier prompts in the conversation may match,
    the last one counts. With `edge`, rows above and below close the box, at most `height` rows away.
    At most `below` rows with text stand under it.
    """

    prompt: re.Pattern[str]
    edge: re.Pattern[str] | None = None
    below: int = 6
    height: int = 12


@dataclass(frozen=True)
class StateRules:
    """All rules of one agent, the strongest first.

    What a file says itself is followed by the rules of the built-in agent `like`: those are read when they
    are asked for, as most agents never run. `common` adds those that hold for any program.
    """

    own: tuple[Rule, ...] = ()
    own_box: Box | None = None
    own_at_shell: AgentState | None = None
    own_otherwise: AgentState | None = None
    common: bool = True
    like: str = ""

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """All rules but the common ones."""
        return self.own + (self._base.rules if self._base else ())

    @cached_property
    def box(self) -> Box | None:
        """How the input box looks, where the agent has one."""
        return self.own_box or (self._base.box if self._base else None)

    @cached_property
    def at_shell(self) -> AgentState:
        """What a shell's prompt at the bottom means."""
        return self.own_at_shell or (self._base.at_shell if self._base else AgentState.IDLE)

    @cached_property
    def otherwise(self) -> AgentState:
        """What it means when no rule speaks."""
        return self.own_otherwise or (self._base.otherwise if self._base else AgentState.UNKNOWN)

    @cached_property
    def _base(self) -> StateRules | None:
        return _builtin(self.like) if self.like else None

    @cached_property
    def title_rules(self) -> tuple[Rule, ...]:
        """The rules for titles."""
        return tuple(rule for rule in self.rules if rule.region == "title")

    @cached_property
    def screen_rules(self) -> tuple[Rule, ...]:
        """The rules for screens: all that say `waiting` first, then the rest; own ones before common ones."""
        shared = [
            replace(rule, state=self.at_shell) if rule.name == SHELL_PROMPT else rule
            for rule in (common_rules() if self.common else ())
        ]
        own = [rule for rule in self.rules if rule.region != "title"]
        waits = AgentState.WAITING
        return (
            *(rule for rule in own if rule.state is waits),
            *(rule for rule in shared if rule.state is waits),
            *(rule for rule in own if rule.state is not waits),
            *(rule for rule in shared if rule.state is not waits),
        )


@lru_cache(1)
def common_rules() -> tuple[Rule, ...]:
    """Return the rules that hold for any program."""
    return _builtin(_COMMON).rules


@lru_cache(1)
def builtin_states() -> list[str]:
    """Return the names of the agents that have rules here."""
    return sorted({path.stem for path in _FOLDER.glob("*.toml")} - {_COMMON})


def read_states(name: str, reader: Reader) -> StateRules:
    """Return the rules of a `[states]` table; mistakes are noted at its file.

    With `like`, the rules of a built-in agent follow after the table's own.
    """
    rules = tuple(rule for one in reader.tables("rules") if (rule := _rule(one, name)))[:_MANY]
    box = _box(reader.sub("box")) if "box" in reader.table else None
    like = reader.text("like", choices=builtin_states())
    states = StateRules(
        own=rules,
        own_box=box,
        own_at_shell=_state(reader, "at_shell", _JUDGED),
        own_otherwise=_state(reader, "otherwise", list(AgentState)),
        common=reader.flag("common", True),
        like=like if like in builtin_states() else "",
    )
    reader.finish()
    return states


@lru_cache(32)
def _builtin(name: str) -> StateRules:
    file = read_toml(_FOLDER / f"{name}.toml")
    states = read_states(name, Reader(file, ("states",), file.data.get("states", {})))
    if file.all_problems():
        raise ConfigError(file.all_problems())
    return states


def _box(reader: Reader) -> Box | None:
    prompt, edge = _pattern(reader, "prompt", needed=True), _pattern(reader, "edge")
    below, height = reader.whole("below", 6, 0, 100), reader.whole("height", 12, 1, 100)
    reader.finish()
    return Box(prompt, edge, below, height) if prompt else None


def _rule(reader: Reader, agent: str) -> Rule | None:
    name = reader.text("name", filled=True)
    state = reader.text("state", "", choices=_JUDGED)
    region, count = _region(reader, "region", "dialog")
    within = _region(reader, "within", f"{region} {count}")
    match = _pattern(reader, "match", needed=True)
    unless, needs = _pattern(reader, "unless"), _pattern(reader, "needs")
    reason = reader.text("reason")
    compiled = (_compiled(reader, "detail", text) for text in reader.words("detail"))
    detail = tuple(pattern for pattern in compiled if pattern)
    flags = {key: _flag(reader, key) for key in ("box", "cursor", "alternate")}
    for key in ("name", "state"):
        if key not in reader.table:
            reader.problem(key, "is needed")
    if any("what" not in pattern.groupindex for pattern in detail):
        reader.problem("detail", "needs a group (?P<what>…) in each pattern")
    reader.finish()
    if match is None or not state:
        return None
    where = "title" if region == "title" else "screen"
    return Rule(
        f"{agent}.{where}.{name}",
        AgentState(state),
        region,
        count,
        match,
        unless,
        needs,
        within,
        reason,
        detail,
        **flags,
    )


def _region(reader: Reader, key: str, default: str) -> tuple[str, int]:
    words = reader.text(key, default).split()
    kind = words[0] if words else ""
    number = words[1] if len(words) == 2 else "40"
    if kind not in REGIONS or len(words) > 2 or not number.isdecimal() or not 0 < int(number) <= 1000:
        reader.problem(key, f"must be one of {', '.join(REGIONS)}, and a number of rows: bottom 12")
        return "dialog", 40
    return kind, int(number)


def _state(reader: Reader, key: str, choices: list[str]) -> AgentState | None:
    text = reader.text(key, choices=choices)
    return AgentState(text) if text in choices else None


def _flag(reader: Reader, key: str) -> bool | None:
    return reader.flag(key) if key in reader.table else None


def _pattern(reader: Reader, key: str, *, needed: bool = False) -> re.Pattern[str] | None:
    text = reader.text(key)
    if not text:
        if needed:
            reader.problem(key, "is needed")
        return None
    return _compiled(reader, key, text)


def _compiled(reader: Reader, key: str, text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        reader.problem(key, f"is no regular expression: {error}")
        return None
