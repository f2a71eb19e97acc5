"""The MCP server: each tool is one request to the engine, or one look at the run's journal.

The run is looked for at each call: it may begin after the server, and end before it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from anyio import to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from aiorch import __version__
from aiorch.calls import answers_of
from aiorch.client import request
from aiorch.errors import AiorchError, RequestError, UsageError
from aiorch.journal import ENDED, DirectiveState, WorkerRow
from aiorch.journal.reading import reading
from aiorch.mcp import lesson
from aiorch.paths import RunPaths
from aiorch.places import root_of, socket_of
from aiorch.ui.findings import findings, plain, result_file
from aiorch.ui.terminal import printable
from aiorch.waiting import Wanted, chosen, hand_over, wait_for
from aiorch.words import read_words, worker_named

WAIT_SECONDS, MAX_WAIT = 50.0, 3600.0
"""Agents give up on a tool after a minute or so (Codex 0.144: 60 s)."""

LIMIT, MAX_LIMIT = 8000, 100_000
_REFUSED = ("refused", "rejected")

T = TypeVar("T")
Record = dict[str, Any]
Name = Annotated[str, Field(description="of the worker")]
Names = Annotated[list[str], Field(description="workers by name, directives by number; empty: all")]


def serve(options: argparse.Namespace) -> int:
    """Speak MCP on standard input and output until that ends; return 0."""
    server(Tools(options)).run("stdio")
    return 0


class Tools:
    """What the tools do, for the run that the command line's options mean."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options

    @property
    def run(self) -> RunPaths:
        """Return the run as it is now. Raises EngineError when there is none."""
        return RunPaths(root_of(self._options))

    def orchestrate(self, task: str, workers: Sequence[object] | None, id: str | None) -> Record:
        """Delegate a task; return what became of the directive."""
        payload: dict[str, object] = {"task": task}
        if workers is not None:
            payload["workers"] = list(workers)
        if id is not None:
            payload["id"] = id
        reply = request(self.run.root, {"verb": "run", "payload": payload, "source": "mcp"})
        (answer,) = answers_of(reply)
        if answer["state"] in _REFUSED:
            raise RequestError(str(answer["text"]))
        return answer

    def list_workers(self) -> Record:
        """Return all workers, and what waits for the user."""
        run = self.run
        with reading(run.journal) as journal:
            rows = journal.workers()
            asking = journal.directives(DirectiveState.ASKING)
        lines = [f"{row.name}: {row.state}{f' ({_why(row)})' if _why(row) else ''}" for row in rows]
        lines += [f"#{one.number} waits for the user's answer ({one.reason})" for one in asking]
        return {
            "workers": [brief(row, run) for row in rows],
            "asking": [{"number": one.number, "reason": one.reason} for one in asking],
            "text": printable("\n".join(lines)) or "no workers yet",
        }

    def wait(self, names: Sequence[str], timeout: float) -> Record:
        """Wait until these have ended, or the time is over; return how they stand, with results."""
        run = self.run
        standing = wait_for(run, Wanted.named(names), timeout)
        told = self._handed_over(run, [row for row in standing.rows if row.state in ENDED])
        told["open"] = standing.open
        parts = [told["text"], *standing.turned_away]
        if standing.open:
            parts.append(f"Not ended yet: {', '.join(standing.open)}. Call wait again.")
        told["text"] = printable("\n\n".join(part for part in parts if part))
        return told | {"timed_out": bool(standing.open)}

    def collect(self, names: Sequence[str], *, all: bool) -> Record:
        """Return results of workers that have ended."""
        run = self.run
        with reading(run.journal) as journal:
            rows = [row for row in chosen(journal, names) if row.state in ENDED]
        told = self._handed_over(run, [row for row in rows if all or names or not row.collected])
        return told | {"text": told["text"] or "nothing new"}

    def read_worker(self, name: str, what: str, cursor: str, limit: int) -> Record:
        """Return what a worker says, and where to go on reading."""
        run = self.run
        row = worker_named(run, name)
        offset, place = _cursor(cursor)
        found = read_words(run, socket_of(self._options), row, place, screen=what == "screen")
        text = found.text[offset:]
        rest = len(text) > limit
        # What was cut off is read once more from the same place, further on.
        after = [offset + limit, place] if rest else [0, found.cursor]
        return {
            "name": row.name,
            "state": str(row.state),
            "source": found.source,
            "text": text[:limit],
            "cursor": json.dumps(after) if rest or found.cursor is not None else "",
            "more": rest,
        }

    def stop_worker(self, names: Sequence[str]) -> Record:
        """Tell workers to stop; all of them, or none when one is unknown or has ended."""
        answers = answers_of(request(self.run.root, {"verb": "kill", "names": list(names)}))
        return {"text": "\n".join(str(one["text"]) for one in answers)}

    def send_to_worker(self, names: Sequence[str], text: str) -> Record:
        """Queue a message for workers; all of them, or none when one of them cannot be told anything."""
        answers = answers_of(request(self.run.root, {"verb": "send", "to": list(names), "text": text}))
        return {
            "messages": [{"number": one["number"], "state": one["state"]} for one in answers],
            "text": "\n".join(str(one["text"]) for one in answers),
        }

    def result(self, name: str) -> str:
        """Return the whole result of a worker."""
        row = worker_named(self.run, name)
        return plain(row.result)

    def _handed_over(self, run: RunPaths, rows: Sequence[WorkerRow]) -> Record:
        hand_over(run.root, rows, by="mcp")
        return {"workers": [brief(row, run) for row in rows], "text": findings(rows, run.results)}


def brief(row: WorkerRow, run: RunPaths) -> Record:
    """Return a worker without its result, as a JSON object."""
    path = result_file(row, run.results)
    return {
        "name": row.name,
        "type": row.type,
        "agent": row.agent,
        "state": "paused" if row.paused else str(row.state),
        "reason": printable(_why(row)),
        "directive": row.directive,
        "attempt": row.attempt,
        "exit_status": row.status,
        "result_file": str(path) if path else None,
    }


def server(tools: Tools) -> MCPServer[Any]:
    """Return the server with all its tools and resources."""
    app = MCPServer[Any]("aiorch", version=__version__, instructions=lesson.INSTRUCTIONS)
    _add_delegating(app, tools)
    _add_fetching(app, tools)
    _add_steering(app, tools)
    _add_resources(app, tools)
    return app


def _add_delegating(app: MCPServer[Any], tools: Tools) -> None:
    starts = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)

    @app.tool(description=lesson.ORCHESTRATE, annotations=starts)
    async def orchestrate(
        task: Annotated[str, Field(description="what is to be done, with all that the workers have to know")],
        workers: Annotated[
            list[str | dict[str, Any]] | None,
            Field(description='your plan: names, or {"name", "type", "task", "after": [names]}'),
        ] = None,
        id: Annotated[str | None, Field(description="the same id never runs twice")] = None,
    ) -> Record:
        return await _call(tools.orchestrate, task, workers, id)

    @app.tool(description=lesson.SPAWN, annotations=starts)
    async def spawn_worker(
        task: Annotated[str, Field(description="what is to be done, with all that the worker has to know")],
        type: Annotated[str | None, Field(description="claude, codex, … (default: the user's)")] = None,
        name: Annotated[str | None, Field(description="short; made from the type without one")] = None,
        after: Annotated[list[str] | None, Field(description="workers that have to be done first")] = None,
    ) -> Record:
        given = {"task": task, "type": type, "name": name, "after": after}
        worker = {key: value for key, value in given.items() if value}
        return await _call(tools.orchestrate, task, [worker], None)


def _add_fetching(app: MCPServer[Any], tools: Tools) -> None:
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)

    @app.tool(description=lesson.LIST, annotations=reads)
    async def list_workers() -> Record:
        return await _call(tools.list_workers)

    @app.tool(description=lesson.WAIT, annotations=reads)
    async def wait(
        names: Names = [],  # noqa: B006 - only read
        timeout: Annotated[float, Field(ge=0, le=MAX_WAIT, description="seconds")] = WAIT_SECONDS,
    ) -> Record:
        return await _call(tools.wait, names, timeout)

    @app.tool(description=lesson.COLLECT, annotations=reads)
    async def collect(
        names: Names = [],  # noqa: B006 - only read
        all: Annotated[bool, Field(description="those that were fetched before, too")] = False,
    ) -> Record:
        return await _call(partial(tools.collect, all=all), names)

    @app.tool(description=lesson.READ, annotations=reads)
    async def read_worker(
        name: Name,
        what: Annotated[
            Literal["transcript", "screen"], Field(description="which of the two")
        ] = "transcript",
        cursor: Annotated[str, Field(description="of the last answer, to go on there")] = "",
        limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="characters")] = LIMIT,
    ) -> Record:
        return await _call(tools.read_worker, name, what, cursor, limit)


def _add_steering(app: MCPServer[Any], tools: Tools) -> None:
    ends = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)

    @app.tool(description=lesson.STOP, annotations=ends)
    async def stop_worker(names: Annotated[list[str], Field(description="of the workers")]) -> Record:
        return await _call(tools.stop_worker, names)

    @app.tool(
        description=lesson.SEND,
        annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False),
    )
    async def send_to_worker(
        names: Annotated[list[str], Field(description="of the workers")],
        text: Annotated[str, Field(description="what to tell them")],
    ) -> Record:
        return await _call(tools.send_to_worker, names, text)


def _add_resources(app: MCPServer[Any], tools: Tools) -> None:
    @app.resource("aiorch://workers", mime_type="application/json", description="The workers of this run.")
    async def workers() -> str:
        return json.dumps(await _call(tools.list_workers))

    @app.resource(
        "aiorch://workers/{name}/result", mime_type="text/plain", description="What a worker left, whole."
    )
    async def result(name: str) -> str:
        return await _call(tools.result, name)


async def _call(does: Callable[..., T], *arguments: object) -> T:
    """Do it beside the loop that speaks with the client, errors as sentences of a tool."""
    try:
        return await to_thread.run_sync(partial(does, *arguments), abandon_on_cancel=True)
    except AiorchError as error:
        raise ToolError(printable(str(error))) from error


def _cursor(text: str) -> tuple[int, object]:
    """Return how many characters to pass over, and from which place of the transcript on."""
    if not text:
        return 0, None
    try:
        offset, place = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError("the cursor is none of an earlier answer") from error
    if not isinstance(offset, int) or offset < 0 or not isinstance(place, Mapping | None):
        raise UsageError("the cursor is none of an earlier answer")
    return offset, place


def _why(row: WorkerRow) -> str:
    return row.reason or row.waits
