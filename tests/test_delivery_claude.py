"""Messages to a real Claude Code whose user is busy in the same pane: each arrives once, nothing is mixed."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aiorch.journal import MessageState
from aiorch.workers.input_box import find_box, squeezed
from aiorch.workers.profile_file import load_profiles
from support.client import PREFIX, Client
from support.lab import Lab, until
from support.mock_claude import MockClaude, claude_env, prepare_home
from support.mock_model import Answer

SECONDS = 60.0
SHAPE = load_profiles(None)["claude"].input
assert SHAPE is not None
SIZES = ((160, 44), (150, 40), (132, 30), (170, 50))
DRAFT = "draft of the user number"
MARK = re.compile(r"\[aiorch message (\d+)-[0-9a-f]{4} from ")

pytestmark = pytest.mark.registry


class Model(MockClaude):
    """A model that works for as long as it is held, and asks to run a command, where the prompt says so."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, threading.Event] = {}
        self.asked: list[list[str]] = []
        self._answered: set[str] = set()

    def answer(self, request: dict[str, Any]) -> Answer:
        if not request.get("tools"):
            return Answer("ok")
        said = [text for text in self.said(request) if not text.startswith("<system-reminder>")]
        self.asked.append(said)
        texts = (re.fullmatch(r"(busy|dialog)-\d+", text.strip()) for text in said)
        found = next((one for one in texts if one and one[0] not in self._answered), None)
        if found is None:
            return Answer("Fine.")
        self._answered.add(found[0])
        if found[1] == "busy":
            return Answer("I work.", held=self.held[found[0]])
        return Answer("I run it.", run=f"touch {found[0]}")


class Stage:
    """Claude Code in the primary of a lab, a client whose keys are the user's, and the disturbances."""

    def __init__(self, lab: Lab, model: Model, client: Client, seed: int) -> None:
        self.lab, self.model, self.client = lab, model, client
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.drafts: list[str] = []

    @property
    def screen(self) -> str:
        return self.lab.tmux("capture-pane", "-p", "-t", "%0")

    def shows(self, *texts: str) -> bool:
        """Say whether texts are on the screen, however their rows are broken."""
        screen = " ".join(self.screen.split())
        return all(text in screen for text in texts)

    def box(self) -> str | None:
        """Return what stands in the input box, None when there is none."""
        rows = self.lab.tmux("capture-pane", "-p", "-e", "-t", "%0").split("\n")
        form = "#{cursor_x} #{cursor_y} #{pane_width}"
        x, y, columns = (int(part) for part in self.lab.tmux("display", "-p", "-t", "%0", form).split())
        assert SHAPE is not None
        box = find_box(SHAPE, rows, (x, y), columns)
        return None if box is None else box.text.strip()

    def until(self, found: Callable[[], object], what: str) -> None:
        """Wait while the client's terminal is drained."""

        def drained() -> object:
            self.client.pump(0.0)
            return found()

        try:
            until(drained, what, SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.screen}") from error

    def rest(self, least: float, most: float) -> None:
        end = time.monotonic() + self.random.uniform(least, most)
        while (left := end - time.monotonic()) > 0:
            self.client.pump(left)

    def send(self, number: int) -> None:
        lines = self.random.choice((0, 0, 1, 4, 20))
        text = f"text number {number}" + "".join(f"\nline {line} of {number}" for line in range(lines))
        self.lab.request({"verb": "send", "to": ["lead"], "text": text})

    def state(self, number: int) -> str:
        journal = self.lab.journal()
        found = {row.number: str(row.state) for row in journal.messages()}
        journal.close()
        return found.get(number, "")

    def ask(self, text: str) -> None:
        """Send a prompt as the user does who waits until the box is free."""
        self.until(lambda: self.box() == "", f"room for {text}")
        self.client.send(text)
        if not self._is_alone(text):
            self._take_back(len(text))
            self.ask(text)
            return
        self._press_enter(text)

    def _press_enter(self, text: str) -> None:
        """Send what stands in the box; pressed again when that was not heard, as people do."""
        for _ in range(5):
            self.client.send("\r")
            end = time.monotonic() + 2.0
            while time.monotonic() < end:
                self.client.pump(0.02)
                if self.box() != text:
                    return
            self.counts["Enter was not heard"] += 1
        raise AssertionError(f"{text} cannot be sent off:\n{self.screen}")

    def _is_alone(self, text: str) -> bool:
        """Say whether a text that was typed stands alone in the box, or together with a message."""
        wanted = squeezed(text)
        self.until(lambda: wanted in squeezed(self.box() or ""), f"{text} is typed")
        return squeezed(self.box() or "") == wanted

    def _take_back(self, count: int) -> None:
        """Take away what was typed into a box in which a message was at that moment."""
        self.counts["met a message in the box"] += 1
        self.client.send("\x7f" * count)

    @contextmanager
    def nothing(self, _number: int) -> Iterator[None]:
        yield

    @contextmanager
    def copy_mode(self, _number: int) -> Iterator[None]:
        self.client.send(PREFIX + "[")
        self.until(lambda: self.in_mode() == "1", "copy mode")
        yield
        assert self.in_mode() == "1"
        self.client.send("q")
        self.until(lambda: self.in_mode() == "0", "no copy mode")

    def in_mode(self) -> str:
        return self.lab.tmux("display", "-p", "-t", "%0", "#{pane_in_mode}")

    @contextmanager
    def draft(self, number: int) -> Iterator[None]:
        text = f"{DRAFT} {number}"
        self.client.send(text)
        if not self._is_alone(text):
            yield
            self._take_back(len(text))
            return
        yield
        assert self.box() == text
        if self.random.random() < 0.3:
            self.drafts.append(text)
            self._press_enter(text)
        else:
            self.client.send("\x15")
        self.until(lambda: self.box() != text, "the draft is gone")

    @contextmanager
    def busy(self, number: int) -> Iterator[None]:
        name = f"busy-{number}"
        self.model.held[name] = threading.Event()
        self.ask(name)
        self.until(lambda: any(name in said for said in self.model.asked), "it works")
        yield
        self.model.held[name].set()

    @contextmanager
    def dialog(self, number: int) -> Iterator[None]:
        name = f"dialog-{number}"
        self.ask(name)
        self.until(lambda: self.shows(f"touch {name}", "Do you want", "Esc to cancel"), "a dialog")
        before, asked = self._dialog(), len(self.model.asked)
        yield
        assert self._dialog() == before and len(self.model.asked) == asked
        assert not (self.lab.project / name).exists()
        self.client.send("1" if self.random.random() < 0.5 else "\x1b")
        self.until(lambda: not self.shows("Do you want"), "the dialog is answered")

    def _dialog(self) -> str:
        return "".join(self.screen.rpartition("Do you want")[2].split())

    @contextmanager
    def menu(self, _number: int) -> Iterator[None]:
        self.ask("/model")
        self.until(lambda: self.shows("Select model", "Esc to cancel"), "the menu")
        yield
        # What is selected first is still selected.
        assert self.shows("Select model", "❯ 1. Default")
        self.client.send("\x1b")
        self.until(lambda: not self.shows("Select model"), "the menu is closed")

    def deliver(self, number: int) -> None:
        """Send one message, with one disturbance that began before or begins meanwhile."""
        kinds = (self.nothing, self.copy_mode, self.draft, self.draft, self.busy, self.dialog, self.menu)
        kind = self.random.choice(kinds)
        self.counts[kind.__name__] += 1
        is_late = self.random.random() < 0.5
        if is_late:
            self.counts["begun after the message"] += 1
            self.send(number)
            self.rest(0.0, 0.5)
        with kind(number):
            if not is_late:
                self.send(number)
            # Longer than a key that was pressed counts: then the state of the pane alone has to tell.
            is_long = self.random.random() < 0.3
            self.counts["held for long"] += is_long
            self.rest(*((2.5, 4.0) if is_long else (0.1, 0.8)))
            if self.random.random() < 0.3:
                self.counts["resized"] += 1
                self.client.resize(*self.random.choice(SIZES))
                self.rest(0.2, 0.6)
        self.until(lambda: self.state(number) == MessageState.DELIVERED, f"{number} {kind.__name__}")

    def check(self, count: int) -> None:
        """Count what the model was told."""
        said = self.model.asked[-1]
        marks = Counter(mark for text in said for mark in MARK.findall(text))
        assert marks == {str(number): 1 for number in range(1, count + 1)}
        mixed = [text for text in said if MARK.search(text) and (DRAFT in text or "busy-" in text)]
        assert mixed == []
        assert [text.strip() for text in said if DRAFT in text] == self.drafts
        for number in range(1, count + 1):
            (text,) = [text for text in said if f"[aiorch message {number}-" in text]
            assert re.search(rf"text number {number}$", text, re.MULTILINE)
            lines = re.findall(r"^line (\d+) of (\d+)", text, re.MULTILINE)
            assert lines == [(str(line), str(number)) for line in range(len(lines))]


@contextmanager
def stage(claude: Path, root: Path, seed: int) -> Iterator[Stage]:
    with Model() as model:
        env = {name: value for name, value in claude_env(Path("/"), model.url).items() if name[0] not in "HP"}
        lab = Lab(root, env=env, size=SIZES[0])
        lab.be_primary("claude", f'#!/bin/sh\nexec "{claude}" --permission-mode default "$@"\n')
        prepare_home(lab.home, lab.project)
        with lab, Client(str(lab.socket), size=SIZES[0]) as client:
            one = Stage(lab, model, client, seed)
            one.until(lambda: one.box() == "", "the prompt")
            lab.start("")
            one.until(lambda: one.box() == "", "the prompt in a column")
            yield one


@pytest.mark.parametrize(
    "count", [20, pytest.param(200, marks=pytest.mark.slow)], ids=lambda count: f"{count}-messages"
)
def test_every_message_arrives_once_and_alone(claude: Path, tmp_path: Path, count: int) -> None:
    with stage(claude, tmp_path / "lab", seed=count) as one:
        for number in range(1, count + 1):
            one.deliver(number)
        one.until(lambda: one.box() == "", "the last one is answered")
        one.check(count)
        print(dict(one.counts))
