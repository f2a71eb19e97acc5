"""Looking at directives that wait: what they say, what would run, and an answer that may change the plan."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aiorch.client import request
from aiorch.draft import Draft
from aiorch.errors import AiorchError, DirectiveError, UsageError
from aiorch.journal import DirectiveRow, DirectiveState
from aiorch.journal.reading import reading
from aiorch.paths import RunPaths
from aiorch.plan.schema import WorkerSpec
from aiorch.plan.stored import from_text, to_payload, without
from aiorch.ui.full_screen import LEAVE, FullScreen, draw, forget_typed, pressed
from aiorch.ui.review_page import NUMBERED, Page, body_height, drawing, last_top
from aiorch.ui.terminal import printable, use_color

LOOK_SECONDS = 0.3
"""How often is looked whether somebody else has answered."""
SEEN_SECONDS = 0.5
"""How long a question that came by itself must be seen before a key answers it."""
ASK_SECONDS = 2.0
_QUIT = ("q", "\x1b", LEAVE)
_SCROLL = {
    "\x1b[A": -1, "\x1bOA": -1, "k": -1, "\x1b[B": 1, "\x1bOB": 1, "j": 1,
    "\x1b[5~": -10, "\x1b[6~": 10, " ": 10,
}  # fmt: skip
_AFTER, _BEFORE = "\t", "\x1b[Z"


def review(run: RunPaths, number: int | None) -> int:
    """Let the user look at a question, by default the first one, and at the others; return 0.

    Raises UsageError when there is none, or we are on no terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError("looking at a plan needs a terminal: press prefix + O, then v")
    waiting = _waiting(run)
    with reading(run.journal) as journal:
        row = journal.directive(number) if number is not None else next(iter(waiting), None)
    if row is None:
        what = (
            "no directive waits for an answer" if number is None else f"this run has no directive #{number}"
        )
        raise UsageError(what)
    with FullScreen() as screen:
        said = Review(run, screen, row).go()
    if said:
        print(printable(said), flush=True)  # noqa: T201 - the command's output
    return 0


class Review:
    """One question after the other on a screen, and what the user wants of each."""

    def __init__(self, run: RunPaths, screen: FullScreen, row: DirectiveRow) -> None:
        self._run, self._screen = run, screen
        self._said, self._drawn = "", ""
        self._ready = 0.0
        self._look_at(row)

    def go(self) -> str:
        """Show questions until the user leaves or the last one is answered; return the last answer."""
        while True:
            self._show()
            keys = pressed(LOOK_SECONDS)
            if not keys:
                self._look_again()
            for text in keys:
                # Special keys come alone; what is typed fast comes together.
                for key in [text] if text.startswith("\x1b") else text:
                    if key in _QUIT or not self._press(key):
                        return self._said

    def _look_at(self, row: DirectiveRow, note: str = "") -> None:
        """Turn to a question, as it was asked."""
        self._row, self._draft = row, Draft(self._run.root, row.number)
        self._page = Page(
            number=row.number,
            place=self._place(row.number),
            source=row.source,
            time=_clock(row.created, time.time()),
            reason=row.reason,
            task=str(row.payload.get("task") or row.received_as),
            plan=from_text(row.plan),
            note=note,
            told=_told(row),
        )
        self._plan: Sequence[WorkerSpec] = self._page.plan
        if not self._page.told:
            self._see_always()
            if self._draft.exists and not note:
                self._note("the plan as you left it in the editor is kept: e opens it")

    def _place(self, number: int) -> tuple[int, int]:
        numbers = [row.number for row in _waiting(self._run)]
        return (numbers.index(number) + 1 if number in numbers else 0), len(numbers)

    def _show(self) -> None:
        columns, rows = shutil.get_terminal_size()
        text = drawing(self._page, columns, rows, color=use_color())
        if text != self._drawn:
            self._drawn = text
            draw(text)

    def _look_again(self) -> None:
        """See whether the question still waits."""
        with reading(self._run.journal) as journal:
            row = journal.directive(self._row.number)
        told = _told(row) if row else "it is gone"
        self._change(told=told, place=self._place(self._row.number))

    def _press(self, key: str) -> bool:
        """Do what a key means; return whether to go on."""
        self._change(note="")
        if key in _SCROLL:
            self._scroll(_SCROLL[key])
        elif key == "t":
            self._change(is_whole=not self._page.is_whole, top=0)
        elif key in (_AFTER, _BEFORE):
            return self._turn(1 if key == _AFTER else -1)
        elif self._page.told:
            self._note("it is answered: Tab goes to the next, q leaves")
        elif key in ("y", "n") and time.monotonic() < self._ready:
            self._note("this is another question: look first")
        elif key == "y":
            return self._approve()
        elif key == "n":
            return self._answer({"verb": "decline"})
        elif key == "e":
            self._edit()
        elif key == "a":
            self._toggle_always()
        elif key.isdecimal() and 0 < int(key) <= min(NUMBERED, len(self._plan)):
            self._toggle(self._plan[int(key) - 1].name)
        else:
            self._note("this key means nothing here")
        return True

    def _scroll(self, by: int) -> None:
        length, height = body_height(self._page, *shutil.get_terminal_size())
        last = last_top(length, height)
        self._change(top=max(0, min(last, min(last, self._page.top) + by)))

    def _turn(self, by: int) -> bool:
        """Turn to the next question, or the one before; return False when an answered one was the last."""
        rows = _waiting(self._run)
        others = [row for row in rows if row.number != self._row.number]
        if not others:
            self._note("no other question waits")
            return not self._page.told
        after = [row for row in others if (row.number > self._row.number) == (by > 0)]
        ordered = after or others
        self._look_at(ordered[0] if by > 0 else ordered[-1])
        return True

    def _toggle(self, name: str) -> None:
        """Leave a worker out, or take it in again."""
        self._change(dropped=frozenset(self._page.dropped) ^ {name})
        self._see_plan()
        self._see_always()

    def _see_plan(self) -> None:
        """Show what the others wait for now."""
        try:
            left = {worker.name: worker for worker in without(self._plan, self._page.dropped)}
        except DirectiveError:
            left = {}
            self._note("nothing of it is left: n refuses it")
        self._change(plan=[left.get(worker.name, worker) for worker in self._plan])

    def _toggle_always(self) -> None:
        if not self._page.allows:
            self._note("there is nothing here that could be allowed for good")
            return
        # What it is about stands at the end of the page.
        self._change(always=not self._page.always, top=sys.maxsize)

    def _see_always(self) -> None:
        """Ask the engine what would be allowed for good as things are."""
        try:
            found = self._preview(self._terms())
        except AiorchError:
            # All are left out, or no engine is there to ask.
            self._change(allows=(), always=False)
            return
        allows = found.get("always")
        words = tuple(map(str, allows)) if isinstance(allows, list) else ()
        self._change(allows=words, always=self._page.always and bool(words))

    def _preview(self, terms: Mapping[str, object]) -> dict[str, object]:
        """Return what the engine says would run. Raises DirectiveError when that cannot be."""
        (answer,) = _list(request(self._run.root, {"verb": "plan", **terms}, ASK_SECONDS).get("answers"))
        if answer["state"] != "plan":
            raise DirectiveError(str(answer["text"]))
        found: dict[str, object] = json.loads(str(answer["text"]))
        return found

    def _terms(self) -> dict[str, object]:
        """Return how the question is to be answered, but for `always`."""
        terms: dict[str, object] = {"number": str(self._row.number)}
        if self._page.dropped:
            terms["drop"] = sorted(self._page.dropped)
        if self._page.is_edited:
            terms["workers"] = to_payload(self._plan)
        return terms

    def _edit(self) -> None:
        """Let the user write the plan anew; what was written is kept until it can be used."""
        left = [worker for worker in self._page.plan if worker.name not in self._page.dropped]
        try:
            workers = self._draft.edit(self._screen, left or self._plan)
            self._drawn = ""
            if workers is None:
                self._note("the plan is as before")
                return
            terms: dict[str, object] = {"number": str(self._row.number), "workers": workers}
            found = self._preview(terms)
        except AiorchError as error:
            self._drawn = ""
            self._note(f"{error}; e opens it again")
            return
        self._draft.forget()
        self._plan = from_text(json.dumps(found.get("workers")))
        self._change(plan=self._plan, dropped=frozenset(), is_edited=True, top=0)
        self._see_always()
        self._note("this is what y starts now")

    def _approve(self) -> bool:
        terms = self._terms()
        if self._page.always:
            terms["always"] = True
        return self._answer({"verb": "approve", **terms})

    def _answer(self, body: Mapping[str, object]) -> bool:
        """Answer the question and turn to the next one; return whether there is one."""
        try:
            reply = request(self._run.root, {"number": str(self._row.number), **body})
        except AiorchError as error:
            self._note(str(error))
            return True
        self._draft.forget()
        (answer,) = _list(reply.get("answers"))
        text = str(answer["text"])
        if answer["state"] == "refused":
            self._change(told=f"it is refused: {text}")
            return True
        self._said = text
        rows = _waiting(self._run)
        if rows:
            self._look_at(rows[0], text)
            # A key that was pressed twice was not meant for a question that nobody has seen.
            forget_typed()
            self._ready = time.monotonic() + SEEN_SECONDS
        return bool(rows)

    def _note(self, text: str) -> None:
        self._change(note=text)

    def _change(self, **changes: object) -> None:
        self._page = replace(self._page, **changes)  # type: ignore[arg-type]


def _clock(then: float, now: float) -> str:
    """Return a time for people, with the day unless it is today's."""
    at = time.localtime(then)
    is_today = at[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", at)


def _list(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []


def _waiting(run: RunPaths) -> list[DirectiveRow]:
    with reading(run.journal) as journal:
        return journal.directives(DirectiveState.ASKING)


def _told(row: DirectiveRow) -> str:
    """Return what became of a directive, '' while it waits."""
    if row.state is DirectiveState.ASKING:
        return ""
    return f"it was answered elsewhere: {row.state}{f', {row.reason}' if row.reason else ''}"
