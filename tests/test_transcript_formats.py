"""Whose words count in each agent's records, and what keeps its identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiorch.capture.directive import Directive, Rejected, Source
from aiorch.capture.json_text import loads
from aiorch.capture.transcript.follow import guess_format, open_transcript
from aiorch.capture.transcript.said import Said, sightings

SAY = '[ORCHESTRATE] {"task": "t"}'

Records = list[dict[str, object]]


def read(agent: str, folder: Path, records: Records) -> list[Said]:
    path = folder / "session.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return open_transcript(agent, path).read()


def claude(uuid: str = "u", text: str = SAY, **more: object) -> dict[str, object]:
    message = {"id": "m", "role": "assistant", "model": "opus", "content": [{"type": "text", "text": text}]}
    return {"type": "assistant", "uuid": uuid, "sessionId": "s", "message": message, **more}


def codex(text: str = SAY, **more: object) -> dict[str, object]:
    block = {"type": "output_text", "text": text}
    payload = {"type": "message", "role": "assistant", "content": [block], **more}
    return {"timestamp": "now", "type": "response_item", "payload": payload}


def codex_meta(name: str, **more: object) -> dict[str, object]:
    return {"timestamp": "now", "type": "session_meta", "payload": {"id": name, **more}}


def qwen(**more: object) -> dict[str, object]:
    message = {"role": "model", "parts": [{"text": SAY}]}
    return {"type": "assistant", "uuid": "u", "sessionId": "s", "message": message, **more}


def gemini(**more: object) -> dict[str, object]:
    return {"id": "g", "type": "gemini", "content": SAY, "model": "flash", **more}


GEMINI_HEAD: dict[str, object] = {"sessionId": "s", "projectHash": "h", "kind": "main"}


def copilot(data: dict[str, object] | None = None, **more: object) -> dict[str, object]:
    known = {"messageId": "m", "content": SAY, **(data or {})}
    return {"type": "assistant.message", "id": "e", "data": known, **more}


@pytest.mark.parametrize(
    ("agent", "record"),
    [
        ("claude", claude()),
        ("codex", codex(id="m")),
        ("qwen", qwen()),
        ("qwen", qwen(provenance="assistant_output")),
        ("gemini", gemini()),
        ("gemini", gemini(content=[{"text": SAY}])),
        ("copilot", copilot()),
    ],
)
def test_the_assistants_own_text_counts(tmp_path: Path, agent: str, record: dict[str, object]) -> None:
    said = read(agent, tmp_path, [record])
    assert [one.text for one in said] == [SAY]
    assert guess_format(tmp_path / "session.jsonl") == agent


@pytest.mark.parametrize(
    ("agent", "records"),
    [
        ("claude", [claude(type="user")]),
        ("claude", [claude(type="user", isCompactSummary=True)]),
        ("claude", [claude(isSidechain=True)]),
        ("claude", [claude(isApiErrorMessage=True)]),
        ("claude", [claude(isVirtual=True)]),
        ("claude", [claude(message={"role": "user", "content": [{"type": "text", "text": SAY}]})]),
        ("claude", [claude(message={"role": "assistant", "model": "<synthetic>", "content": SAY})]),
        ("claude", [claude(message={"content": [{"type": "thinking", "thinking": SAY, "text": SAY}]})]),
        ("claude", [claude(message={"content": [{"type": "tool_use", "input": {"text": SAY}}]})]),
        ("claude", [{"type": "attachment", "text": SAY}, {"type": "assistant", "message": SAY}]),
        ("codex", [codex(role="user")]),
        ("codex", [codex(role="developer")]),
        ("codex", [codex(type="agent_message"), codex(type="reasoning"), codex(type="function_call_output")]),
        ("codex", [{"type": "event_msg", "payload": {"type": "agent_message", "message": SAY}}]),
        ("codex", [{"type": "compacted", "payload": {"message": SAY, "replacement_history": [codex()]}}]),
        ("codex", [codex_meta("a", source={"subagent": "review"}), codex(id="m")]),
        ("codex", [codex_meta("a", thread_source="subagent"), codex(id="m")]),
        ("qwen", [qwen(type="user"), qwen(type="tool_result"), qwen(type="system")]),
        ("qwen", [qwen(isSidechain=True)]),
        ("qwen", [qwen(agentId="explore-1")]),
        ("qwen", [qwen(provenance="system")]),
        ("qwen", [qwen(message={"parts": [{"text": SAY, "thought": True}]})]),
        ("gemini", [gemini(type="user"), gemini(type="info"), gemini(type="error")]),
        ("gemini", [gemini(content="", thoughts=[{"description": SAY}])]),
        ("gemini", [gemini(content=[{"text": SAY, "thought": True}])]),
        ("gemini", [gemini(content="", toolCalls=[{"result": SAY}])]),
        ("gemini", [gemini(model=None)]),
        ("gemini", [GEMINI_HEAD, {"$set": {"messages": [gemini(id="summary")]}}]),
        ("gemini", [{**GEMINI_HEAD, "kind": "subagent"}, gemini()]),
        ("copilot", [copilot(type="user.message"), copilot(type="tool.execution_complete")]),
        ("copilot", [copilot(type="assistant.reasoning")]),
        ("copilot", [copilot({"parentToolCallId": "call"})]),
        ("copilot", [copilot(agentId="agent")]),
        ("copilot", [copilot(ephemeral=True)]),
    ],
)
def test_what_others_say_does_not_count(tmp_path: Path, agent: str, records: Records) -> None:
    assert read(agent, tmp_path, records) == []


def test_claudes_blocks_are_told_apart(tmp_path: Path) -> None:
    blocks = [{"type": "text", "text": SAY}, {"type": "tool_use"}, {"type": "text", "text": SAY}]
    said = read("claude", tmp_path, [claude(message={"role": "assistant", "content": blocks})])
    assert [one.message for one in said] == ["u/0", "u/1"]


@pytest.mark.parametrize(("agent", "record"), [("claude", claude()), ("qwen", qwen())])
def test_a_fork_keeps_the_identity(tmp_path: Path, agent: str, record: dict[str, object]) -> None:
    copied = {**record, "sessionId": "fork", "forkedFrom": {"sessionId": "s", "messageUuid": "u"}}
    renamed = {**copied, "uuid": "other"}
    said = [one for each in (record, copied, renamed) for one in read(agent, tmp_path, [each])]
    assert len({one.message for one in said}) == 1
    assert [one.conversation for one in said] == ["s", "fork", "fork"]
    assert [one.copied for one in said] == [False, True, True]


@pytest.mark.parametrize("item", [codex(id="msg_1"), codex()])
def test_a_codex_fork_keeps_the_identity(tmp_path: Path, item: dict[str, object]) -> None:
    first = read("codex", tmp_path, [codex_meta("a"), item])
    fork = read("codex", tmp_path, [codex_meta("b", forked_from_id="a"), codex_meta("a"), item])
    assert [one.message for one in first] == [one.message for one in fork]
    assert [one.conversation for one in first + fork] == ["a", "b"]


@pytest.mark.parametrize("turn", [None, 1_767_225_599])
def test_what_a_codex_fork_copied_is_told_from_what_it_said(tmp_path: Path, turn: int | None) -> None:
    def at(seconds: str, record: dict[str, object]) -> dict[str, object]:
        return {**record, "timestamp": f"2026-01-01T00:00:{seconds}Z"}

    def begin(started: int) -> dict[str, object]:
        return {"type": "event_msg", "payload": {"type": "task_started", "started_at": started}}

    meta = codex_meta("b", forked_from_id="a", timestamp="2026-01-01T00:00:00.700Z")
    old = [at("02.000", begin(turn))] if turn else []
    new = [at("09.000", begin(turn + 1))] if turn else []
    records = [at("02.000", meta), at("02.001", codex_meta("a"))]
    records += [*old, at("02.002", codex(id="1")), *new, at("09.500", codex(id="2"))]
    assert [one.copied for one in read("codex", tmp_path, records)] == [True, False]


@pytest.mark.parametrize(
    ("agent", "record"), [("claude", claude), ("qwen", qwen), ("gemini", gemini), ("copilot", copilot)]
)
def test_the_time_is_that_of_the_record(
    tmp_path: Path, agent: str, record: Callable[..., dict[str, object]]
) -> None:
    times = ("1970-01-01T00:00:01.500Z", "1970-01-01T01:00:02+01:00", "1970-01-01T00:00:03", "soon", 7)
    records = [record(timestamp=time) for time in times]
    said = [one for each in records for one in read(agent, tmp_path, [each])]
    assert [one.time for one in said] == [1.5, 2, 3, None, None]


def test_codex_items_without_an_id_are_told_apart(tmp_path: Path) -> None:
    said = read("codex", tmp_path, [codex_meta("a"), codex(), codex(), codex(SAY + "\n")])
    assert len({one.message for one in said}) == 3


def test_geminis_answer_that_is_written_again_with_its_tools_is_one(tmp_path: Path) -> None:
    records = [GEMINI_HEAD, gemini(), gemini(toolCalls=[{"id": 1}]), gemini(id="h")]
    assert [one.message for one in read("gemini", tmp_path, records)] == ["g/0", "h/0"]


def test_a_resumed_copilot_session_is_the_same_conversation(tmp_path: Path) -> None:
    begin: dict[str, object] = {"type": "session.start", "id": "x", "data": {"sessionId": "s"}}
    resume: dict[str, object] = {"type": "session.resume", "id": "y", "data": {"resumeTime": "now"}}
    said = read("copilot", tmp_path, [begin, copilot(), resume, copilot({"messageId": "n"})])
    assert [one.conversation for one in said] == ["s", "s"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"I would print {SAY} now", "it is not the first thing on its line"),
        (f"- {SAY}", "it is not the first thing on its line"),
        (f"1. {SAY}", "it is not the first thing on its line"),
        (f"> {SAY}", "it is not the first thing on its line"),
        (f"| {SAY} | x |", "it is not the first thing on its line"),
        (f"{SAY} is how one asks", "text follows it on its line"),
        ("[ORCHESTRATE] is the marker", "no JSON object follows the marker"),
    ],
)
def test_near_misses_are_ignored_with_the_reason(text: str, reason: str) -> None:
    (found,) = sightings(Said(text, "m/0", "s", "f:0"))
    assert isinstance(found, Rejected)
    assert (found.reason, found.is_error) == (reason, False)


@pytest.mark.parametrize("text", ['[ORCHESTRATE] {"task": "t', '[ORCHESTRATE] {"task": "t",\n  "workers": ['])
def test_a_cut_off_object_is_an_error(text: str) -> None:
    (found,) = sightings(Said(text, "m/0", "s", "f:0"))
    assert isinstance(found, Rejected)
    assert found.is_error


def test_directives_of_one_message_are_numbered() -> None:
    found = sightings(Said(f"{SAY}\n\nand > {SAY}\n```json\n{SAY}\n```", "m/0", "s", "f:7"))
    assert [one.key for one in found] == [f"transcript:m/0#{number}" for number in range(3)]
    assert [one.position for one in found] == ["f:7#1", "f:7#3", "f:7#5"]
    assert [isinstance(one, Directive) for one in found] == [True, False, True]
    assert [(one.fenced, one.provenance) for one in found if isinstance(one, Directive)] == [
        (False, "the assistant's own text"),
        (True, "a fence in the assistant's own text"),
    ]


def test_answers_that_were_asked_for_again_share_equal_directives() -> None:
    first = Said(f"{SAY}\n{SAY}", "m", "s", "f:0", asked_again=True)
    second = Said(f'[ORCHESTRATE] {{"task": "other"}}\n{SAY}', "m", "s", "f:9", asked_again=True)
    keys = [one.key for said in (first, second) for one in sightings(said, Source.PLAIN)]
    assert len(keys) == 4
    assert len(set(keys)) == 3
    assert keys[3] == keys[0]
    blanks = Said(SAY.replace('"t"', '" t"'), "m", "s", "f:20", asked_again=True)
    assert sightings(blanks)[0].key not in keys


@given(
    st.recursive(
        st.text(st.characters(exclude_categories=())),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@example(["\ud83d", "\ud83d\ude00", "\udc00\ud800"])
def test_what_a_record_says_can_be_written_down(value: object) -> None:
    found = loads(json.dumps(value))
    json.dumps(found, ensure_ascii=False).encode()
    if json.dumps(value).count("\\ud") == 0:
        assert found == value
