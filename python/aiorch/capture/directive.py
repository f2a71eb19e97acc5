"""What every source of directives yields: the seam between capture and the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """Where a directive came from; the trust table is keyed by it."""

    CLI = "cli"
    KEY = "key"
    MCP = "mcp"
    TRANSCRIPT = "transcript"
    SCREEN = "screen"
    PLAIN = "plain"
    DOOR = "door"


@dataclass(frozen=True, slots=True)
class Directive:
    """One well-formed request to delegate, before anything was decided about it.

    `payload` is the JSON object as given, unknown keys included. `key` is the identity inside its
    source: a second sighting with the same key is the same directive. `position` says where it was
    seen (a log offset, a line of a transcript, a request id). `altered` is set when rendering
    visibly lost something, `fenced` where it is known to stand in a code fence.
    """

    payload: Mapping[str, object]
    source: Source
    provenance: str
    position: str
    received_as: str
    key: str
    altered: bool = False
    fenced: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """Text that looked like a directive and is not one.

    `is_error` separates a directive that is broken (an `[ERROR]` line) from one that does not
    count where it stands (an `[IGNORED]` line).
    """

    reason: str
    source: Source
    position: str
    received_as: str
    key: str
    is_error: bool = True


Sighting = Directive | Rejected
