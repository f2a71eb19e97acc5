"""How the last turn in an agent's session file ended: what an idle screen does not say (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from aiorch.capture.transcript.records import Record, parse, part, texts, word
from aiorch.workers.state import AgentState, Verdict

SOURCE = "session"
INTERRUPTED = "interrupted"
"""What a worker waits for whose turn its user broke off, or did not allow to do what it asked for."""

_BROKEN_OFF = "[Request interrupted by user"


def unfinished_turn(format: str, text: str) -> Verdict | None:
    """Return what the end of a session file says of a last turn that did not come to its own end.

    None when it did, or when nothing is said. Seen with Claude Code 2.1.330 and Codex 0.169.0.
    """
    read = _READERS.get(format)
    for line in reversed(text.split("\n")) if read else ():
        record = parse(line.encode()) if line else None
        told = read(record) if read and record else None
        if told is not None:
            state, reason = told
            name = reason if reason == INTERRUPTED else state
            rule = f"{format}.session.{name}"
            return Verdict(state, reason, rule, SOURCE) if state is not AgentState.IDLE else None
    return None


_Told = tuple[AgentState, str]
_WHOLE: _Told = AgentState.IDLE, ""


def _claude(record: Record) -> _Told | None:
    """Return what the last message means; None for what is no message."""
    kind, message = word(record, "type"), part(record, "message")
    if kind not in ("user", "assistant") or record.get("isSidechain"):
        return None
    said = texts(message.get("content"), ("text",))
    if kind == "assistant":
        return _error(said) if record.get("isApiErrorMessage") is True else _WHOLE
    is_broken = any(text.startswith(_BROKEN_OFF) for text in said)
    return (AgentState.WAITING, INTERRUPTED) if is_broken else _WHOLE


def _codex(record: Record) -> _Told | None:
    payload = part(record, "payload")
    kind = word(payload, "type") if record.get("type") == "event_msg" else ""
    if kind == "turn_aborted":
        return AgentState.WAITING, INTERRUPTED
    if kind == "task_started":
        return AgentState.WORKING, ""
    if kind != "task_complete":
        return None
    error = part(payload, "error")
    return _error([word(error, "message")]) if error else _WHOLE


_READERS: Mapping[str, Callable[[Record], _Told | None]] = {"claude": _claude, "codex": _codex}


def _error(said: Iterable[str]) -> _Told:
    return AgentState.ERROR, " ".join(said)
