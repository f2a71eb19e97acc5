"""Answering a worker's dialog in place: it is shown as it is, and what the user presses goes to it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiorch import paths
from aiorch.errors import TmuxError, UsageError
from aiorch.journal import WorkerRow, WorkerState
from aiorch.journal.reading import reading
from aiorch.paths import RunPaths
from aiorch.tmux.ask import Ask
from aiorch.ui.full_screen import LEAVE, FullScreen, draw, pressed
from aiorch.ui.terminal import printable
from aiorch.workers.dialog import Words, bare, is_echo, is_redrawn, offers_choices, words_of
from aiorch.workers.profile import AgentProfile
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.state import AgentState, Glance, judge
from aiorch.workers.state_rules import StateRules
from aiorch.workers.turn import INTERRUPTED

LOOK_SECONDS = 0.2
REDRAW_SECONDS = 0.25
"""How long a key waits for what an agent draws because of the one before."""
TAKEN_SECONDS = 2.0
"""How long after a key that decides none goes to a dialog that stays as it was."""
SEEN_SECONDS = 0.5
"""How long after such a key none goes to another dialog: a key pressed twice was not meant for that."""
_TYPED = 200
_NEXT = "\x0e"
_KEYS = {
    "\r": "Enter", "\n": "Enter", "\t": "Tab", "\x7f": "BSpace", "\x1b": "Escape", "\x1b[Z": "BTab",
    "\x1b[A": "Up", "\x1b[B": "Down", "\x1b[C": "Right", "\x1b[D": "Left",
    "\x1bOA": "Up", "\x1bOB": "Down", "\x1bOC": "Right", "\x1bOD": "Left",
}  # fmt: skip
_DECIDING = ("\r", "\n", "\x1b")
_FACTS = "#{pane_width} #{cursor_flag} #{alternate_on} #{pane_in_mode} #{pane_title}"
# What an agent waits for with its input box, not with a dialog.
_IN_BOX = (INTERRUPTED, "error:")


@dataclass(frozen=True, slots=True)
class Dialog:
    """What a waiting worker's pane shows now: its rows with colours, what it waits for, '' when it does not.

    `is_covered`: the pane is in copy mode, where keys would mean something else.
    """

    rows: Sequence[str]
    waits: str
    is_covered: bool

    @property
    def words(self) -> Words:
        """Return what it says, whatever is selected in it."""
        return words_of(self.rows)


@dataclass(slots=True)
class _Decided:
    """What a dialog said when a key was sent that decides, and until when no other is (monotonic seconds)."""

    words: Words
    until: float
    is_drawn: bool = False

    def see(self, now: Dialog) -> None:
        """Note what is seen after it."""
        if not self.is_drawn and is_redrawn(self.words, now.words):
            self.is_drawn, self.until = True, time.monotonic() + SEEN_SECONDS


class Answering:
    """One worker's dialog; `ask` is its tmux."""

    def __init__(self, ask: Ask, run: RunPaths, row: WorkerRow, rules: StateRules) -> None:
        self._ask, self._run, self._rules = ask, run, rules
        self.row = row
        self._decided: _Decided | None = None
        # What was typed since the last key that decided; the agent shows it in its input box.
        self._typed, self._in_text = "", False

    def look(self) -> Dialog:
        """Return the dialog as it is now. Raises TmuxError when the pane is gone."""
        rows = self._ask.run("capture-pane", "-p", "-e", "-t", self.row.pane).split("\n")
        plain = self._ask.run("capture-pane", "-p", "-t", self.row.pane).split("\n")
        facts = self._ask.run("display-message", "-p", "-t", self.row.pane, _FACTS)
        width, cursor, alternate, mode, title = (facts.split(" ", 4) + [""] * 5)[:5]
        glance = Glance(
            tuple(text.rstrip() for text in plain), title, int(width), cursor == "1", alternate == "1"
        )
        dialog = Dialog(rows, self._waits(glance), mode == "1")
        if self._decided:
            self._decided.see(dialog)
        return dialog

    def _waits(self, glance: Glance) -> str:
        verdict = judge(self._rules, glance)
        if verdict.state is AgentState.WAITING:
            return verdict.reason or "a person"
        if verdict.state in (AgentState.WORKING, AgentState.EXITED):
            return ""
        # Its screen shows no dialog: what the engine knows of it by other evidence counts.
        row = _waiting(self._run).get(self.row.name)
        waits = row.waits if row else ""
        # Of a dialog that was just answered it knows for a moment longer: that must not take another key.
        return waits if verdict.state is AgentState.UNKNOWN or waits.startswith(_IN_BOX) else ""

    def press(self, shown: Dialog, key: str) -> str:
        """Hand one key to the dialog that was `shown`; return why not, '' when it was.

        It goes nowhere when the worker waits no more, or for something else, or still has to take the key
        before. Where one letter may decide, the others of a text wait until the first is seen.
        """
        if key not in _KEYS and not key.isprintable():
            return "this key means nothing here"
        now = self._settled()
        if now.is_covered:
            return "the pane is in copy mode: leave that first"
        if self._decided and now.waits:
            return "too soon after the last key: this one was not sent"
        if not now.waits or now.waits != shown.waits or not self._is_same(shown, now):
            self._typed, self._in_text = "", False
            return "it shows something else by now: nothing was sent"
        if key in _KEYS:
            self._ask.run("send-keys", "-t", self.row.pane, _KEYS[key])
            self._note_sent(key, now)
            return ""
        first = key if self._is_text(now) else key[0]
        self._ask.run("send-keys", "-t", self.row.pane, "-l", "--", first)
        self._note_sent(first, now)
        return self.press(shown, key[len(first) :]) if key[len(first) :] else ""

    def _settled(self) -> Dialog:
        """Return the dialog once the last key was taken, or a moment later."""
        end = time.monotonic() + REDRAW_SECONDS
        while True:
            now = self.look()
            if self._decided is None:
                return now
            last, at = self._decided, time.monotonic()
            self._in_text = last.is_drawn and self._is_echo(last.words, now.words)
            if self._in_text or at > last.until:
                self._decided = None
            if self._decided is None or at > end:
                return now
            time.sleep(LOOK_SECONDS / 10)

    def _is_same(self, shown: Dialog, now: Dialog) -> bool:
        return shown.words == now.words or self._is_echo(shown.words, now.words)

    def _is_echo(self, before: Words, after: Words) -> bool:
        return bool(self._typed) and is_echo(before, after, self._typed)

    def _is_text(self, now: Dialog) -> bool:
        """Say whether what is typed goes into an input box; else one letter may decide."""
        return self._in_text or now.waits.startswith(_IN_BOX) or not offers_choices(now.words)

    def _note_sent(self, key: str, now: Dialog) -> None:
        if key in _KEYS:
            is_deciding = key in _DECIDING
            self._typed = "" if is_deciding else self._typed + "\x7f" * (key == "\x7f")
            self._in_text &= not is_deciding
        else:
            is_deciding = not self._is_text(now) and key != " "
            self._typed = (self._typed + key)[-_TYPED:]
        self._decided = _Decided(now.words, time.monotonic() + TAKEN_SECONDS) if is_deciding else None


def answer(run: RunPaths, socket: str, name: str | None) -> int:
    """Let the user answer a worker that waits, by default the first one, then the others; return 0.

    Raises UsageError when nobody waits, or we are on no terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError("answering needs a terminal: press prefix + O, then a")
    waiting = _waiting(run)
    if name is not None and name not in waiting:
        raise UsageError(f"worker {name} does not wait for anybody")
    if not waiting:
        raise UsageError("no worker waits for anybody")
    profiles = load_profiles(paths.config_dir() / "profiles")
    with FullScreen():
        row = waiting[name] if name else next(iter(waiting.values()))
        while True:
            try:
                following = _answer_one(Answering(Ask(socket), run, row, _rules(row, profiles)), run)
            except TmuxError:
                following = _following(run, row)
            if following is None:
                return 0
            row = following


def _answer_one(one: Answering, run: RunPaths) -> WorkerRow | None:
    """Show one worker's dialog until it is answered or left; return the next one to answer."""
    drawn, note = "", ""
    while True:
        dialog = one.look()
        if not dialog.waits:
            return _following(run, one.row)
        text = _drawing(one.row.name, dialog, note)
        if text != drawn:
            drawn = text
            draw(text)
        for key in pressed(LOOK_SECONDS):
            if key == LEAVE:
                return None
            if key == _NEXT:
                return _following(run, one.row)
            note = one.press(dialog, key)
            if note:
                break


def _rules(row: WorkerRow, profiles: dict[str, AgentProfile]) -> StateRules:
    profile = profiles.get(row.agent)
    return profile.states if profile else StateRules()


def _waiting(run: RunPaths) -> dict[str, WorkerRow]:
    with reading(run.journal) as journal:
        return {row.name: row for row in journal.active() if row.state is WorkerState.WAITING}


def _following(run: RunPaths, row: WorkerRow) -> WorkerRow | None:
    """Return the next worker that waits after this one, None when there is no other."""
    others = [other for other in _waiting(run).values() if other.number != row.number]
    return next((other for other in others if other.number > row.number), others[0] if others else None)


def _drawing(name: str, dialog: Dialog, note: str) -> str:
    columns, height = shutil.get_terminal_size()
    rows = [text for text in dialog.rows if bare(text).strip()]
    shown = rows[-max(1, height - 3) :]
    head = printable(f" {name} waits: {dialog.waits} ")[:columns]
    foot = printable(note or "Keys go to this dialog.  Ctrl-N: the next that waits  Ctrl-C: leave")[:columns]
    # Rows of a wider pane are cut at the edge.
    body = "".join(f"{text}\033[0m\033[K\r\n" for text in shown)
    return f"\033[H\033[7m{head}\033[0m\033[K\r\n{body}\033[J\033[{height};1H\033[2m{foot}\033[0m\033[K"


def go_to_next(run: RunPaths, socket: str, client: str | None) -> int:
    """Show a tmux client the next worker that waits, after the pane it is at; return 0.

    Raises UsageError when nobody waits.
    """
    ask, target = Ask(socket), ["-c", client] if client else []
    waiting = list(_waiting(run).values())
    if not waiting:
        raise UsageError("no worker waits for anybody")
    pane = ask.run("display-message", "-p", *target, "#{pane_id}")
    here = next((index for index, row in enumerate(waiting) if row.pane == pane), -1)
    ask.run("switch-client", *target, "-t", waiting[(here + 1) % len(waiting)].pane)
    return 0
