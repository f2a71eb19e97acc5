"""Codex's session files: `~/.codex/sessions/<year>/<month>/<day>/rollout-*.jsonl`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from aiorch.capture.transcript.records import Record, part, texts, word
from aiorch.capture.transcript.said import Said


class Codex:
    """Seen with 0.169.0: each answer stands there as an event and as a response item with an id.

    The item is read, since older versions have it too. A fork's file begins with its own
    `session_meta`, then come the copied lines, the other file's `session_meta` among them. Versions
    that write no id are told apart by the first conversation, the text, and how often it was said.
    """

    heads: tuple[bytes, ...] = (b'"session_meta"',)

    def __init__(self) -> None:
        self.state: dict[str, object] = {}

    def take(self, record: Record, position: str) -> Iterator[Said]:
        """Yield an assistant's response item; a sub-agent's file has none."""
        payload = part(record, "payload")
        if record.get("type") == "session_meta":
            self._begin(payload)
        elif record.get("type") == "response_item" and not self.state.get("other"):
            yield from self._item(payload, position)

    def _begin(self, meta: Record) -> None:
        own = word(meta, "id") or word(meta, "session_id")
        self.state.setdefault("conversation", own)
        self.state.setdefault("other", _is_subagent(meta))
        # The last one in the file is the oldest ancestor's.
        self.state["root"] = word(meta, "forked_from_id") or own

    def _item(self, item: Record, position: str) -> Iterator[Said]:
        if item.get("type") != "message" or item.get("role") != "assistant":
            return
        said = texts(item.get("content"), ("output_text", "text"))
        name = word(item, "id") or self._count("\n".join(said))
        for index, text in enumerate(said):
            yield Said(text, f"{name}/{index}", str(self.state.get("conversation", "")), position)

    def _count(self, text: str) -> str:
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
        counts = self.state.setdefault("counts", {})
        number = counts.get(digest, 0) + 1 if isinstance(counts, dict) else 1
        if isinstance(counts, dict):
            counts[digest] = number
        return f"{self.state.get('root', '')}/{digest}.{number}"


def _is_subagent(meta: Record) -> bool:
    source = meta.get("source")
    return word(meta, "thread_source") == "subagent" or (isinstance(source, dict) and "subagent" in source)
