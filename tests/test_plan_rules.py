"""Which workers a task asks for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.config import load_config
from aiorch.errors import DirectiveError
from aiorch.plan.rules import Rule, make_plan, matches
from aiorch.plan.schema import Plan, WorkerSpec, parse_request

RULES = load_config(None).rules
TYPES = ("auto", "simple", "sparc", "swarm", "claude", "codex", "shell")
SHORT = {"api-routes": "api", "auth-system": "auth", "testing": "test"}


def plan(task: str, *workers: object, rules: tuple[Rule, ...] = RULES) -> Plan:
    payload: dict[str, object] = {"task": task}
    if workers:
        payload["workers"] = list(workers)
    return make_plan(parse_request(payload), rules, TYPES, "auto")


def sentences() -> list[tuple[str, str]]:
    text = (Path(__file__).parent / "data" / "sentences.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return [(label, sentence) for label, sentence in rows]


def test_there_are_enough_labelled_sentences() -> None:
    assert len(set(sentences())) >= 80


@pytest.mark.parametrize(("label", "sentence"), sentences(), ids=lambda text: text)
def test_rules_agree_with_the_label(label: str, sentence: str) -> None:
    found = [SHORT[rule.name] for rule in RULES if matches(rule, sentence)]
    assert "+".join(found) == label.removeprefix("-")


@pytest.mark.parametrize(("label", "sentence"), sentences(), ids=lambda text: text)
def test_plan_follows_the_label(label: str, sentence: str) -> None:
    names = [worker.name for worker in plan(sentence).workers]
    if label == "-":
        assert names == ["simple"]
    else:
        wanted = {*label.split("+"), "test"}
        assert names == [name for name, short in SHORT.items() if short in wanted]


def test_headline_example_gives_three_workers() -> None:
    task = "Build a REST API with auth"
    assert plan(task).workers == (
        WorkerSpec("api-routes", "sparc", f"Design and implement REST API routes for: {task}"),
        WorkerSpec("auth-system", "swarm", f"Build complete authentication system for: {task}"),
        WorkerSpec("testing", "sparc", f"Write comprehensive tests for: {task}"),
    )


def test_task_that_no_rule_knows_goes_to_one_worker_as_it_is() -> None:
    assert plan("Name the author").workers == (WorkerSpec("simple", "simple", "Name the author"),)


def test_joining_rule_alone_starts_nothing_else() -> None:
    assert [w.name for w in plan("Write tests").workers] == ["testing"]


def test_placeholder_inside_the_task_is_not_filled_in() -> None:
    assert plan("api {task}").workers[0].task.endswith("for: api {task}")


def test_rule_order_keeps_only_workers_of_this_plan() -> None:
    rules = (
        Rule("db", "simple", "{task}", ("sql",)),
        Rule("ui", "simple", "{task}", ("page",), after=("db", "docs")),
    )
    assert plan("page over sql", rules=rules).workers[1].after == ("db",)
    assert plan("page", rules=rules).workers[0].after == ()


class TestWords:
    def rule(self, *match: str, unless: tuple[str, ...] = ()) -> Rule:
        return Rule("r", "simple", "{task}", match, unless)

    @pytest.mark.parametrize("text", ["Web page", "web-page", "webPage", "web_page", "WEB  PAGE", "WebPage"])
    def test_phrase_matches_however_it_is_joined(self, text: str) -> None:
        assert matches(self.rule("web page"), text)

    @pytest.mark.parametrize("text", ["web. Page", "web, page", "web\u6728page", "web 2 page", "page web"])
    def test_phrase_does_not_reach_over_other_text(self, text: str) -> None:
        assert not matches(self.rule("web page"), text)

    def test_word_in_capitals_matches_only_capitals(self) -> None:
        assert matches(self.rule("REST"), "use REST now")
        assert not matches(self.rule("REST"), "use rest now")

    def test_stem_matches_what_starts_so(self) -> None:
        assert matches(self.rule("migrat*"), "Migrations!")
        assert not matches(self.rule("migrat*"), "emigration")

    def test_unless_phrase_only_covers_its_own_place(self) -> None:
        rule = self.rule("REST", unless=("REST of",))
        assert not matches(rule, "the REST of it")
        assert matches(rule, "the REST of it needs REST")

    def test_wide_letters_and_accents(self) -> None:
        assert matches(self.rule("api"), "Ａｐｉ")
        assert not matches(self.rule("api"), "apié")


def test_named_worker_takes_the_rule_of_its_name() -> None:
    api, own = plan("Shop", "api-routes", {"name": "auth-system", "task": "only login"}).workers
    assert (api.type, api.task) == ("sparc", "Design and implement REST API routes for: Shop")
    assert (own.type, own.task) == ("swarm", "only login")


def test_worker_named_like_a_type_has_that_type() -> None:
    assert [(w.type, w.task) for w in plan("T", "claude", "codex").workers] == [
        ("claude", "T"),
        ("codex", "T"),
    ]


def test_worker_with_a_name_of_its_own_gets_its_part_of_the_task() -> None:
    docs, rest = plan("T", "docs", {"name": "rest", "type": "codex"}).workers
    assert (docs.type, rest.type) == ("auto", "codex")
    assert docs.task == 'Do only the part "docs" of this task, others do the rest of it: T'
    assert plan("T", "docs").workers[0].task == "T"


def test_shell_is_never_taken_from_a_name_and_needs_its_own_command() -> None:
    assert plan("rm -rf x", "shell").workers[0].type == "auto"
    with pytest.raises(DirectiveError, match='type shell and no "task"'):
        plan("rm -rf x", {"name": "a", "type": "shell"})


def test_unknown_type_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(DirectiveError, match='unknown type "cladue"; did you mean claude'):
        plan("T", {"name": "a", "type": "cladue"})
    with pytest.raises(DirectiveError, match="known are auto, claude"):
        plan("T", {"name": "a", "type": "zzzzzz"})


def test_host_that_is_not_set_up_is_refused_and_not_replaced_by_this_one() -> None:
    request = parse_request({"task": "T", "workers": [{"name": "a", "host": "gpu1"}]})
    with pytest.raises(DirectiveError, match='wants the host "gpu1", which is not set up'):
        make_plan(request, RULES, TYPES, "auto")
    assert make_plan(request, RULES, TYPES, "auto", ["gpu1"]).workers[0].host == "gpu1"


def test_order_is_checked() -> None:
    with pytest.raises(DirectiveError, match="circle"):
        plan("T", {"name": "a", "after": "b"}, {"name": "b", "after": "a"})


def test_request_with_a_file_has_to_be_read_first() -> None:
    with pytest.raises(ValueError, match="file first"):
        make_plan(parse_request({"file": "p.json"}), RULES, TYPES, "auto")


@given(st.text(min_size=1).map(lambda text: "x" + text))
def test_any_task_gives_a_plan(text: str) -> None:
    try:
        request = parse_request({"task": text})
    except DirectiveError:
        return
    assert make_plan(request, RULES, TYPES, "auto").workers


@pytest.mark.parametrize("unit", ["REST of ", "aB", "rest_", "test api auth "])
def test_long_task_is_planned_quickly(unit: str) -> None:
    task = unit * (64_000 // len(unit))
    start = time.process_time()
    plan(task)
    # 0.3 s were seen; a quadratic search took ten times the limit.
    assert time.process_time() - start < 3
