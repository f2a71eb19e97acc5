"""Rules: which workers a plain task asks for when the lead did not say."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from aiorch.errors import DirectiveError
from aiorch.plan import graph
from aiorch.plan.schema import Plan, Request, WorkerSpec

SIMPLE = "simple"
SHELL = "shell"

_UPPER = "A-ZÀ-ÖØ-Þ"
_LOWER = "a-zß-öø-ɏ"
_RUN = re.compile(f"[{_UPPER}{_LOWER}]+")
# The parts of camelCase: "APIs", then capitals ("HTTP" of "HTTPServer"), then a plain word.
_PART = re.compile(f"[{_UPPER}]{{2,}}s(?![{_LOWER}])|[{_UPPER}]+(?![{_LOWER}])|[{_UPPER}]?[{_LOWER}]+")
# What may stand between the words of a phrase: "rest api", "rest-api", "rest_api", "REST/JSON".
_JOINT = re.compile(r"[\s_/-]{1,3}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the plan, as `config.toml` holds it.

    `match` and `unless` list words and phrases. A word matches whole words, and the parts of
    camelCase and snake_case, whatever their case; `test*` matches every word that starts so; a word
    in capitals matches only capitals. A match inside an `unless` phrase does not count. `joins`
    adds the worker also whenever another rule matched. `{task}` in `task` stands for the task.
    """

    name: str
    type: str
    task: str
    match: tuple[str, ...]
    unless: tuple[str, ...] = ()
    joins: bool = False
    after: tuple[str, ...] = ()


def matches(rule: Rule, text: str) -> bool:
    """Return whether the text mentions what the rule looks for."""
    return _Words(text).mention(rule)


def make_plan(
    request: Request,
    rules: Sequence[Rule],
    known_types: Collection[str],
    default_type: str,
    known_hosts: Collection[str] = (),
    others: Collection[str] = (),
) -> Plan:
    """Return the plan of a request: the lead's workers when it named them, else what the rules say.

    Workers that the lead named without a type get the rule of that name, or the type of that name, or
    `default_type`. They may wait for `others`, the workers of earlier plans.

    Raises DirectiveError for an unknown type or host or a bad order, and ValueError when the request still
    has to be read from its file.
    """
    if request.file is not None:
        raise ValueError("read the request's file first")
    if request.workers is None:
        workers = _by_rules(request.task, rules)
    else:
        alone = len(request.workers) == 1
        workers = [_filled(w, request.task, rules, known_types, default_type, alone) for w in request.workers]
    for worker in workers:
        _check_type(worker, known_types, default_type)
        if worker.host is not None and worker.host not in known_hosts:
            # Never here instead: what is meant for another machine may do harm on this one.
            raise DirectiveError(f'worker {worker.name} wants the host "{worker.host}", which is not set up')
    graph.validate(workers, others)
    policy = request.on_failure
    return Plan(request, tuple(replace(w, on_failure=w.on_failure or policy) for w in workers))


def _by_rules(task: str, rules: Sequence[Rule]) -> list[WorkerSpec]:
    words = _Words(task)
    hits = {rule.name for rule in rules if words.mention(rule)}
    if not hits:
        return [WorkerSpec(SIMPLE, SIMPLE, task)]
    chosen = [rule for rule in rules if rule.name in hits or rule.joins]
    names = {rule.name for rule in chosen}
    return [
        WorkerSpec(
            rule.name,
            rule.type,
            rule.task.replace("{task}", task),
            tuple(a for a in rule.after if a in names),
        )
        for rule in chosen
    ]


def _filled(
    worker: WorkerSpec,
    task: str,
    rules: Sequence[Rule],
    known_types: Collection[str],
    default_type: str,
    alone: bool,
) -> WorkerSpec:
    rule = next((rule for rule in rules if rule.name == worker.name), None)
    kind = worker.type
    if not kind and rule is not None:
        kind = rule.type
    if not kind:
        kind = worker.name if worker.name in known_types and worker.name != SHELL else default_type
    if worker.task:
        return replace(worker, type=kind)
    if kind == SHELL:
        raise DirectiveError(f'worker {worker.name} has type shell and no "task": give its command line')
    if rule is not None:
        text = rule.task.replace("{task}", task)
    elif alone or worker.name in known_types:
        text = task
    else:
        text = f'Do only the part "{worker.name}" of this task, others do the rest of it: {task}'
    return replace(worker, type=kind, task=text)


def _check_type(worker: WorkerSpec, known_types: Collection[str], default_type: str) -> None:
    if worker.type in known_types or worker.type == default_type:
        return
    near = difflib.get_close_matches(worker.type, list(known_types), 1)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known_types))}"
    raise DirectiveError(f'worker {worker.name} has the unknown type "{worker.type}"{hint}')


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    end: int  # the index of the part that follows
    joined: bool  # nothing but a joint lies between this word and the next


class _Words:
    """The words of a text: whole ones, and the parts of camelCase as alternatives."""

    def __init__(self, text: str) -> None:
        text = unicodedata.normalize("NFKC", text)
        self._at: list[list[_Word]] = []
        for run in _RUN.finditer(text):
            parts = _PART.findall(run.group())
            gap = _JOINT.match(text, run.end())
            joined = gap is not None and _RUN.match(text, gap.end()) is not None
            start = len(self._at)
            for index, part in enumerate(parts):
                last = index == len(parts) - 1
                self._at.append([_Word(part, start + index + 1, joined or not last)])
            if len(parts) > 1:
                self._at[start].append(_Word(run.group(), len(self._at), joined))
        # A long task is looked through once, not once per phrase.
        self._starts: dict[str, list[int]] = {}
        for start, words in enumerate(self._at):
            for word in words:
                self._starts.setdefault(word.text.casefold(), []).append(start)

    def mention(self, rule: Rule) -> bool:
        """Return whether a `match` phrase occurs outside of all `unless` phrases."""
        spans = [span for phrase in rule.match for span in self._spans(phrase)]
        if not spans:
            return False
        # For each word inside an `unless` phrase, where the farthest such phrase ends.
        excused: dict[int, int] = {}
        for start, end in (span for phrase in rule.unless for span in self._spans(phrase)):
            for at in range(start, end):
                excused[at] = max(end, excused.get(at, 0))
        return any(excused.get(start, 0) < end for start, end in spans)

    def _spans(self, phrase: str) -> Iterator[tuple[int, int]]:
        wanted = phrase.split()
        first = wanted[0].casefold() if wanted else ""
        starts = self._starts.get(first, [])
        if first.endswith("*"):
            stem = first.removesuffix("*")
            starts = [at for word, found in self._starts.items() if word.startswith(stem) for at in found]
        for start in starts:
            for end in self._ends(start, wanted):
                yield start, end

    def _ends(self, start: int, wanted: Sequence[str]) -> Iterator[int]:
        if start >= len(self._at) or not wanted:
            return
        for word in self._at[start]:
            if not _same(word.text, wanted[0]):
                continue
            if len(wanted) == 1:
                yield word.end
            elif word.joined:
                yield from self._ends(word.end, wanted[1:])


def _same(word: str, wanted: str) -> bool:
    stem = wanted.removesuffix("*")
    if len(stem) < 2 or not stem.isupper():
        word, stem = word.casefold(), stem.casefold()
    return word.startswith(stem) if wanted.endswith("*") else word == stem
