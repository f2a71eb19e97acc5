"""The menu behind the key: what can be done now, as arguments of `display-menu`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from aiorch.journal import ENDED, DirectiveRow, WorkerRow, WorkerState
from aiorch.tmux import quote

SHOWN = 56
_MARKS = {
    WorkerState.QUEUED: "…",
    WorkerState.STARTING: "▶",
    WorkerState.WORKING: "▶",
    WorkerState.WAITING: "!",
    WorkerState.DONE: "✔",
    WorkerState.FAILED: "✖",
    WorkerState.KILLED: "✖",
    WorkerState.LOST: "✖",
    WorkerState.SKIPPED: "↷",
}
_JUMP_KEYS = "123456789"
QUESTION = "what may workers do by themselves?"
Item = tuple[str, str, str]
Section = list[Item]


@dataclass(frozen=True, slots=True)
class RunCommands:
    """How menu entries reach the engine: the request script with its inbox, and our own program's argv."""

    request: str
    inbox: str
    program: Sequence[str]


def menu_arguments(
    workers: Sequence[WorkerRow],
    asking: Sequence[DirectiveRow],
    run: RunCommands,
    alive: Iterable[str],
    rows: int | None = None,
    question: Section | None = None,
) -> list[str]:
    """Return the items of the menu as (name, key, command) in one row; `alive` are the panes there are.

    `question` is an entry for what the user has not answered yet.

    tmux 3.3a does not open a menu that is higher than its client, and says nothing: with the client's
    `rows` the menu is cut, jumps to workers first and Stop never.
    """
    panes = set(alive)
    shown = [row for row in workers if row.pane in panes]
    report = f"display-popup -w 80% -h 60% {_program(run.program, 'status')}"
    jumps = _jumps(shown, report)
    stop = quote.word(_request(run, "stop"))
    confirm: Item = ("Stop…", "q", f"confirm-before -p 'Stop all workers of this run? (y/n)' {stop}")
    sections: list[Section] = []
    urgent = [*_waiting(shown, run), *_questions(asking, run)]
    for start in _cuts(urgent, jumps, [*(question or []), *_actions(workers, shown, run, report)]):
        sections = [section for section in (*start, [confirm]) if section]
        if rows is None or _height(sections) <= rows:
            break
    return [part for section in sections for item in (*section, ("",)) for part in item][:-1]


def offer_arguments(program: Sequence[str], pane: str, client: str, run: str, words: str) -> list[str]:
    """Return the items of the menu that offers to go on with a run that was cut off, `words` about it."""
    place = ("--pane", pane, "--client", client)
    resume, begin = (
        _silently(*program, "resume", run, *place),
        _silently(*program, "start", "--fresh", *place),
    )
    drop = _silently(*program, "resume", run, "--drop", *place)
    items = [f"Go on: {quote.literal(_short(words))}", "r", resume, "Begin a new run", "n", begin]
    return [*items, "Give that one up: it is not offered again", "d", drop]


def permission_question(program: Sequence[str], client: str) -> Section:
    """Return the entry that asks what workers may do by themselves, in a menu of its own.

    There no letter chooses, and the one choice that is dangerous asks once more.
    """

    def permit(level: str) -> str:
        return _silently(*program, "permit", level, "--client", client)

    full = _menu(
        "aiorch: everything, with no question at all?",
        ("No: leave it as it is", "", ""),
        ("Yes: they run any command unasked", "", permit("full")),
    )
    levels = _menu(
        f"aiorch: {QUESTION}",
        ("Edit files in their directory (as usual)", "", permit("edit")),
        ("Nothing: they ask in their panes", "", permit("ask")),
        ("Everything, with no question at all…", "", full),
    )
    return [(QUESTION.capitalize(), "b", levels)]


def _height(sections: Sequence[Section]) -> int:
    # A line between two sections, and the border.
    return sum(len(section) for section in sections) + len(sections) - 1 + 2


def _cuts(
    urgent: Sequence[Section], jumps: Callable[[int], Section], actions: Section
) -> Iterator[tuple[Section, ...]]:
    """Yield what a menu may consist of, from all to nothing; what is urgent goes in groups."""
    for number in range(len(_JUMP_KEYS), -1, -1):
        yield _together(urgent), jumps(number), actions
    for number in range(len(urgent), -1, -1):
        yield _together(urgent[:number]), [], actions
    for number in range(len(actions), -1, -1):
        yield [], [], actions[:number]


def _together(groups: Sequence[Section]) -> Section:
    return [item for group in groups for item in group]


def _jumps(shown: Sequence[WorkerRow], report: str) -> Callable[[int], Section]:
    """Return a function that gives the jumps to that many workers, and where to find the others."""
    items: Section = [
        (f"{_MARKS[row.state]} {row.name} ({row.state})", key, f"switch-client -t {row.pane}")
        for key, row in zip(_JUMP_KEYS, shown, strict=False)
    ]

    def first(number: int) -> Section:
        kept = items[:number]
        more = len(shown) - len(kept)
        return [*kept, (f"… {more} more: Report", "", report)] if more else kept

    return first


def _actions(
    workers: Sequence[WorkerRow], shown: Sequence[WorkerRow], run: RunCommands, report: str
) -> Section:
    new = f"display-popup -E -w 70% -h 10 {_program(run.program, 'new')}"
    items: Section = [("New worker…", "w", new)]
    failed = [row.name for row in workers if row.state in ENDED - {WorkerState.DONE, WorkerState.SKIPPED}]
    if failed:
        items.append((f"Retry {failed[-1]}", "r", _request(run, "retry", "name", failed[-1])))
    if any(row.state in ENDED for row in shown):
        items.append(("Close finished", "c", _request(run, "tidy")))
    items.append(("Event log", "l", _request(run, "log")))
    items.append(("Even columns", "e", _request(run, "layout")))
    items.append(("Report", "p", report))
    return items


def _waiting(shown: Sequence[WorkerRow], run: RunCommands) -> list[Section]:
    """Return what can be done about workers that wait for a person: answer the first, or go to it."""
    waiting = [row for row in shown if row.state is WorkerState.WAITING]
    if not waiting:
        return []
    row, more = waiting[0], len(waiting) - 1
    text = quote.literal(_short(f"{row.name}: {row.waits}" + (f" (and {more} more)" if more else "")))
    popup = f"display-popup -E -w 90% -h 80% {_program(run.program, 'answer')}"
    return [[(f"Answer {text}", "a", popup), (f"Go to {row.name}", "j", f"switch-client -t {row.pane}")]]


def _questions(asking: Sequence[DirectiveRow], run: RunCommands) -> list[Section]:
    """Return how questions are answered, a group each; from the first one all can be looked at."""
    groups: list[Section] = []
    for (yes, no), row in zip((("y", "n"), ("u", "m"), ("o", "x")), asking, strict=False):
        text = quote.literal(_short(f"{_crew(row)}: {row.payload.get('task') or ''}"))
        approve, decline = (_request(run, verb, "number", str(row.number)) for verb in ("approve", "decline"))
        groups.append(
            [(f"Start ##{row.number}: {text}", yes, approve), (f"Decline ##{row.number}", no, decline)]
        )
    if groups:
        first = asking[0].number
        look = f"display-popup -E -w 90% -h 90% {_program(run.program, 'review', str(first))}"
        more = f" (and {len(asking) - 1} more)" if len(asking) > 1 else ""
        groups[0].append((f"Look at ##{first}, change its plan…{more}", "v", look))
    return groups


def _crew(row: DirectiveRow) -> str:
    """Return whom a question would start, `2 workers (claude, codex)` for instance."""
    types = [str(worker["type"]) for worker in json.loads(row.plan or "[]")]
    count = "1 worker" if len(types) == 1 else f"{len(types)} workers"
    return f"{count} ({', '.join(dict.fromkeys(types))})"


def _request(run: RunCommands, *arguments: str) -> str:
    return _in_shell("/bin/sh", run.request, run.inbox, *arguments)


def _menu(title: str, *items: Item) -> str:
    """Return the command of an entry that opens another menu."""
    words = ["display-menu", "-T", quote.literal(f" {title} "), "-x", "C", "-y", "C", "--"]
    return quote.literal(quote.line([*words, *(part for item in items for part in item)]))


def _in_shell(*argv: str, end: str = "") -> str:
    # The menu expands its commands as formats, then run-shell does it again.
    script = quote.literal(quote.literal(quote.shell(argv) + end))
    return f"run-shell -b {quote.word(script)}"


def _silently(*argv: str) -> str:
    """Return the command for a program that shows its errors on the client itself."""
    # What it prints would cover the user's pane.
    return _in_shell(*argv, end=" >/dev/null 2>&1")


def _program(program: Sequence[str], *verb: str) -> str:
    return quote.literal(quote.line([*program, *verb]))


def _short(text: str) -> str:
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"
