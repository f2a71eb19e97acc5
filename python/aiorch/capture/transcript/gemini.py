"""Gemini CLI's session files: `~/.gemini/tmp/<project>/chats/session-*.jsonl`."""

from __future__ import annotations

from collections.abc import Iterator

from aiorch.capture.transcript.records import Record, moment, texts, word
from aiorch.capture.transcript.said import Said


class Gemini:
    """Seen with 0.61.0: an answer is written when it is complete, and again with its tool calls.

    `$set.messages` rewrites the history, with summaries as answers in it: all that the assistant
    said was written before as a record of its own, so it is passed over. Records without a model
    are the program's own (snapshots, summaries). The file lacks joiners of emoji (U+200D).
    """

    heads: tuple[bytes, ...] = (b'"projectHash"',)

    def __init__(self) -> None:
        self.state: dict[str, object] = {}

    def take(self, record: Record, position: str) -> Iterator[Said]:
        """Yield an answer; a sub-agent's file has none."""
        if "projectHash" in record and "sessionId" in record:
            self.state = {"conversation": word(record, "sessionId"), "kind": word(record, "kind")}
            return
        if record.get("type") != "gemini" or not word(record, "model") or not word(record, "id"):
            return
        if self.state.get("kind") == "subagent":
            return
        conversation = str(self.state.get("conversation", ""))
        for index, text in enumerate(texts(record.get("content"))):
            message = f"{word(record, 'id')}/{index}"
            yield Said(text, message, conversation, position, time=moment(record))
