"""What is made of salvaged rows: workers are what is sure of them, and never run twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiorch.capture.directive import Directive, Source
from aiorch.journal import DirectiveState, Journal, MessageState, WorkerState
from aiorch.journal.rebuild import UNSURE, Trace, rebuild
from aiorch.journal.salvage import GAPS, Row, Salvage, salvage
from support.journals import begin, delegate, end, new_run

S = WorkerState


@pytest.fixture
def found(tmp_path: Path) -> Salvage:
    """Return the rows of a run with workers a (done), b and c (working), d and e (queued); f asks."""
    paths = new_run(tmp_path / "run")
    journal = Journal(paths.journal)
    first = delegate(journal, "first", ["a", "b"])
    second = delegate(journal, "second", ["c", "d", "e"])
    for worker in (*first, second[0]):
        begin(journal, worker)
    end(journal, first[0])
    question = journal.add_directive(Directive({"task": "f"}, Source.PLAIN, "", "", "f", "f"), 1)
    assert question == 3
    journal.set_directive(question, DirectiveState.ASKING, "it asks", "[]")
    for state in (MessageState.QUEUED, MessageState.TYPING, MessageState.DELIVERED):
        journal.set_message(journal.add_message(f"{state}", 1, "a", "user", "hello"), state)
    journal.close()
    rows = salvage(paths.journal.read_bytes(), b"")
    assert rows.is_whole
    return rows


def lose(found: Salvage, table: str, *numbers: int) -> None:
    for number in numbers or list(found.rows[table]):
        del found.rows[table][number]
    found.is_whole = False


def states(found: Salvage) -> dict[str, str]:
    return {str(row["name"]): str(row["state"]) for row in found.rows["workers"].values()}


def meta(found: Salvage, name: str) -> object:
    values = {row["name"]: row["value"] for row in found.rows["meta"].values()}
    return json.loads(str(values[name])) if name in values else None


RAN = {1: Trace(1, True), 2: Trace(1, True), 3: Trace(1, True)}
WHOLE = {"a": S.DONE, "b": S.WORKING, "c": S.WORKING, "d": S.QUEUED, "e": S.QUEUED}


def test_a_message_that_may_have_been_typed_is_not_typed_again(found: Salvage) -> None:
    def messages() -> list[object]:
        return [row["state"] for row in found.rows["messages"].values()]

    before = messages()
    rebuild(found, RAN, "told", 9.0)
    assert messages() == before == ["queued", "typing", "delivered"]
    lose(found, "events")
    rebuild(found, RAN, "told", 9.0)
    assert messages() == ["unsure", "unsure", "delivered"]


def test_what_is_whole_stays_as_it_is(found: Salvage) -> None:
    rebuild(found, RAN, "told", 9.0)
    assert states(found) == WHOLE
    assert meta(found, UNSURE) is None
    assert max(found.rows["events"].values(), key=lambda row: int(str(row["number"])))["text"] == "told"


def test_workers_whose_rows_are_lost_come_back_by_their_plan(found: Salvage) -> None:
    before = dict(found.rows["workers"])
    lose(found, "workers")
    rebuild(found, RAN, "", 9.0)
    # What ran is looked after; what was queued may have been stopped since.
    assert states(found) == WHOLE | {"b": S.STARTING, "c": S.STARTING, "d": S.LOST, "e": S.LOST}
    for number, row in found.rows["workers"].items():
        assert {name: row[name] for name in ("directive", "task", "type", "attempt")} == {
            name: before[number][name] for name in ("directive", "task", "type", "attempt")
        }
    assert "aiorch retry d" in str(found.rows["workers"][4]["reason"])
    assert meta(found, UNSURE) is True


def test_what_a_lost_worker_left_is_told(found: Salvage) -> None:
    lose(found, "workers", 1)
    rebuild(found, {**RAN, 1: Trace(1, True, 0, "all is well")}, "", 9.0)
    row = found.rows["workers"][1]
    assert (row["state"], row["status"], row["result"]) == (S.DONE, 0, "all is well")
    assert isinstance(row["started"], float) and isinstance(row["ended"], float)


def test_without_transitions_what_ran_is_told_by_its_trace(found: Salvage) -> None:
    lose(found, "workers", 2, 3, 4)
    lose(found, "transitions")
    rebuild(found, RAN, "", 9.0)
    assert states(found) == WHOLE | {"b": S.STARTING, "c": S.STARTING, "d": S.LOST}
    assert found.rows["workers"][4]["task"] == "do d"


def test_nothing_but_traces(found: Salvage) -> None:
    for table in ("workers", "transitions", "directives", "decisions"):
        lose(found, table)
    rebuild(found, {1: Trace(2, True), 5: Trace(1, False)}, "", 9.0)
    assert states(found) == {"w1": S.STARTING, "w5": S.LOST}
    assert found.rows["workers"][1]["attempt"] == 2


def test_a_row_that_is_older_than_its_trace_is_brought_forward(found: Salvage) -> None:
    rebuild(found, {**RAN, 1: Trace(2, True), 4: Trace(1, True), 5: Trace(1, False)}, "", 9.0)
    assert states(found) == WHOLE | {"a": S.STARTING, "d": S.STARTING}
    assert [found.rows["workers"][number]["attempt"] for number in (1, 4, 5)] == [2, 1, 1]


def test_rows_that_may_be_older_start_and_ask_nothing(found: Salvage) -> None:
    found.is_behind, found.is_whole = True, False
    rebuild(found, RAN, "", 9.0)
    assert states(found) == {"a": S.DONE, "b": S.STARTING, "c": S.STARTING, "d": S.LOST, "e": S.LOST}
    question = found.rows["directives"][3]
    assert question["state"] == DirectiveState.IGNORED and "ask for it again" in str(question["reason"])


def test_numbers_of_what_is_lost_are_not_given_again(found: Salvage) -> None:
    newest = max(found.rows["events"])
    lose(found, "directives", 2, 3)
    lose(found, "events")
    rebuild(found, RAN, "told", 9.0)
    assert found.rows["directives"][2]["state"] == DirectiveState.IGNORED
    assert "lost" in str(found.rows["directives"][3]["reason"])
    (told,) = found.rows["events"].values()
    assert int(str(told["number"])) > newest
    # Lost once, they are not lost again.
    assert meta(found, GAPS) == int(str(told["number"])) - sum(
        len(found.rows[table]) for table in ("events", "transitions", "decisions")
    )


def test_a_worker_of_the_same_name_gets_a_number(found: Salvage) -> None:
    lose(found, "workers", 1)
    rows: dict[int, Row] = found.rows["workers"]
    rows[2]["name"] = "a"
    rebuild(found, RAN, "", 9.0)
    assert len({str(row["name"]) for row in rows.values()}) == len(rows) == 5
