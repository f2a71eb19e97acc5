"""What the user answers to directives that wait: run them, as they are or changed, or decline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiorch.engine.allowances import Allowance
from aiorch.engine.intake import Answer, Intake, shown
from aiorch.errors import DirectiveError
from aiorch.journal import DirectiveRow, DirectiveState, Journal, Tag
from aiorch.plan.schema import WorkerSpec, parse_request
from aiorch.plan.stored import from_text, to_text, without
from aiorch.trust import Verdict

_KEYS = frozenset({"verb", "pid", "number", "drop", "workers", "always"})


@dataclass(frozen=True, slots=True)
class Terms:
    """How a question is answered: which one (None: all that wait), and what is other than it was asked.

    `drop` names workers that are left out; `workers` is another plan, in a directive's form, None for the one
    that was shown; with `always` what was asked about is not asked again in this run.
    """

    number: int | None = None
    drop: tuple[str, ...] = ()
    workers: Sequence[object] | None = None
    always: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a question on certain terms comes to."""

    workers: Sequence[WorkerSpec]
    allows: Sequence[Allowance]


class Approval:
    """Answers questions; every method is called on the engine's thread only."""

    def __init__(self, journal: Journal, intake: Intake) -> None:
        self._journal, self._intake = journal, intake

    def approve(self, terms: Terms) -> list[Answer]:
        """Run the directive that waits, or all of them.

        Raises DirectiveError when none waits, and when they cannot run on these terms: they go on waiting.
        """
        with self._journal.transaction():
            return [self._approve(row, terms) for row in self._asking(terms.number)]

    def decline(self, number: int | None) -> list[Answer]:
        """Decline the directive of that number that waits for an answer, or all of them.

        Raises DirectiveError when none waits.
        """
        rows = self._asking(number)
        with self._journal.transaction():
            for row in rows:
                self._journal.set_directive(row.number, DirectiveState.DECLINED, "declined by the user")
                self._journal.add_event(Tag.IGNORED, f"#{row.number} declined: {shown(row.received_as)}")
        return [Answer(row.number, "declined", f"#{row.number} declined") for row in rows]

    def preview(self, terms: Terms) -> list[Answer]:
        """Return what would run on these terms; nothing is changed.

        The text is JSON: the `workers`, and what `always` would allow in words. Terms that cannot be are
        answered with the state `invalid` and the reason.
        """
        (row, *others) = self._asking(terms.number)
        if others:
            raise DirectiveError("say which one: several directives wait")
        try:
            outcome = self._outcome(row, terms)
        except DirectiveError as error:
            return [Answer(row.number, "invalid", str(error))]
        words = [one.words for one in outcome.allows]
        text = json.dumps({"workers": json.loads(to_text(outcome.workers)), "always": words})
        return [Answer(row.number, "plan", text)]

    def _asking(self, number: int | None) -> list[DirectiveRow]:
        rows = self._journal.directives(DirectiveState.ASKING)
        self._intake.forget_flood()
        found = [row for row in rows if number in (None, row.number)]
        if not found:
            raise DirectiveError(
                "no directive waits for an answer" if number is None else f"#{number} does not wait"
            )
        return found

    def _approve(self, row: DirectiveRow, terms: Terms) -> Answer:
        outcome = self._outcome(row, terms)
        if terms.always:
            self._allow(row.number, outcome.allows, is_only_one=terms.number is not None)
        changes = _changes(terms)
        if changes:
            self._journal.add_event(Tag.RECEIVED, f"#{row.number}: {shown(changes)}")
        caller = self._journal.meta(f"caller of #{row.number}")
        depth = (caller if isinstance(caller, int) else 0) + 1
        return self._intake.run(row.number, outcome.workers, depth, reason=changes)

    def _outcome(self, row: DirectiveRow, terms: Terms) -> _Outcome:
        # What runs is what was shown: the plan in the journal, not the file or the rules as they are now.
        plan: Sequence[WorkerSpec] = from_text(row.plan)
        if terms.workers is not None:
            plan = self._own_plan(row, terms.workers)
        if terms.drop:
            plan = without(plan, terms.drop)
        demands = self._intake.demands(plan, altered=True)
        # A worker that was left out is none that the user allows.
        allows = [one for one in self._intake.allowances.question(row.number) if one.what in demands]
        return _Outcome(plan, allows)

    def _own_plan(self, row: DirectiveRow, workers: Sequence[object]) -> Sequence[WorkerSpec]:
        """Return the plan that the user wrote in place of a directive's own, checked like any other."""
        said = {"task": row.payload.get("task"), "on_failure": row.payload.get("on_failure")}
        request = parse_request({**said, "workers": workers})
        if request.unknown_keys:
            # A lead may say more than we know; who edits a plan has mistyped something.
            raise DirectiveError(f"unknown keys: {', '.join(request.unknown_keys)}")
        plan = self._intake.plan(request).workers
        judged = self._intake.judge_own(plan)
        if judged.verdict is Verdict.REFUSE:
            raise DirectiveError(f"not allowed: {judged.reason}")
        return plan

    def _allow(self, number: int, allows: Iterable[Allowance], *, is_only_one: bool) -> None:
        if is_only_one and not allows:
            raise DirectiveError(f"#{number} asks because it was told to: there is nothing to allow for good")
        for one in self._intake.allowances.add(allows):
            self._journal.add_event(Tag.ASKING, f"not asked again in this run: {one.words}")


def read_terms(body: Mapping[str, object]) -> Terms:
    """Return the terms of a request. Raises DirectiveError for any that cannot be told for sure."""
    number = read_number(body)
    unknown = sorted(str(key) for key in body if key not in _KEYS)
    if unknown:
        # Never run all of a plan because a word that would have changed it is mistyped.
        raise DirectiveError(f"an approval has no {shown(', '.join(unknown))!r:.60}")
    drop, workers, always = body.get("drop"), body.get("workers"), body.get("always", False)
    if drop is not None and not (isinstance(drop, list) and all(isinstance(name, str) for name in drop)):
        raise DirectiveError('"drop" must be a list of names of workers')
    if workers is not None and not isinstance(workers, list):
        raise DirectiveError('"workers" must be a list of workers, as in a directive')
    if not isinstance(always, bool):
        raise DirectiveError('"always" must be true or false')
    if number is None and (drop or workers is not None):
        raise DirectiveError("say which one: a plan is changed by the number of its directive")
    return Terms(number, tuple(drop or ()), workers, always)


def read_number(body: Mapping[str, object]) -> int | None:
    """Return the directive that is meant, None for all. Raises DirectiveError when it is no number."""
    text = str(body.get("number", ""))
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise DirectiveError(f"{text!r:.60} is no number of a directive")
    return int(text)


def _changes(terms: Terms) -> str:
    """Return in words what the user changed in a plan, '' for nothing."""
    parts = ["the plan was changed by the user"] if terms.workers is not None else []
    if terms.drop:
        parts.append(f"left out by the user: {', '.join(dict.fromkeys(terms.drop))}")
    return "; ".join(parts)
