"""Telling an agent's state from what its pane shows (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiorch.workers.state_rules import Box, Rule, StateRules

MAX_REASON = 160
"""Characters of a reason; agents' texts have no end."""

_MAX_READ = 16 * MAX_REASON

COMMON = "common."
"""What the names of rules that hold for any program begin with."""

_FRAME = "│┃║┆╎▏▎▌▐█"
_BLANK = " \t"
_EDGES = _BLANK + _FRAME
_SPACES = re.compile(r"\s+")
_PADDING = re.compile(" {5,}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_NAMES = re.compile(r"\{(\w+)\}")
_DETAILS = re.compile(r":| until ")
_QUESTION = re.compile(r"^[^\w\n]*(\S[^\n]*\?)[^\w\n]*$", re.MULTILINE)


class AgentState(StrEnum):
    """What an agent does; `waiting` needs a person, `idle` has nothing to do."""

    IDLE = "idle"
    WORKING = "working"
    WAITING = "waiting"
    ERROR = "error"
    EXITED = "exited"
    UNKNOWN = "unknown"


def kind(reason: str) -> str:
    """Return what a reason begins with, `permission` or `rate limit` for instance, without its details.

    Numbers are details, too: they may count down.
    """
    return "".join(char for char in _DETAILS.split(reason, maxsplit=1)[0] if not char.isdigit())


@dataclass(frozen=True, slots=True)
class Glance:
    """What a pane shows at one moment.

    `rows` are the visible ones, top first, without blanks at the right. `cursor` says whether the cursor is
    shown, `alternate` whether the alternate screen is; None where nobody knows.
    """

    rows: tuple[str, ...]
    title: str = ""
    columns: int = 80
    cursor: bool | None = None
    alternate: bool | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state, why in words for the user, and the rule and kind of evidence that gave it.

    `reason` says what a waiting agent waits for, or the message of an error; wherever it comes from, it
    becomes one short line that can be printed.
    """

    state: AgentState
    reason: str
    rule: str
    source: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", short(self.reason))


def short(text: str) -> str:
    """Return a text of an agent's as one line of at most MAX_REASON characters, all of them printable."""
    line = " ".join(_printable(text[:_MAX_READ]).split())
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 1] + "…"


@dataclass(slots=True)
class View:
    """A glance cut into the regions that rules look at; blank rows are left out.

    `prompt` is the index of the row where the user types, or where an earlier one was typed, in `rows`; -1
    when there is none. `boxed`: that row is the agent's input box, at the bottom of the screen.
    """

    rows: list[str]
    bare: list[str]
    prompt: int = -1
    top: int = -1
    boxed: bool = False
    _texts: dict[str, str] = field(default_factory=dict)

    def region(self, kind: str, count: int) -> str:
        """Return a region's rows, frames at their sides taken off, as one text."""
        key = f"{kind} {count}"
        if key not in self._texts:
            self._texts[key] = "\n".join(self._rows_of(kind, count))
        return self._texts[key]

    def _rows_of(self, kind: str, count: int) -> list[str]:
        if kind == "screen":
            return self.bare
        if kind == "bottom":
            return self.bare[-count:]
        if kind == "dialog":
            return self.bare[self.prompt + 1 :][-count:]
        if kind == "box":
            return self.bare[self.prompt : self.prompt + count] if self.boxed else []
        if kind == "below":
            return self.bare[self.prompt + 1 :][:count] if self.boxed else []
        return self.bare[max(0, self.top - count) : self.top] if self.boxed else self.bare[-count:]


def judge(states: StateRules, glance: Glance) -> Verdict:
    """Return an agent's state by its pane's title and screen.

    A dialog on the screen counts more than any title, a title more than the rest of the screen: most
    agents draw nothing for a while when they work.
    """
    screen = screen_verdict(states, glance)
    title = title_verdict(states, glance.title)
    if title is None or screen.state is AgentState.EXITED:
        return screen
    if screen.state is AgentState.WAITING and not _is_guess(screen, title):
        return screen
    # Titles know of no errors: an agent that failed has the title of one that is ready.
    if screen.state is AgentState.ERROR and title.state is AgentState.IDLE:
        return screen
    return title


def _is_guess(screen: Verdict, title: Verdict) -> bool:
    """Say whether a question was only found by rules for any program, and the title knows better."""
    return screen.rule.startswith(COMMON) and title.state is AgentState.WORKING


def title_verdict(states: StateRules, title: str) -> Verdict | None:
    """Return what a pane's title says; None when it says nothing."""
    if not title:
        return None
    for rule in states.title_rules:
        found = rule.match.search(title)
        if found:
            return Verdict(rule.state, _reason(rule, found, title), rule.name, "title")
    return None


def screen_verdict(states: StateRules, glance: Glance) -> Verdict:
    """Return what the rows of a pane say; the state is unknown when no rule speaks."""
    view = _view(states, glance)
    for rule in states.screen_rules:
        found = _matches(rule, view, glance)
        if found:
            reason = _reason(rule, found, view.region(rule.region, rule.count))
            return Verdict(rule.state, reason, rule.name, "screen")
    if states.otherwise is AgentState.UNKNOWN or not view.rows:
        return Verdict(AgentState.UNKNOWN, "nothing on the screen tells", "screen.none", "screen")
    return Verdict(states.otherwise, "nothing on the screen tells otherwise", "screen.none", "screen")


def _view(states: StateRules, glance: Glance) -> View:
    plain = (row.replace("\u00a0", " ") for row in glance.rows)
    both = [(row, bare) for row in plain if (bare := _bare(row))]
    rows = [row for row, _ in both]
    view = View(rows, [bare for _, bare in both])
    box = states.box
    if box is None:
        return view
    for index in range(len(rows) - 1, -1, -1):
        if box.prompt.match(rows[index]):
            view.prompt = index
            break
    if view.prompt < 0:
        return view
    _find_edges(view, box)
    return view


def _find_edges(view: View, box: Box) -> None:
    """Find out where the input box around the prompt row begins, and whether there is one."""
    rows, prompt = view.rows, view.prompt
    below = rows[prompt + 1 :]
    view.top = prompt
    if box.edge is None:
        view.boxed = len(below) <= box.below
        return
    # The user's draft may have several rows.
    top = next((n for n in range(prompt, max(-1, prompt - box.height), -1) if box.edge.match(rows[n])), None)
    closed = next((n for n, row in enumerate(below[: box.height]) if box.edge.match(row)), None)
    is_empty = len(rows[prompt].strip(_EDGES)) <= 1
    if top is not None and (closed is not None or prompt - top == 1):
        view.top = top
        view.boxed = len(below) - 1 - (closed or 0) <= box.below
    elif is_empty:
        # A pane of a few rows, or an older form: no rule above, or none below.
        view.boxed = len(below) <= box.below


def _bare(row: str) -> str:
    """Return a row without the frame at its sides; its indent stays."""
    row = row.rstrip(_EDGES)
    start = row.lstrip(_BLANK)
    while start[:1] and start[0] in _FRAME:
        row = start.lstrip(_FRAME)
        start = row.lstrip(_BLANK)
    # Padding tells nothing, and costs regular expressions much.
    return _PADDING.sub("    ", row) if "     " in row else row


def _matches(rule: Rule, view: View, glance: Glance) -> re.Match[str] | None:
    if rule.box is not None and rule.box is not view.boxed:
        return None
    if rule.cursor is not None and rule.cursor is not glance.cursor:
        return None
    if rule.alternate is not None and rule.alternate is not glance.alternate:
        return None
    text = view.region(rule.region, rule.count)
    if not text:
        return None
    last = None
    for found in rule.match.finditer(text):
        last = found
    if last is None:
        return None
    if rule.needs and not rule.needs.search(view.region(*rule.within)):
        return None
    if rule.unless and rule.unless.search(text, last.end()):
        return None
    return last


def _reason(rule: Rule, found: re.Match[str], text: str) -> str:
    """Fill a rule's template; a part in brackets stays only when all that it names was found."""
    values = {name: _tidy(value) for name, value in found.groupdict().items() if value}
    if rule.detail and "what" not in values:
        details = (pattern.search(text) for pattern in rule.detail)
        values["what"] = next((_tidy(detail["what"] or "") for detail in details if detail), "")
    if "{question}" in rule.reason:
        questions = _QUESTION.findall(text, 0, found.end())
        values["question"] = _tidy(questions[-1]) if questions else ""
    template = _OPTIONAL.sub(lambda part: part[1] if _is_known(part[1], values) else "", rule.reason)
    # One pass: what an agent wrote is never filled in again.
    return _NAMES.sub(lambda name: values.get(name[1], ""), template)


def _is_known(part: str, values: Mapping[str, str]) -> bool:
    return all(values.get(name) for name in _NAMES.findall(part))


def _tidy(text: str) -> str:
    """Return a text of an agent's as one short line without control characters."""
    return _printable(_SPACES.sub(" ", text).strip(" " + _FRAME))


def _printable(text: str) -> str:
    """Return a text without what does more than show something, half surrogate pairs among it."""
    return (
        text if text.isprintable() else "".join(char for char in text if char.isprintable() or char.isspace())
    )
