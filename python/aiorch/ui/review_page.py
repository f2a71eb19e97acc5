"""The page on which a directive that waits is looked at: what it says and what would run (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from aiorch.plan.schema import WorkerSpec
from aiorch.ui.cells import cut, filled, width, wrapped
from aiorch.ui.report import counted
from aiorch.ui.terminal import printable

LEAST_TASK = 3
"""So many lines of the task are shown whatever else there is."""
NUMBERED = 9
"""So many workers have a key of their own."""
_NARROW = 30
_SOURCES = {
    "cli": "aiorch run",
    "key": "your keys",
    "mcp": "a tool call",
    "transcript": "the agent's session file",
    "screen": "the agent's screen",
    "plain": "what the pane printed",
}
_POLICIES = {"run": "also after a failure", "stop": "a failure stops the plan"}
_BOLD, _DIM, _REVERSE, _RED, _GREEN, _YELLOW, _CYAN = "1", "2", "7", "31", "32", "33", "36"
_ATTRIBUTES = (_BOLD, _DIM, _REVERSE)


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown of one question; texts are as they came.

    `place` says which of how many it is, (1, 2) for instance. `plan` are all workers, `dropped` the names of
    those left out. `allows` is what `always` would allow, in words. `told` is what became of it meanwhile, ''
    while it waits; `note` is the answer to the last key.
    """

    number: int
    place: tuple[int, int]
    source: str
    time: str
    reason: str
    task: str
    plan: Sequence[WorkerSpec]
    dropped: Collection[str] = ()
    is_edited: bool = False
    allows: Sequence[str] = ()
    always: bool = False
    told: str = ""
    note: str = ""
    is_whole: bool = False
    top: int = 0


@dataclass(frozen=True, slots=True)
class Pen:
    """Paints for a terminal that is so wide; without `color` with attributes alone."""

    columns: int
    color: bool = True

    def paint(self, text: str, *codes: str) -> str:
        """Return text in styles."""
        wanted = [code for code in codes if self.color or code in _ATTRIBUTES]
        return f"\033[{';'.join(wanted)}m{text}\033[0m" if wanted else text


def drawing(page: Page, columns: int, rows: int, *, color: bool) -> str:
    """Return what draws the page on a terminal of this size, and nothing else to it."""
    pen = Pen(columns, color)
    foot = list(_foot(page, pen))
    body = body_rows(page, pen, rows - 2 - len(foot))
    height = max(0, rows - 2 - len(foot))
    top = min(page.top, last_top(len(body), height))
    shown = body[top : top + height]
    more = len(body) - top - len(shown)
    hint = pen.paint(f" ↓ {counted(more, 'more line')}", _DIM) if more else ""
    lines = [_head(page, pen), "", *shown, *[""] * (height - len(shown)), *foot]
    if foot and more:
        lines[-len(foot)] = hint if not page.note else lines[-len(foot)]
    return "\033[H" + "\033[K\r\n".join(lines[:rows]) + "\033[K\033[J"


def body_height(page: Page, columns: int, rows: int) -> tuple[int, int]:
    """Return how many rows the page has between head and foot, and how many of them can be seen at once."""
    pen = Pen(columns)
    height = max(0, rows - 2 - len(list(_foot(page, pen))))
    return len(body_rows(page, pen, height)), height


def last_top(length: int, height: int) -> int:
    """Return the first row that is shown when the last one is."""
    return max(0, length - height)


def body_rows(page: Page, pen: Pen, height: int) -> list[str]:
    """Return all rows between head and foot; the task is cut for `height` unless it is wanted whole."""
    facts, plan, always = list(_facts(page, pen)), list(_plan(page, pen)), list(_always(page, pen))
    task = wrapped(_safe(page.task), pen.columns - 4)
    room = height - len(facts) - len(plan) - len(always) - 1
    if not page.is_whole and len(task) > max(LEAST_TASK, room):
        shown = max(LEAST_TASK, room) - 1
        rest = f"… {counted(len(task) - shown, 'more line')}: t shows all"
        task = [*task[:shown], pen.paint(rest, _DIM)]
    return [*facts, pen.paint(" Task", _BOLD), *(f"   {line}" for line in task), *plan, *always]


def _head(page: Page, pen: Pen) -> str:
    text = f" #{page.number} waits for your answer" if not page.told else f" #{page.number} waits no more"
    at, count = page.place
    place = f"{at} of {count} " if count > 1 else ""
    return pen.paint(filled(text, pen.columns - width(place)) + place, _REVERSE)


def _facts(page: Page, pen: Pen) -> Iterator[str]:
    if page.told:
        yield from (pen.paint(f" {line}", _YELLOW) for line in wrapped(_safe(page.told), pen.columns - 2))
        yield ""
    yield from _fact("from", f"{_SOURCES.get(page.source, page.source)}, {page.time}", pen)
    yield from _fact("why", page.reason, pen)
    yield ""


def _fact(name: str, text: str, pen: Pen) -> Iterator[str]:
    for index, line in enumerate(wrapped(_safe(text), pen.columns - 8)):
        yield f" {pen.paint(filled('' if index else name, 5), _DIM)} {line}"


def _plan(page: Page, pen: Pen) -> Iterator[str]:
    left = len(page.plan) - len(page.dropped)
    words = [counted(left)] + ([f"{len(page.dropped)} left out"] if page.dropped else [])
    words += ["changed by you"] if page.is_edited else []
    yield ""
    yield f"{pen.paint(' Plan', _BOLD)}  {', '.join(words)}"
    names = max((width(_line(worker.name)) for worker in page.plan), default=0)
    types = max((width(_line(worker.type)) for worker in page.plan), default=0)
    for index, worker in enumerate(page.plan, start=1):
        yield from _worker(page, pen, index, worker, (min(names, 24), min(types, 16)))


def _worker(page: Page, pen: Pen, index: int, worker: WorkerSpec, sizes: tuple[int, int]) -> Iterator[str]:
    is_out = worker.name in page.dropped
    mark = "-" if is_out else " "
    name, kind = filled(_line(worker.name), sizes[0]), filled(_line(worker.type), sizes[1])
    more = "left out" if is_out else _conditions(worker)
    plain = f" {mark}{index:>2}  {name}  {kind}"
    room = pen.columns - width(plain) - 3
    first = _line(worker.task)
    more = cut(more, room)
    beside = room - (width(more) + 2 if more else 0)
    if is_out:
        yield pen.paint(cut(f"{plain}  {more}", pen.columns - 1), _DIM)
        return
    number = pen.paint(f"{index:>2}", _CYAN)
    row = f" {mark}{number}  {pen.paint(name, _BOLD)}  {pen.paint(kind, _GREEN)}"
    row += f"  {pen.paint(more, _YELLOW)}" if more else ""
    if page.is_whole:
        yield row
        yield from (f"      {line}" for line in wrapped(_safe(worker.task), pen.columns - 7))
    elif beside >= _NARROW or width(first) <= beside:
        yield f"{row}  {cut(first, beside)}"
    else:
        yield row
        yield f"      {cut(first, pen.columns - 7)}"


def _conditions(worker: WorkerSpec) -> str:
    parts = [f"after {', '.join(worker.after)}"] if worker.after else []
    parts += [f"on {worker.host}"] if worker.host else []
    parts += [_POLICIES[worker.on_failure]] if worker.on_failure in _POLICIES else []
    return _line("; ".join(parts))


def _always(page: Page, pen: Pen) -> Iterator[str]:
    if not page.allows or page.told:
        return
    box, text = ("[x]", _YELLOW) if page.always else ("[ ]", _DIM)
    yield ""
    yield f" {pen.paint(f'{box} always', _BOLD)}  {pen.paint('do not ask again in this run about', text)}"
    for words in page.allows:
        yield from (f"     {pen.paint(line, text)}" for line in wrapped(_safe(words), pen.columns - 6))


def _foot(page: Page, pen: Pen) -> Iterator[str]:
    """Return a row for the note, and the keys in as many rows as they take."""
    yield pen.paint(cut(f" {_line(page.note)}", pen.columns - 1), _YELLOW) if page.note else ""
    row, used = "", 0
    for key, words in _keys(page):
        size = width(f"{key} {words}") + 3
        if used and used + size > pen.columns:
            yield row
            row, used = "", 0
        row += f" {pen.paint(key, _BOLD)} {words}  "
        used += size
    yield row


def _keys(page: Page) -> Iterator[tuple[str, str]]:
    count = len(page.plan)
    if not page.told:
        yield "y", f"start {counted(count - len(page.dropped))}"
        yield "n", "refuse"
        if count > 1:
            yield f"1-{min(count, NUMBERED)}", "leave out"
        yield "e", "edit the plan"
        if page.allows:
            yield "a", "[x] always" if page.always else "[ ] always"
    yield "t", "less" if page.is_whole else "all text"
    if page.place[1] > 1 or (page.told and page.place[1]):
        yield "Tab", "the next"
    yield "q", "leave"


def _safe(text: str) -> str:
    """Return text of several lines that does nothing to a terminal."""
    return printable(text.expandtabs(4)).strip("\n")


def _line(text: str) -> str:
    """Return text on one line that does nothing to a terminal: its first line with something in it."""
    lines = [line for line in printable(text.expandtabs(4)).split("\n") if line.strip()]
    return (" ".join(lines[0].split()) + (" …" if len(lines) > 1 else "")) if lines else ""
