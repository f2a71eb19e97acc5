"""Claude Code's session files: `~/.claude/projects/<directory>/<session>.jsonl`."""

from __future__ import annotations

from collections.abc import Iterator

from aiorch.capture.transcript.records import Record, moment, part, texts, word
from aiorch.capture.transcript.said import Said

# Sub-agents, failures of the API, and text that the program itself puts into the assistant's mouth.
_NOT_SAID = ("isSidechain", "isApiErrorMessage", "isMeta", "isVirtual", "isCompactSummary")


class Claude:
    """Seen with 2.1.330: a line for each content block, written when the block is complete.

    `--continue` appends to the same file; `/branch` and `--fork-session` copy lines with their uuid.
    """

    heads: tuple[bytes, ...] = ()

    def __init__(self) -> None:
        self.state: dict[str, object] = {}

    def take(self, record: Record, position: str) -> Iterator[Said]:
        """Yield the text blocks of an assistant's line."""
        if record.get("type") != "assistant" or any(record.get(name) for name in _NOT_SAID):
            return
        message = part(record, "message")
        if message.get("role") not in (None, "assistant") or message.get("model") == "<synthetic>":
            return
        origin = part(record, "forkedFrom")
        name = word(origin, "messageUuid") or word(record, "uuid") or word(message, "id")
        if not name:
            return
        conversation, time = word(record, "sessionId"), moment(record)
        for index, text in enumerate(texts(message.get("content"), ("text",))):
            message_id = f"{name}/{index}"
            yield Said(text, message_id, conversation, position, time=time, copied=bool(origin))
