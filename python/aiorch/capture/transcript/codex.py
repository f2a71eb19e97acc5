"""Codex's session files: `~/.codex/sessions/<year>/<month>/<day>/rollout-*.jsonl`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from aiorch.capture.transcript.records import Record, moment, part, texts, word
from aiorch.capture.transcript.said import Said

_ONE_GO_SECONDS = 0.1


class Codex:
    """Seen with 0.169.0: each answer stands there as an event and as a response item with an id.

    The item is read, since older versions have it too. A fork's file begins with its own
    `session_meta`, then come the copied lines with new times, the other file's `session_meta` among
    them; a copied turn began before the fork did. Versions that write no id are told apart by the
    first conversation, the text, and how often it was said.
    """

    heads: tuple[bytes, ...] = (b'"session_meta"', b'"task_started"')

    def __init__(self) -> None:
        self.state: dict[str, object] = {}

    def take(self, record: Record, position: str) -> Iterator[Said]:
        """Yield an assistant's response item; a sub-agent's file has none."""
        payload = part(record, "payload")
        kind = record.get("type")
        if kind == "session_meta":
            self._begin(payload, moment(record))
        elif kind == "event_msg" and payload.get("type") == "task_started":
            self.state["turn"] = payload.get("started_at")
        elif kind == "response_item" and not self.state.get("other"):
            yield from self._item(payload, position, moment(record))

    def _begin(self, meta: Record, time: float | None) -> None:
        own = word(meta, "id") or word(meta, "session_id")
        parent = word(meta, "forked_from_id")
        if "conversation" not in self.state:
            began = moment(meta) if parent else None
            self.state.update(conversation=own, other=_is_subagent(meta), began=began, written=time)
        # The last one in the file is the oldest ancestor's.
        self.state["root"] = parent or own

    def _item(self, item: Record, position: str, time: float | None) -> Iterator[Said]:
        if item.get("type") != "message" or item.get("role") != "assistant":
            return
        said = texts(item.get("content"), ("output_text", "text"))
        name = word(item, "id") or self._count("\n".join(said))
        conversation, copied = str(self.state.get("conversation", "")), self._is_copied(time)
        for index, text in enumerate(said):
            yield Said(text, f"{name}/{index}", conversation, position, time=time, copied=copied)

    def _is_copied(self, time: float | None) -> bool:
        began, turn, written = (self.state.get(name) for name in ("began", "turn", "written"))
        if not isinstance(began, int | float):
            return False
        if isinstance(turn, int | float):
            return turn < int(began)
        # No turn is told: what is written in one go with the head of the file is no answer of a model.
        return time is None or not isinstance(written, int | float) or time - written < _ONE_GO_SECONDS

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
