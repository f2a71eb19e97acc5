"""The MCP server, spoken to by the SDK's own client over its standard input and output."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

from aiorch.mcp.lesson import INSTRUCTIONS
from support.lab import ECHO, REPO, STEP, Lab, until

TOOLS = {
    *("orchestrate", "spawn_worker", "list_workers", "wait", "collect", "read_worker", "stop_worker"),
    "send_to_worker",
}
HOSTILE = "$(touch CANARY) `touch CANARY`; touch CANARY; #(touch CANARY) ../../etc %H\n'\"\\ \x1b[31m\x00"
TEXTS = {
    "nul": HOSTILE,
    "printable": "".join(char for char in HOSTILE if char >= " " or char == "\n"),
    "huge": "x" * (10 << 20),
}
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("orchestrate", "task", {}),
    ("orchestrate", "id", {"task": "x"}),
    ("spawn_worker", "task", {"type": "echo"}),
    ("spawn_worker", "type", {"task": "x"}),
    ("spawn_worker", "name", {"task": "x", "type": "echo"}),
    ("read_worker", "name", {}),
    ("read_worker", "cursor", {"name": "one"}),
    ("send_to_worker", "text", {"names": ["one"]}),
]
LISTS = [
    ("wait", "names"),
    ("collect", "names"),
    ("stop_worker", "names"),
    ("send_to_worker", "names"),
    ("spawn_worker", "after"),
]


@asynccontextmanager
async def connected(
    lab: Lab, *, env: dict[str, str] | None = None, where: bool = True
) -> AsyncIterator[ClientSession]:
    place = ["--socket", str(lab.socket), "--session", "m"] if where else []
    argv = ["-E", "-s", str(REPO / "python"), *place, "mcp"]
    given = {**lab.env, **(env or {})}
    parameters = StdioServerParameters(command=sys.executable, args=argv, env=given, cwd=lab.project)
    async with stdio_client(parameters) as (reads, writes), ClientSession(reads, writes) as session:
        await session.initialize()
        yield session


def speak(lab: Lab, does: Callable[[ClientSession], Awaitable[None]]) -> None:
    """Let a test speak with a server of its own."""

    async def run() -> None:
        async with connected(lab) as session:
            await does(session)

    asyncio.run(asyncio.wait_for(run(), 90))


async def call(session: ClientSession, tool: str, /, **arguments: Any) -> dict[str, Any]:
    done = await session.call_tool(tool, arguments)
    assert not done.is_error, done.content
    assert done.structured_content is not None
    return dict(done.structured_content)


async def refusal(session: ClientSession, tool: str, /, **arguments: Any) -> str:
    done = await session.call_tool(tool, arguments)
    assert done.is_error
    return str(done.content[0].text)  # type: ignore[union-attr]


def test_server_says_what_it_is_and_teaches_delegation(lab: Lab) -> None:
    async def does(session: ClientSession) -> None:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(tools) >= TOOLS
        for tool in tools.values():
            assert tool.description
            for name, field in tool.input_schema.get("properties", {}).items():
                assert field.get("description") or name in ("names",), (tool.name, name)
        assert tools["list_workers"].annotations is not None
        assert tools["list_workers"].annotations.read_only_hint is True
        assert tools["stop_worker"].annotations is not None
        assert tools["stop_worker"].annotations.destructive_hint is True

    speak(lab, does)
    assert "wait" in INSTRUCTIONS


def test_workers_are_delegated_to_waited_for_and_collected(lab: Lab) -> None:
    lab.start(ECHO)

    async def does(session: ClientSession) -> None:
        told = await call(session, "spawn_worker", task="forty-two", type="echo", name="one")
        assert (told["state"], told["workers"]) == ("queued", ["one"])
        done = await call(session, "wait", names=["one"])
        assert done["timed_out"] is False
        assert "forty-two" in done["text"]
        assert done["workers"][0]["state"] == "done"
        assert (await call(session, "collect"))["text"] == "nothing new"
        assert "forty-two" in (await call(session, "collect", all=True))["text"]
        listed = await call(session, "list_workers")
        assert [one["name"] for one in listed["workers"]] == ["one"]
        plan = [{"name": "a", "type": "echo", "task": "uno"}, {"name": "b", "type": "echo", "task": "due"}]
        more = await call(session, "orchestrate", task="two", workers=plan, id="7")
        assert more["workers"] == ["a", "b"]
        again = await call(session, "orchestrate", task="two", workers=plan, id="7")
        assert again["state"] == "ignored"
        read = await session.read_resource("aiorch://workers/one/result")
        assert "forty-two" in read.contents[0].text  # type: ignore[union-attr]
        workers = await session.read_resource("aiorch://workers")
        assert "one" in workers.contents[0].text  # type: ignore[union-attr]

    speak(lab, does)
    assert lab.told("RECEIVED", "two")


def test_wait_tells_who_is_not_through_and_stop_ends_them(lab: Lab) -> None:
    lab.start()

    async def does(session: ClientSession) -> None:
        await call(session, "spawn_worker", task="echo begun; sleep 60", type="step", name="long")
        late = await call(session, "wait", names=["long"], timeout=0.2)
        assert late["timed_out"] is True
        assert "Call wait again" in late["text"]
        assert "long" in (await call(session, "stop_worker", names=["long"]))["text"]
        ended = await call(session, "wait", names=["long"])
        assert ended["workers"][0]["state"] == "killed"

    speak(lab, does)


def test_what_a_worker_says_is_read_in_pieces(lab: Lab) -> None:
    lab.start()

    async def does(session: ClientSession) -> None:
        task = "for i in $(seq 20); do echo line $i; done; sleep 60"
        await call(session, "spawn_worker", task=task, type="step", name="talk")
        whole = ""
        while "line 20" not in whole:
            whole = (await call(session, "read_worker", name="talk", what="screen"))["text"]
        text = ""
        told: dict[str, Any] = {"more": True, "cursor": ""}
        while told["more"]:
            cursor = told["cursor"]
            told = await call(session, "read_worker", name="talk", what="screen", limit=40, cursor=cursor)
            assert len(told["text"]) <= 40
            text += told["text"]
        assert text == whole

    speak(lab, does)


def test_errors_are_sentences_and_the_server_goes_on(lab: Lab) -> None:
    async def without_run(session: ClientSession) -> None:
        assert "has no run" in await refusal(session, "list_workers")
        assert "has no run" in await refusal(session, "orchestrate", task="x")

    speak(lab, without_run)
    lab.start(ECHO)

    async def with_run(session: ClientSession) -> None:
        assert "no worker nobody" in await refusal(session, "read_worker", name="nobody")
        assert "no worker nobody" in await refusal(session, "stop_worker", names=["nobody"])
        assert await refusal(session, "wait", timeout=-1)
        assert "no worker nobody" in await refusal(session, "send_to_worker", names=["nobody"], text="x")
        assert await refusal(session, "orchestrate", task=5)
        with pytest.raises(MCPError):
            await session.read_resource("aiorch://workers/nobody/result")
        assert (await call(session, "list_workers"))["text"] == "no workers yet"

    speak(lab, with_run)


def test_approval_is_waited_for(lab: Lab) -> None:
    lab.start(f'approve = "ask"\n{STEP}')

    async def does(session: ClientSession) -> None:
        told = await call(
            session, "orchestrate", task="x", workers=[{"name": "a", "type": "step", "task": "true"}]
        )
        assert told["state"] == "asking"
        late = await call(session, "wait", names=[f"#{told['number']}"], timeout=0.1)
        assert "waits for the user" in late["open"][0]

    speak(lab, does)


@pytest.mark.parametrize("kind", TEXTS)
def test_hostile_text_in_any_field_stays_text(lab: Lab, kind: str) -> None:
    lab.start(ECHO)
    text = TEXTS[kind]

    async def does(session: ClientSession) -> None:
        for tool, field, rest in CALLS:
            await session.call_tool(tool, {**rest, field: text})
        for tool, field in LISTS:
            more = {"spawn_worker": {"task": "x"}, "send_to_worker": {"text": "x"}}.get(tool, {})
            await session.call_tool(tool, {**more, field: [text, "../../x", "#(touch CANARY)"]})
        with pytest.raises(MCPError):
            await session.read_resource("aiorch://workers/..%2f..%2fetc/result")
        await call(session, "wait", timeout=5)
        await call(session, "collect", all=True)

    speak(lab, does)
    _nothing_ran(lab)


def test_server_without_tmux_variables_finds_the_run_of_its_pane(lab: Lab) -> None:
    lab.start(ECHO)
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {},
                   "clientInfo": {"name": "t", "version": "1"}},
    }  # fmt: skip
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    ask = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "list_workers", "arguments": {}},
    }
    said, heard = lab.root / "said.json", lab.root / "heard.json"
    said.write_text("".join(json.dumps(one) + "\n" for one in (hello, ready, ask)))
    server = f"env -i HOME=$HOME PATH=$PATH {sys.executable} {REPO / 'python'} mcp"
    answered = f"grep -q '\"id\":2' {heard}"
    lab.type(f"(cat {said}; while ! {answered}; do sleep 0.1; done) | {server} >{heard} 2>/dev/null")
    until(lambda: heard.exists() and "no workers yet" in heard.read_text(), "the answer")


def _nothing_ran(lab: Lab) -> None:
    assert not lab.finds("CANARY")
    assert lab.engine_pids()
