"""Copilot CLI's session files: `~/.copilot/session-state/<session>/events.jsonl`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from aiorch.capture.transcript.records import Record, moment, part, texts, word
from aiorch.capture.transcript.said import Said

# Each names the agent or the tool call behind a sub-agent's message.
_SUBAGENT = ("parentToolCallId", "agentId", "agentName")


class Copilot:
    """Seen with 1.0.102: append-only events; an answer is one event when it is complete."""

    heads: tuple[bytes, ...] = (b'"session.start"', b'"session.resume"')

    def __init__(self) -> None:
        self.state: dict[str, object] = {}

    def take(self, record: Record, position: str) -> Iterator[Said]:
        """Yield an answer of the main agent."""
        data = part(record, "data")
        if record.get("type") in ("session.start", "session.resume"):
            self.state.setdefault("conversation", word(data, "sessionId"))
            return
        if record.get("type") != "assistant.message" or record.get("ephemeral"):
            return
        if any(data.get(name) or record.get(name) for name in _SUBAGENT):
            return
        name = word(data, "messageId") or word(record, "id")
        for text in texts(data.get("content")) if name else []:
            digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
            conversation = str(self.state.get("conversation", ""))
            yield Said(text, f"{name}/{digest}", conversation, position, time=moment(record))
