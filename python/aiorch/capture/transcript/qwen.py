"""Qwen Code's session files: `~/.qwen/projects/<directory>/chats/<session>.jsonl`."""

from __future__ import annotations

from collections.abc import Iterator

from aiorch.capture.transcript.records import Record, moment, part, texts, word
from aiorch.capture.transcript.said import Said


class Qwen:
    """Seen with 0.24.4: append-only, a record for each turn of the model.

    `/branch` copies records with their uuid. A compressed history and the texts in telemetry are
    `system` records.
    """

    heads: tuple[bytes, ...] = ()

    def __init__(self) -> None:
        self.state: dict[str, object] = {}

    def take(self, record: Record, position: str) -> Iterator[Said]:
        """Yield the text parts of an assistant's record."""
        if record.get("type") != "assistant" or record.get("subtype"):
            return
        if record.get("isSidechain") or record.get("agentId"):
            return
        if record.get("provenance") not in (None, "assistant_output"):
            return
        origin = part(record, "forkedFrom")
        name = word(origin, "messageUuid") or word(record, "uuid")
        if not name:
            return
        conversation, time = word(record, "sessionId"), moment(record)
        for index, text in enumerate(texts(part(record, "message").get("parts"))):
            message_id = f"{name}/{index}"
            yield Said(text, message_id, conversation, position, time=time, copied=bool(origin))
