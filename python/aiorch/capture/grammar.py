"""The grammar of a directive: a marker, then one balanced JSON object (pure functions)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

MARKER = "[ORCHESTRATE]"

MAX_PAYLOAD = 1 << 20
"""Largest payload in characters; a longer one is an error."""

MAX_DEPTH = 64
"""Most levels of a payload, the object itself among them."""

# The text before a marker that stands first on its line.
LEAD = re.compile(r" {0,3}`?")
_AFTER = re.compile(r"[ \t\n]*")
_TOKEN = re.compile(r'"[^"\\]*(?:\\(?:.|\Z)[^"\\]*)*(?:"|\Z)|[{}\[\]]', re.DOTALL)
_MARKS = re.compile(r'["\\\\{}\[\]]')
_LITERALS = ("true", "false", "null", "-")
_ESCAPE_ROOM = 6


@dataclass(frozen=True, slots=True)
class Complete:
    """A payload that parses; `end` is the index behind its closing brace."""

    payload: Mapping[str, object]
    end: int


@dataclass(frozen=True, slots=True)
class Broken:
    """A payload that can never become valid JSON; `reason` says what is wrong, with the column."""

    reason: str


@dataclass(frozen=True, slots=True)
class Partial:
    """A payload that more text may complete."""


Verdict = Complete | Broken | Partial


def object_start(text: str, start: int) -> int:
    """Return the index of the `{` that follows blanks at `start`, or -1."""
    match = _AFTER.match(text, start)
    index = match.end() if match else start
    return index if text.startswith("{", index) else -1


def object_end(text: str, start: int) -> int:
    """Return the index behind the object that opens at `start`, or -1 while it is not balanced."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        mark = token.group()[0]
        if mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return -1


def in_string(text: str, start: int = 0) -> bool:
    """Say whether the end of `text` lies inside a JSON string that began after `start`."""
    last = None
    for token in _TOKEN.finditer(text, start):
        last = token
    if last is None or not last.group().startswith('"'):
        return False
    body = last.group()
    closed = len(body) > 1 and body.endswith('"') and not _odd_backslashes(body[:-1])
    return not closed and last.end() == len(text)


def _odd_backslashes(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


class Balance:
    """Follows the nesting of an object that arrives in pieces, each piece read once."""

    def __init__(self) -> None:
        self.inside = False
        self.ended = False
        self._depth = 0
        self._skip = False

    def feed(self, text: str) -> None:
        """Take the next piece: `inside` then says if it ends in a string, `ended` if the object closed."""
        behind = 1 if self._skip else 0
        self._skip = self._skip and not text
        for match in _MARKS.finditer(text):
            if match.start() < behind:
                continue
            mark = match.group()
            if mark == '"':
                self.inside = not self.inside
            elif self.inside and mark == "\\":
                behind = match.end() + 1
                self._skip = behind > len(text)
            elif not self.inside and mark in "{[":
                self._depth += 1
            elif not self.inside and mark in "}]":
                self._depth -= 1
                if self._depth <= 0:
                    self.ended = True
                    return


def judge(text: str, start: int) -> Verdict:
    """Read the object that opens at `start`; never raises.

    Text after the object is not looked at. Deep nesting, numbers beyond the interpreter's limit, NaN
    and half surrogate pairs are Broken, since a payload has to survive being written as UTF-8 JSON.
    """
    end = object_end(text, start)
    if end < 0 and len(text) - start <= MAX_PAYLOAD:
        return _judge_open(text[start:])
    if end < 0 or end - start > MAX_PAYLOAD:
        return Broken(f"the payload is larger than {MAX_PAYLOAD} characters")
    source = text[start:end]
    try:
        payload = json.loads(source, parse_constant=_no_constant)
        if _is_deep(payload):
            return Broken(f"the payload is nested deeper than {MAX_DEPTH} levels")
        canonical(payload).encode()
    except json.JSONDecodeError as error:
        return Broken(_explain(error))
    except UnicodeEncodeError:
        return Broken("invalid JSON: half of a surrogate pair")
    except (ValueError, RecursionError) as error:
        return Broken(f"invalid JSON: {error}")
    return Complete(payload, end)


def _is_deep(payload: object) -> bool:
    """Say whether a value is nested too deep: every reader of a journal walks it with a stack of its own."""
    level = [payload]
    for _ in range(MAX_DEPTH):
        level = [child for one in level for child in _children(one)]
    return any(isinstance(one, dict | list) for one in level)


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _judge_open(source: str) -> Verdict:
    try:
        json.loads(source, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return Partial() if _may_continue(source, error) else Broken(_explain(error))
    except (ValueError, RecursionError) as error:
        return Broken(f"invalid JSON: {error}")
    return Partial()


def _may_continue(source: str, error: json.JSONDecodeError) -> bool:
    end = len(source.rstrip())
    if error.pos >= end or error.msg.startswith("Unterminated string"):
        return True
    if "escape" in error.msg:
        return len(source) - error.pos <= _ESCAPE_ROOM
    rest = source[error.pos : end]
    return any(literal.startswith(rest) for literal in _LITERALS)


def _explain(error: json.JSONDecodeError) -> str:
    where = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno} column {error.colno}"
    return f"invalid JSON: {error.msg} at {where}"


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def canonical(payload: object) -> str:
    """Return the one spelling of a JSON value that equal values share."""
    return json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def content_key(payload: object) -> str:
    """Return a key by content alone.

    Blanks do not count: a line break on a screen eats blanks, so two drawings of one directive may
    differ by them.
    """
    squeezed = "".join(canonical(payload).split())
    return "screen:" + hashlib.sha256(squeezed.encode("utf-8", "replace")).hexdigest()[:24]
