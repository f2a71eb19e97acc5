"""An agent with an input box: it draws one, takes pasted text, and says what it read; run as a program."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tty
from pathlib import Path

EDGE = "─"
MOST_LINES = 14
_KEY = re.compile(r"\x1b\[200~(.*?)\x1b\[201~|.", re.DOTALL)


class Agent:
    """Its conversation, its box, and what it does at the moment: idle, working or dialog."""

    def __init__(self, home: Path, name: str) -> None:
        kinds = ("orders", "obeyed", "heard", "keys")
        self.orders, self.obeyed, self.heard, self.keys = (home / f"{kind}-{name}" for kind in kinds)
        self.text, self.mode, self.seen = "", "working", 0
        self.said: list[str] = []
        # What stands for them in the box is shorter.
        self.long: list[str] = []
        self.is_mute = False
        self.orders.touch()

    def draw(self) -> None:
        """Draw all of the screen, and place the cursor where the user types."""
        if self.is_mute:
            return
        columns, rows = os.get_terminal_size()
        body = [row for one in self.said for row in _wrapped(f"> {one}", columns)] + [""]
        if self.mode == "dialog":
            shown = [*body, "Do you want to proceed?", " ❯ 1. Yes", "   2. No"]
            column, row = 1, len(shown) - 1
        else:
            text = self.text
            for one in self.long:
                text = text.replace(one, f"[Pasted text #1 +{one.count(chr(10))} lines]")
            parts = _wrapped(text, columns - 3)
            box = [f"{'  ' if index else '❯ '}{part}" for index, part in enumerate(parts)]
            box = box if self.text else ["❯ \x1b[2mTry something\x1b[0m"]
            shown = [*body, EDGE * columns, *box, EDGE * columns, "hints"]
            column, row = 3 + len(parts[-1]), len(shown) - 2
        left_out = max(0, len(shown) - rows)
        state = "waiting" if self.mode == "dialog" else self.mode
        screen = "\r\n".join(shown[left_out:])
        end = f"\x1b[{row - left_out};{column}H\x1b]2;STATE {state}\x07"
        os.write(1, f"\x1b[?2004h\x1b[2J\x1b[H{screen}{end}".encode())

    def take(self, data: str) -> None:
        """Read what was typed or pasted."""
        with self.keys.open("a") as file:
            file.write(data)
        for found in _KEY.finditer(data):
            if self.mode == "dialog":
                return
            if found[1] is not None:
                pasted = found[1].replace("\r", "\n")
                self.text += pasted
                self.long += [pasted] if pasted.count("\n") > MOST_LINES else []
            elif found[0] == "\r":
                self._submit()
            elif found[0] in "\x7f\x15":
                self.text = self.text[:-1] if found[0] == "\x7f" else ""
            elif found[0].isprintable():
                self.text += found[0]

    def _submit(self) -> None:
        if self.text:
            self.said.append(self.text)
            with self.heard.open("a") as file:
                file.write(f"{self.text}\0")
            self.text, self.long = "", []

    def obey(self) -> None:
        """Do what the test has ordered since the last call."""
        lines = self.orders.read_text().split("\n")[:-1]
        for line in lines[self.seen :]:
            if line == "exit":
                sys.exit(0)
            if line in ("mute", "loud"):
                self.is_mute = line == "mute"
            elif line.startswith("run "):
                words, given, told = json.loads(line[4:])
                done = subprocess.run(words, input=given, text=True, capture_output=True, check=False)
                Path(told).write_text(f"{done.stdout}{done.stderr}\0")
            else:
                self.mode = line
            self.draw()
        if len(lines) > self.seen:
            self.seen = len(lines)
            self.obeyed.write_text(str(self.seen))


def _wrapped(text: str, columns: int) -> list[str]:
    return [part for line in text.split("\n") for part in re.findall(f".{{1,{columns}}}", line) or [""]]


def main() -> None:
    """Be the agent until it is told to exit."""
    agent = Agent(Path(os.environ["HOME"]), os.environ.get("AIORCH_WORKER", "lead"))
    tty.setraw(0)
    agent.draw()
    left, size = b"", os.get_terminal_size()
    while True:
        if os.get_terminal_size() != size:
            size = os.get_terminal_size()
            agent.draw()
        if select.select([0], [], [], 0.02)[0]:
            left += os.read(0, 65536)
            text = left.decode("utf-8", "ignore")
            # A paste may come in parts.
            if text.count("\x1b[200~") == text.count("\x1b[201~") and text.encode() == left:
                agent.take(text)
                left = b""
                agent.draw()
        agent.obey()


if __name__ == "__main__":
    main()
