"""Putting a marked section into a file's bytes and taking it out again, the rest untouched (pure)."""

from __future__ import annotations

import re

from aiorch.errors import InstructionFileError

_BOM = b"\xef\xbb\xbf"
_MARKER = re.compile(rb"^(?:\xef\xbb\xbf)?[ \t]*(<!--[ \t]*aiorch:(begin|end)\b[^\r\n]*)", re.MULTILINE)
_LINE_END = re.compile(rb"\A(?:\r\n|\r|\n)")
_WHOLE = re.compile(rb"<!--[^>]*-->[ \t]*")


def insert(content: bytes | None, text: str) -> bytes:
    """Return the file with the section in it: replaced where it stands, else at the end.

    None stands for a file that is not there. The section takes the line ends that the file has most of.
    The same text again changes nothing. Raises InstructionFileError for damaged markers.
    """
    if content is None:
        return text.encode() + b"\n"
    place = find(content)
    start, end = place or (len(content), len(content))
    newline = _newline(content[:start] + content[end:], content)
    body = text.encode().replace(b"\n", newline)
    if place:
        return content[:start] + body + content[end:]
    if content and not content.endswith(b"\n"):
        # No line end after the section either: `remove` knows by this that the file had none.
        return content + newline + newline + body
    return content + newline + body + newline


def remove(content: bytes) -> bytes | None:
    """Return the file as it was before `insert`, None when nothing else was ever in it.

    A file without a section is returned as it is. Raises InstructionFileError for damaged markers.
    """
    place = find(content)
    if place is None:
        return content
    before, body, after = content[: place[0]], content[slice(*place)], content[place[1] :]
    if before in (b"", _BOM) and not after.strip():
        return None
    newline = b"\r\n" if b"\r\n" in body else b"\n"
    if not after:
        return before.removesuffix(newline).removesuffix(newline)
    if before == newline or before.endswith(b"\n" + newline):
        before = before.removesuffix(newline)
    return before + _LINE_END.sub(b"", after, count=1)


def find(content: bytes) -> tuple[int, int] | None:
    """Return where the section begins and ends, without the line end after it; None without a section.

    Raises InstructionFileError unless there is one beginning and one end, each alone on its line.
    """
    found = list(_MARKER.finditer(content))
    if not found:
        return None
    line = content.count(b"\n", 0, found[0].start(1)) + 1
    kinds = [match[2] for match in found]
    if kinds == [b"begin"]:
        raise _damaged(line, "the aiorch section begins here and has no end")
    if kinds == [b"end"]:
        raise _damaged(line, "the aiorch section ends here and has no beginning")
    if kinds != [b"begin", b"end"]:
        raise _damaged(line, f"{len(kinds)} markers of aiorch instead of one beginning and one end")
    for match in found:
        if not _WHOLE.fullmatch(match[1]):
            raise _damaged(content.count(b"\n", 0, match.start(1)) + 1, "this marker of aiorch is damaged")
    return found[0].start(1), found[1].end(1)


def _damaged(line: int, what: str) -> InstructionFileError:
    return InstructionFileError(f"line {line}: {what}; delete what is left of it by hand, then try again")


def _newline(rest: bytes, whole: bytes) -> bytes:
    text = rest if b"\n" in rest else whole
    windows = text.count(b"\r\n")
    return b"\r\n" if windows > text.count(b"\n") - windows else b"\n"
