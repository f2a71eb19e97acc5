#!/usr/bin/env python3
"""Draw a PNG of what a person sees in a tmux client: panes, borders, status bar, menus.

An outer tmux server of its own runs `tmux attach` to the wanted session in its only pane;
`capture-pane -e` of that pane is the client's whole screen, drawn here cell by cell.
Needs: tmux, pillow, wcwidth, DejaVu Sans Mono (Debian: fonts-dejavu-core).
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from cells import BACKGROUND, BOLD, FOREGROUND, UNDERLINE, Glyph, glyphs
from PIL import Image, ImageDraw, ImageFont

FONT_FOLDERS = ("/usr/share/fonts/truetype/dejavu", "/usr/share/fonts/TTF", "/Library/Fonts", "")
MARGIN = 10
SETTLE_SECONDS = 0.3
# Left, right, up, down: drawn as lines so that borders join without gaps.
BOXES = {"─": 3, "━": 3, "│": 12, "┃": 12, "┌": 10, "╭": 10, "┐": 9, "╮": 9, "└": 6, "╰": 6, "⎿": 6}
BOXES |= {"┘": 5, "╯": 5, "├": 14, "┤": 13, "┬": 11, "┴": 7, "┼": 15}
OUTER_CONF = """set -g status off
set -g default-terminal tmux-256color
set -g terminal-overrides ',*:Tc'
set -g prefix None
set -g escape-time 0
set -g remain-on-exit on
"""


class Painter:
    """Draws glyphs on an image of so many columns and rows."""

    def __init__(self, cols: int, rows: int, size: int) -> None:
        self._size = size
        font = self._font("DejaVuSansMono.ttf")
        ascent, descent = font.getmetrics()
        self._cell = round(font.getlength("M")), ascent + descent
        extent = cols * self._cell[0] + 2 * MARGIN, rows * self._cell[1] + 2 * MARGIN
        self.image = Image.new("RGB", extent, BACKGROUND)
        self._draw = ImageDraw.Draw(self.image)

    @cache  # noqa: B019 - one painter per picture
    def _font(self, name: str) -> ImageFont.FreeTypeFont:
        for folder in FONT_FOLDERS:
            try:
                return ImageFont.truetype(str(Path(folder) / name), self._size)
            except OSError:
                continue
        sys.exit(f"{name} not found: install the DejaVu fonts (Debian: fonts-dejavu-core)")

    @cache  # noqa: B019
    def _font_for(self, char: str, bold: bool) -> ImageFont.FreeTypeFont:
        mono = self._font("DejaVuSansMono-Bold.ttf" if bold else "DejaVuSansMono.ttf")
        unknown = bytes(mono.getmask("\U0010fffd"))
        # DejaVu Sans has signs (braille spinners for one) that the mono cut lacks.
        return mono if bytes(mono.getmask(char)) != unknown else self._font("DejaVuSans.ttf")

    def glyph(self, glyph: Glyph, y: int, cursor: bool = False) -> None:
        """Draw one character with its background."""
        width, height = self._cell
        left, top = MARGIN + glyph.x * width, MARGIN + y * height
        fg, bg = glyph.pen.colours()
        if cursor:
            fg, bg = bg, FOREGROUND
        right = left + glyph.width * width - 1
        if bg != BACKGROUND:
            self._draw.rectangle([left, top, right, top + height - 1], fill=bg)
        if glyph.char in BOXES:
            self._box(glyph.char, left, top, fg)
        elif glyph.char == "█":
            self._draw.rectangle([left, top, right, top + height - 1], fill=fg)
        elif glyph.char.strip():
            font = self._font_for(glyph.char, BOLD in glyph.pen.on)
            # A sign of the proportional cut is centred in its cell.
            shift = max((glyph.width * width - font.getlength(glyph.char)) / 2, 0)
            self._draw.text((left + shift, top), glyph.char, font=font, fill=fg)
        if UNDERLINE in glyph.pen.on:
            self._draw.line([left, top + height - 2, right, top + height - 2], fill=fg)

    def _box(self, char: str, left: int, top: int, fg: str) -> None:
        width, height = self._cell
        x, y = left + width // 2, top + height // 2
        ends = ((left, y), (left + width, y), (x, top), (x, top + height))
        thick = 2 if char in "━┃" else 1
        for bit, end in enumerate(ends):
            if BOXES[char] >> bit & 1:
                self._draw.line([(x, y), end], fill=fg, width=thick)


@contextmanager
def outer_client(inner: list[str], cols: int, rows: int) -> Iterator[list[str]]:
    """Attach a client in an outer tmux of the wanted size; yield the outer tmux's command."""
    with tempfile.TemporaryDirectory(prefix="shot-") as folder:
        outer = ["tmux", "-S", f"{folder}/sock", "-f", f"{folder}/conf"]
        env = {**os.environ, "LANG": "C.UTF-8", "TMUX": ""}
        Path(folder, "conf").write_text(OUTER_CONF)
        client = "exec env -u TMUX -u TMUX_PANE COLORTERM=truecolor " + shlex.join(inner)
        size = ["-x", str(cols), "-y", str(rows)]
        subprocess.run([*outer, "new-session", "-d", *size, client], env=env, check=True)
        try:
            yield outer
        finally:
            subprocess.run([*outer, "kill-server"], env=env, check=False, capture_output=True)


def _ask(outer: list[str], *command: str) -> str:
    return subprocess.run([*outer, *command], check=True, capture_output=True, text=True).stdout


def capture(outer: list[str]) -> str:
    """Return the client's screen as text with its colours."""
    return _ask(outer, "capture-pane", "-e", "-p")


def settled_screen(outer: list[str], deadline: float = 5.0) -> str:
    """Return the screen once it stopped changing, or as it is at the deadline (a spinner never stops)."""
    end = time.monotonic() + deadline
    screen, since = "", time.monotonic()
    while time.monotonic() < end:
        now = capture(outer)
        if now != screen or not now.strip():
            screen, since = now, time.monotonic()
        elif time.monotonic() - since > SETTLE_SECONDS:
            break
        time.sleep(0.05)
    return screen


def save_picture(outer: list[str], cols: int, rows: int, output: Path, font_size: int = 16) -> None:
    """Draw the client's screen as it is now."""
    column, line, visible = _ask(outer, "display", "-p", "#{cursor_x} #{cursor_y} #{cursor_flag}").split()
    painter = Painter(cols, rows, font_size)
    for y, row in enumerate(glyphs(capture(outer))):
        for glyph in row:
            is_cursor = visible == "1" and (glyph.x, y) == (int(column), int(line))
            painter.glyph(glyph, y, is_cursor)
    painter.image.save(output, optimize=True)


def main() -> int:
    """Take one picture as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("-S", "--socket", required=True, help="socket of the tmux server to look at")
    add("-t", "--target", default="", help="session to attach to")
    add("-o", "--output", required=True, type=Path)
    add("--size", default="140x40", help="columns x rows")
    add("--font-size", type=int, default=16)
    add("--keys", default="", help="keys pressed first, as tmux names them: 'C-b O'")
    add("--settle", type=float, default=1.5, help="longest wait for a still screen")
    options = parser.parse_args()
    cols, rows = (int(part) for part in options.size.split("x"))
    # Named, not left to be found out by a query that a quick picture would not wait for.
    inner = ["tmux", "-u", "-T", "RGB", "-S", options.socket, "attach-session"]
    inner += ["-t", options.target] if options.target else []
    with outer_client(inner, cols, rows) as outer:
        settled_screen(outer, options.settle)
        for key in options.keys.split():
            _ask(outer, "send-keys", key)
            settled_screen(outer, options.settle)
        save_picture(outer, cols, rows, options.output, options.font_size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
