"""Finding directives in exact text that comes line by line (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aiorch.capture.grammar import (
    LEAD,
    MARKER,
    MAX_PAYLOAD,
    Broken,
    Complete,
    Partial,
    Verdict,
    in_string,
    judge,
    object_start,
)
from aiorch.capture.json_text import loads

CUT_OFF = "it was cut off before its JSON object was complete"
NO_OBJECT = "no JSON object follows the marker"
_SHOWN = 240
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_DEPTH = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\]]')

Locate = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Hit:
    """A directive, or what looks like one, in a text; `where` is what the line's locator said."""

    verdict: Complete | Broken
    refusal: str
    where: str
    text: str
    fenced: bool


@dataclass(slots=True)
class _Open:
    """A payload that goes on over several lines (pretty-printed JSON)."""

    where: str
    fenced: bool
    lines: list[str] = field(default_factory=list)
    depth: int = 0
    size: int = 0
    check_at: int = 4096

    def add(self, line: str, *, ended: bool) -> Verdict:
        self.lines.append(line)
        self.depth += _depth(line)
        self.size += len(line) + 1
        # A whole parse at each line would be quadratic: the depth says when it can end.
        if ended and in_string(line):
            # A line feed inside a string: the parser says where.
            return self.verdict("\0")
        if self.depth > 0 and self.size < self.check_at:
            return Partial()
        self.check_at = 2 * self.size
        return self.verdict()

    def verdict(self, more: str | None = None) -> Verdict:
        text = self.text(more)
        start = object_start(text, len(MARKER))
        return judge(text, start) if start >= 0 else Partial()

    @property
    def bare(self) -> bool:
        """Say whether something else than an object follows the marker."""
        text = self.text()
        return object_start(text, len(MARKER)) < 0 and bool(text[len(MARKER) :].strip(" \t`\n"))

    def text(self, more: str | None = None) -> str:
        return "\n".join(self.lines if more is None else [*self.lines, more])


class LineScanner:
    """Takes the lines of a text in order and yields its directives.

    A marker counts when it is the first thing on its line. A second marker before the first one's
    object is complete, or text that cannot be JSON, ends a directive with an error.
    """

    def __init__(self) -> None:
        self._open: _Open | None = None
        self._fence = ""

    @property
    def open_at(self) -> str | None:
        """Return where the unfinished directive began, or None."""
        return self._open.where if self._open else None

    def push(self, text: str, locate: Locate, *, ended: bool = True) -> list[Hit]:
        """Take one line; the last one of a text need not have an end."""
        hits: list[Hit] = []
        if self._open is not None:
            if own_line(text) < 0:
                return self._extend(self._open, text, ended)
            hits.extend(self.finish())
        self._note_fence(text)
        found, start = _scan_line(text, locate, bool(self._fence))
        hits.extend(found)
        if start >= 0:
            self._open = _Open(locate(start), bool(self._fence))
            hits.extend(self._extend(self._open, text[start:], ended))
        return hits

    def peek(self, text: str, locate: Locate) -> list[Hit]:
        """Return the directives that are complete although their line has no end yet; changes nothing."""
        pending = self._open
        if pending is None or own_line(text) >= 0:
            hits, _ = _scan_line(text, locate, bool(self._fence))
            return [hit for hit in hits if isinstance(hit.verdict, Complete)]
        if pending.depth + _depth(text) > 0:
            return []
        hit = _hit(pending.text(text), pending.verdict(text), pending.where, pending.fenced)
        return [hit] if hit and isinstance(hit.verdict, Complete) else []

    def finish(self) -> list[Hit]:
        """Say that no line follows: what is unfinished is cut off."""
        pending, self._open = self._open, None
        if pending is None or object_start(pending.text(), len(MARKER)) < 0:
            return []
        return [Hit(Broken(CUT_OFF), "", pending.where, pending.text()[:_SHOWN], pending.fenced)]

    def _note_fence(self, text: str) -> None:
        match = _FENCE.match(text)
        if match is None:
            return
        if not self._fence:
            self._fence = match[1]
        elif match[1].startswith(self._fence):
            self._fence = ""

    def _extend(self, pending: _Open, text: str, ended: bool) -> list[Hit]:
        verdict = pending.add(text, ended=ended)
        if isinstance(verdict, Partial):
            if pending.depth <= 0 and pending.bare:
                self._open = None
            return []
        self._open = None
        hit = _hit(pending.text(), verdict, pending.where, pending.fenced)
        return [hit] if hit else []


def own_line(text: str) -> int:
    """Return the index of a marker that is the first thing on its line, or -1."""
    lead = LEAD.match(text)
    start = lead.end() if lead else 0
    return start if text.startswith(MARKER, start) else -1


def _scan_line(text: str, locate: Locate, fenced: bool) -> tuple[list[Hit], int]:
    """Return the hits of one line, and where an object begins that the line leaves open (or -1)."""
    hits: list[Hit] = []
    own = own_line(text)
    index = text.find(MARKER)
    while index >= 0:
        behind = index + len(MARKER)
        start = object_start(text, behind)
        verdict = judge(text, start) if start >= 0 else None
        if index == own:
            bare = start < 0 and not text[behind:].strip(" \t`")
            if bare or isinstance(verdict, Partial):
                return hits, index
            if start < 0:
                hits.append(Hit(Broken(NO_OBJECT), NO_OBJECT, locate(index), text[index:][:_SHOWN], fenced))
            hit = _hit(text[index:], _shift(verdict, index), locate(index), fenced) if verdict else None
            if hit:
                hits.append(hit)
        elif isinstance(verdict, Complete):
            shown = text[index : verdict.end][:_SHOWN]
            hits.append(Hit(verdict, "it is not the first thing on its line", locate(index), shown, fenced))
        index = text.find(MARKER, verdict.end if isinstance(verdict, Complete) else behind)
    return hits, -1


def _shift(verdict: Verdict, by: int) -> Verdict:
    return Complete(verdict.payload, verdict.end - by) if isinstance(verdict, Complete) else verdict


def _hit(text: str, verdict: Verdict, where: str, fenced: bool) -> Hit | None:
    if isinstance(verdict, Partial):
        return None
    refusal = ""
    if isinstance(verdict, Complete) and text[verdict.end :].strip(" \t`\n"):
        refusal = "text follows it on its line"
    shown = text[: verdict.end] if isinstance(verdict, Complete) else text[:_SHOWN]
    return Hit(verdict, refusal, where, shown[:MAX_PAYLOAD], fenced)


def _depth(line: str) -> int:
    total = 0
    for token in _DEPTH.finditer(line):
        mark = token.group()[0]
        total += (mark in "{[") - (mark in "}]")
    return total


@dataclass(frozen=True, slots=True)
class _Here:
    name: str

    def __call__(self, index: int) -> str:
        return self.name


def find_in_text(text: str) -> Iterator[Hit]:
    """Yield the directives of a whole text; `where` is the number of the line, from 1."""
    scanner = LineScanner()
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        yield from scanner.push(line.rstrip("\r"), _Here(str(number)), ended=number < len(lines))
    yield from scanner.finish()


def spoken_texts(line: str) -> list[str] | None:
    """Return the assistant's texts in one line of an agent's JSON event stream.

    None when the line is no such event. Known: `claude -p --output-format stream-json` (2.1.330) and
    `codex exec --json`; texts of sub-agents are left out.
    """
    try:
        event = loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return None
    item = event.get("item")
    if isinstance(item, dict):
        text = item.get("text") if item.get("type") == "agent_message" else None
        return [text] if isinstance(text, str) and event["type"] == "item.completed" else []
    message = event.get("message")
    if event["type"] != "assistant" or not isinstance(message, dict) or event.get("parent_tool_use_id"):
        return []
    blocks = message.get("content")
    texts = (
        [block.get("text") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    )
    return [text for text in texts if isinstance(text, str)]
