"""What counts as a request, and what is said about everything else."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.errors import DirectiveError
from aiorch.plan.schema import MAX_TASK_BYTES, MAX_WORKERS, Request, clean_name, parse_request, unique_name


class Bad(NamedTuple):
    test_id: str
    payload: dict[str, Any]
    words: str


BAD = [
    Bad("no-task", {}, '"task" is missing'),
    Bad("null-task", {"task": None}, '"task" is missing'),
    Bad("number-task", {"task": 7}, '"task" must be a string, not a number'),
    Bad("true-task", {"task": True}, "not a truth value"),
    Bad("list-task", {"task": ["a"]}, "not a list"),
    Bad("object-task", {"task": {"a": 1}}, "not an object"),
    Bad("empty-task", {"task": ""}, '"task" is empty'),
    Bad("blank-task", {"task": " \n\t "}, '"task" is empty'),
    Bad("megabyte-task", {"task": "x" * 1_000_000}, "longer than 64 KiB"),
    Bad("many-bytes-few-characters", {"task": "木" * (MAX_TASK_BYTES // 3 + 1)}, "longer than 64 KiB"),
    Bad("escape-in-task", {"task": "a\x1b[2Jb"}, "control character U+001B"),
    Bad("nul-in-task", {"task": "a\0b"}, "U+0000"),
    Bad("c1-in-task", {"task": "a\x9bb"}, "U+009B"),
    Bad("bare-return-in-task", {"task": "a\rb"}, "U+000D"),
    Bad("half-character-in-task", {"task": "a\ud800b"}, "U+D800"),
    Bad("true-id", {"task": "a", "id": True}, '"id" must be a string or a number'),
    Bad("list-id", {"task": "a", "id": []}, '"id" must be a string or a number'),
    Bad("empty-id", {"task": "a", "id": " "}, '"id"'),
    Bad("long-id", {"task": "a", "id": "x" * 201}, '"id"'),
    Bad("newline-id", {"task": "a", "id": "a\nb"}, '"id"'),
    Bad("escape-id", {"task": "a", "id": "a\x1b"}, '"id"'),
    Bad("huge-number-id", {"task": "a", "id": 10**5000}, '"id" is too large'),
    Bad("not-a-number-id", {"task": "a", "id": float("nan")}, "finite"),
    Bad("idempotent-text", {"task": "a", "workers": [{"idempotent": "yes"}]}, "true or false, not a string"),
    Bad("file-number", {"file": 3}, '"file" must be the path'),
    Bad("file-blank", {"file": " "}, '"file" must be the path'),
    Bad("file-and-task", {"file": "p.json", "task": "a"}, '"file" and "task" exclude'),
    Bad("file-and-workers", {"file": "p.json", "workers": ["a"]}, '"file" and "workers" exclude'),
    Bad("file-newline", {"file": "a\nb"}, "control characters"),
    Bad("file-long", {"file": "a" * 2000}, "too long"),
    Bad("workers-string", {"task": "a", "workers": "api"}, '"workers" must be a list'),
    Bad("workers-object", {"task": "a", "workers": {"name": "x"}}, "not an object"),
    Bad("workers-empty", {"task": "a", "workers": []}, "empty list"),
    Bad("workers-many", {"task": "a", "workers": ["w"] * (MAX_WORKERS + 1)}, "the limit is 32"),
    Bad("worker-number", {"task": "a", "workers": [1]}, '"workers[0]" must be a name or an object'),
    Bad("worker-name-number", {"task": "a", "workers": [{"name": 1}]}, '"workers[0].name" must be a string'),
    Bad("worker-name-empty", {"task": "a", "workers": ["ok", ""]}, '"workers[1]" must hold letters'),
    Bad("worker-name-signs", {"task": "a", "workers": ["../.."]}, "must hold letters"),
    Bad("worker-type-number", {"task": "a", "workers": [{"type": 1}]}, '"workers[0].type"'),
    Bad("worker-type-odd", {"task": "a", "workers": [{"type": "a b"}]}, '"workers[0].type"'),
    Bad("worker-type-option", {"task": "a", "workers": [{"type": "-x"}]}, '"workers[0].type"'),
    Bad("worker-task-number", {"task": "a", "workers": [{"task": 1}]}, '"workers[0].task"'),
    Bad("worker-task-empty", {"task": "a", "workers": [{"task": ""}]}, '"workers[0].task" is empty'),
    Bad("worker-task-escape", {"task": "a", "workers": [{"task": "\x1b"}]}, "U+001B"),
    Bad("worker-host-option", {"task": "a", "workers": [{"host": "-oProxyCommand=x"}]}, '"workers[0].host"'),
    Bad("worker-host-command", {"task": "a", "workers": [{"host": "a;b"}]}, '"workers[0].host"'),
    Bad("worker-after-number", {"task": "a", "workers": [{"after": 1}]}, '"workers[0].after"'),
    Bad("worker-after-object", {"task": "a", "workers": [{"after": {}}]}, '"workers[0].after"'),
    Bad(
        "after-of-a-double",
        {"task": "a", "workers": ["x", "x", {"name": "y", "after": "x"}]},
        "two workers have that name",
    ),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.test_id)
def test_bad_request_is_refused_with_one_sentence_that_names_the_key(case: Bad) -> None:
    with pytest.raises(DirectiveError) as caught:
        parse_request(case.payload)
    assert case.words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_task_keeps_newlines_tabs_quotes_and_other_scripts() -> None:
    text = 'a "b" \\ `c` $(d) ; #{e} \t\n 木 👩‍💻'
    assert parse_request({"task": text}) == Request(text, None, None, None, ())


def test_windows_line_ends_become_newlines() -> None:
    assert parse_request({"task": "a\r\nb"}).task == "a\nb"


def test_largest_task_is_accepted() -> None:
    assert len(parse_request({"task": "x" * MAX_TASK_BYTES}).task) == MAX_TASK_BYTES


class Id(NamedTuple):
    test_id: str
    given: object
    taken: str | None


IDS = [
    Id("string", "7f3a", "7f3a"),
    Id("number", 7, "7"),
    Id("whole-float", 7.0, "7"),
    Id("float", 7.5, "7.5"),
    Id("negative", -1, "-1"),
    Id("none", None, None),
]


@pytest.mark.parametrize("case", IDS, ids=lambda case: case.test_id)
def test_id_is_a_string_or_a_number(case: Id) -> None:
    assert parse_request({"task": "a", "id": case.given}).id == case.taken


def test_file_takes_the_place_of_the_task() -> None:
    request = parse_request({"id": "7f3a", "file": ".aiorch/plan.json"})
    assert (request.file, request.task, request.id) == (".aiorch/plan.json", "", "7f3a")


def test_unknown_keys_are_kept_by_name_and_not_used() -> None:
    request = parse_request(
        {"task": "a", "cmd": "rm -rf /", "workers": [{"name": "w", "cmd": "x", "env": {}}]}
    )
    assert request.unknown_keys == ("cmd", "workers[0].cmd", "workers[0].env")
    assert "rm" not in repr(request)


def test_unknown_key_with_control_characters_is_shown_harmlessly() -> None:
    assert parse_request({"task": "a", "x\x1b[2J": 1}).unknown_keys == ("x?[2J",)


def test_workers_are_names_or_objects() -> None:
    request = parse_request(
        {
            "task": "t",
            "workers": [
                "docs",
                {"type": "codex", "task": "own", "after": "docs", "host": "me@w1.example"},
                {"name": "last one!", "after": ["docs", "codex", "docs"]},
            ],
        }
    )
    assert request.workers is not None
    docs, codex, last = request.workers
    assert (docs.name, docs.type, docs.task) == ("docs", "", "")
    assert (codex.name, codex.type, codex.task, codex.host) == ("codex", "codex", "own", "me@w1.example")
    assert (last.name, last.after) == ("last-one", ("docs", "codex"))


def test_equal_names_get_numbers_and_never_collide_with_given_ones() -> None:
    request = parse_request({"task": "t", "workers": ["a", "a", "a-2", "a", {}, {}]})
    names = [worker.name for worker in request.workers or ()]
    assert names == ["a", "a-3", "a-2", "a-4", "worker-5", "worker-6"]


def test_unique_name_stays_short() -> None:
    assert unique_name("x" * 40, {"x" * 40}) == "x" * 38 + "-2"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
workers = st.lists(
    st.text(max_size=8)
    | st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("name", "type", "task", "after", "host", "cmd"), json_values)
    ),
    max_size=5,
)
payloads = st.fixed_dictionaries(
    {},
    optional={
        "task": st.text(max_size=30) | json_values,
        "id": json_values,
        "file": st.text(max_size=20) | json_values,
        "workers": workers | json_values,
        "other": json_values,
    },
) | st.dictionaries(st.text(max_size=8), json_values, max_size=4)


@given(payloads)
def test_any_payload_gives_a_request_or_a_directive_error(payload: dict[str, Any]) -> None:
    try:
        request = parse_request(payload)
    except DirectiveError as error:
        assert str(error).isprintable()
        return
    assert request.file is not None or request.task.strip()
    names = [worker.name for worker in request.workers or ()]
    assert len(names) == len(set(names))
    assert all(name == clean_name(name) and name for name in names)


@given(st.text())
def test_clean_name_is_stable_and_safe(text: str) -> None:
    name = clean_name(text)
    assert clean_name(name) == name
    assert len(name) <= 40
    assert not name.startswith(("-", "."))
    assert name.isascii()
