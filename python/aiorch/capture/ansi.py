"""What a terminal shows of one line of output that does not address the cursor (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TAB = 8
MAX_COLUMNS = (1 << 20) + 65536

# One alternative per thing a line can hold; text without controls is matched in runs.
_PIECE = re.compile(
    rb"(?P<text>[^\x00-\x1f\x7f]+)"
    rb"|\x1b\[(?P<params>[0-?]*)[ -/]*(?P<final>[@-~])"
    rb"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"
    rb"|\x1b[ -/]+[0-~]?"
    rb"|\x1b[0-~]?"
    rb"|(?P<control>[\x00-\x1f\x7f])",
    re.DOTALL,
)
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(slots=True)
class Line:
    """One decoded line: its text, and the byte offset in the raw line of every character."""

    text: str
    offsets: list[int] | None = None

    def offset(self, index: int) -> int:
        """Return the byte offset of the character at `index`."""
        if self.offsets is None:
            return len(self.text[:index].encode("utf-8", "surrogateescape"))
        return self.offsets[index]


@dataclass(slots=True)
class _Cells:
    """A row of unlimited width with a cursor; each character counts as one cell."""

    chars: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    column: int = 0

    def put(self, char: str, offset: int) -> None:
        if self.column >= MAX_COLUMNS:
            return
        self.pad(self.column, offset)
        if self.column < len(self.chars):
            self.chars[self.column] = char
            self.offsets[self.column] = offset
        else:
            self.chars.append(char)
            self.offsets.append(offset)
        self.column += 1

    def append(self, text: str, offsets: list[int]) -> None:
        if self.column == len(self.chars) and self.column + len(text) < MAX_COLUMNS:
            self.chars.extend(text)
            self.offsets.extend(offsets)
            self.column = len(self.chars)
            return
        for char, offset in zip(text, offsets, strict=True):
            self.put(char, offset)

    def pad(self, width: int, offset: int) -> None:
        missing = min(width, MAX_COLUMNS) - len(self.chars)
        if missing > 0:
            self.chars.extend(" " * missing)
            self.offsets.extend([offset] * missing)

    def edit(self, final: bytes, count: int, first: int, offset: int) -> None:
        """Apply the sequences that line editors use inside one line."""
        if final == b"C":
            self.column = min(self.column + count, MAX_COLUMNS)
        elif final == b"D":
            self.column = max(0, self.column - count)
        elif final in b"G`":
            self.column = min(count - 1, MAX_COLUMNS)
        elif final in b"KJ":
            self._erase(first)
        elif final == b"P":
            del self.chars[self.column : self.column + count]
            del self.offsets[self.column : self.column + count]
        elif final == b"@" and self.column < len(self.chars):
            count = min(count, MAX_COLUMNS - len(self.chars))
            self.chars[self.column : self.column] = " " * count
            self.offsets[self.column : self.column] = [offset] * count
        elif final == b"X":
            for index in range(self.column, min(self.column + count, len(self.chars))):
                self.chars[index] = " "

    def _erase(self, first: int) -> None:
        if first == 0:
            del self.chars[self.column :]
            del self.offsets[self.column :]
        elif first == 1:
            for index in range(min(self.column + 1, len(self.chars))):
                self.chars[index] = " "
        else:
            self.chars.clear()
            self.offsets.clear()


def decode_line(raw: bytes) -> Line:
    """Return what a terminal shows for the raw bytes of one line, without its line feed.

    SGR, OSC, DCS and charset sequences vanish; carriage return, backspace, tab and the editing sequences
    of line editors are carried out. Invalid UTF-8 becomes U+FFFD. Never raises.
    """
    if raw.endswith(b"\r"):
        raw = raw.rstrip(b"\r")
    if not _CONTROLS.search(raw):
        try:
            return Line(raw.decode())
        except UnicodeDecodeError:
            pass
    cells = _Cells()
    for piece in _PIECE.finditer(raw):
        _apply(cells, piece)
    return Line("".join(cells.chars), cells.offsets)


def _apply(cells: _Cells, piece: re.Match[bytes]) -> None:
    offset = piece.start()
    text = piece["text"]
    if text is not None:
        cells.append(*_characters(text, offset))
    elif piece["final"] is not None:
        first = _number(piece["params"], 0)
        cells.edit(piece["final"], max(1, first), first, offset)
    elif piece["control"] == b"\r":
        cells.column = 0
    elif piece["control"] == b"\b":
        cells.column = max(0, cells.column - 1)
    elif piece["control"] == b"\t":
        width = _TAB - cells.column % _TAB
        cells.append(" " * width, [offset] * width)


def _characters(raw: bytes, offset: int) -> tuple[str, list[int]]:
    text = raw.decode("utf-8", "replace")
    if len(text) == len(raw):
        return text, list(range(offset, offset + len(raw)))
    offsets = []
    # Exact for valid text; a replaced byte shifts later offsets inside this run, which only moves a key.
    for char in text:
        offsets.append(offset)
        offset += len(char.encode()) if char != "�" else 1
    return text, offsets


def _number(params: bytes, default: int) -> int:
    head = params.split(b";", 1)[0][:6]
    return int(head) if head.isdigit() else default
