"""What happens to a directive between being seen and having workers: checked, planned, judged, answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiorch.capture.directive import Directive, Rejected, Sighting, Source
from aiorch.capture.fuse import Repeat
from aiorch.capture.reference import merged, read_reference
from aiorch.config import Config
from aiorch.engine.allowances import Allowance, Allowances, Cause
from aiorch.engine.crew import Crew
from aiorch.engine.flood import BURST, Flood
from aiorch.engine.primary import Primary
from aiorch.errors import AiorchError, DirectiveError
from aiorch.journal import DirectiveState, Journal, Tag
from aiorch.plan.rules import make_plan
from aiorch.plan.schema import Plan, Request, WorkerSpec, parse_request
from aiorch.plan.stored import to_text
from aiorch.trust import Demand, Judgement, Verdict, decide, demands_of
from aiorch.ui.report import counted
from aiorch.workers.profile import AgentProfile
from aiorch.workers.types import builtin_agents, known_types

SHOWN_TASK = 200
MAX_QUESTIONS = 50
_PANE = frozenset({Source.SCREEN, Source.PLAIN, Source.TRANSCRIPT, Source.DOOR})


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a directive; `state` is the word for programs, `text` the sentence for people."""

    number: int | None
    state: str
    text: str
    workers: tuple[str, ...] = ()


class Intake:
    """Takes directives one by one; every method is called on the engine's thread only."""

    def __init__(
        self,
        journal: Journal,
        crew: Crew,
        primary: Primary,
        config: Config,
        profiles: Mapping[str, AgentProfile],
    ) -> None:
        self._journal, self._crew, self._primary = journal, crew, primary
        self.config, self._profiles = config, profiles
        self.allowances = Allowances(journal)
        # Whoever tells a lead what became of what it printed.
        self.acknowledge: Callable[[str, str], None] = lambda _source, _text: None
        self._flooded = ""
        self._flood = Flood()
        self.learn_types()

    def learn_types(self) -> None:
        """Take note of the agents and types that the settings know now."""
        self._agents = set(builtin_agents(self._profiles))
        self._types = set(known_types(self._profiles, self.config))

    def take(self, sighting: Sighting, *, caller: int = 0, asks: bool = False) -> Answer:
        """Decide about one sighting, in one transaction; the same one again changes nothing.

        `caller` is the depth of the worker that said it, 0 when it was none. One that `asks` waits for the
        user's answer also where it would run by itself.
        """
        with self._journal.transaction():
            if sighting.source in _PANE and not self._admits():
                return Answer(None, "refused", "too many at once")
            if isinstance(sighting, Rejected):
                return self._reject(sighting)
            return self._receive(sighting, caller, asks)

    def note(self, directive: Directive, reason: str, *, quiet: bool = False) -> None:
        """Record a directive that is not to run; `quiet` leaves the event log alone."""
        with self._journal.transaction():
            number = self._journal.add_directive(directive, self._primary.conversation)
            if number is None:
                return
            self._journal.set_directive(number, DirectiveState.IGNORED, reason)
            if not quiet:
                text = f"{reason} (#{number}: {shown(directive.received_as)})"
                self._journal.add_event(Tag.IGNORED, text)

    def note_repeat(self, repeat: Repeat, *, quiet: bool = False) -> None:
        """Record a directive of a session file that is not to run.

        A question that the screen's drawing of it still asks is asked, or answered, by its exact text.
        """
        question = self._journal.shown_question(repeat.shown) if repeat.shown else None
        if question is None:
            self.note(repeat.directive, repeat.reason, quiet=quiet)
            return
        with self._journal.transaction():
            reason = "the session file has its exact text"
            self._journal.set_directive(question.number, DirectiveState.IGNORED, reason)
            self._journal.add_event(Tag.IGNORED, f"#{question.number}: {reason}")
            self.take(repeat.directive)

    def plan(self, request: Request) -> Plan:
        """Return the plan of a request. Raises DirectiveError when it has none."""
        others = self._journal.names()
        return make_plan(request, self.config.rules, self._types, self.config.default_type, others=others)

    def demands(self, workers: Sequence[WorkerSpec], *, altered: bool = False) -> tuple[Demand, ...]:
        """Return what a plan demands, in the trust table's terms."""
        hosts = any(worker.host for worker in workers)
        return demands_of(_types(workers), self._roles(), self._agents, altered=altered, hosts=hosts)

    def judge_own(self, workers: Sequence[WorkerSpec]) -> Judgement:
        """Judge a plan that the user wrote."""
        return decide(
            source=Source.CLI, known_agent=True, altered=False, types=_types(workers),
            role_types=self._roles(), agent_types=self._agents, hosts=any(one.host for one in workers),
            from_worker=False, overrides=self.config.trust,
        )  # fmt: skip

    def forget_flood(self) -> None:
        """Note that questions are answered: the next one too many is told again."""
        self._flooded = ""

    def run(self, number: int, workers: Sequence[WorkerSpec], depth: int = 1, *, reason: str = "") -> Answer:
        """Queue the workers of a directive; `depth` is 1 for those of the lead, `reason` goes on record."""
        if self._journal.count_workers() + len(workers) > self.config.max_per_run:
            most = self.config.max_per_run
            return self._turn_away(
                number, f"a run may have {most} workers at most (max_per_run in config.toml)"
            )
        self._journal.set_directive(number, DirectiveState.RUNNING, reason, to_text(workers))
        names = tuple(self._crew.add(number, workers, depth))
        words = counted(len(workers))
        self._journal.add_event(Tag.SPAWNING, words)
        answer = Answer(number, "queued", f"#{number}: {words}: {', '.join(names)}", names)
        self._acknowledge(number, answer.text)
        return answer

    def _reject(self, rejected: Rejected) -> Answer:
        number = self._journal.add_rejected(rejected, self._primary.conversation)
        if number is None:
            return Answer(None, "known", "seen before")
        if rejected.source in _PANE:
            self._flood.spend()
        tag = Tag.ERROR if rejected.is_error else Tag.IGNORED
        self._journal.add_event(tag, f"{rejected.reason} (#{number}: {shown(rejected.received_as)})")
        return Answer(number, "rejected" if rejected.is_error else "ignored", rejected.reason)

    def _receive(self, directive: Directive, caller: int, asks: bool) -> Answer:
        number = self._journal.add_directive(directive, self._primary.conversation)
        if number is None:
            return Answer(None, "known", "seen before")
        if directive.source in _PANE:
            self._flood.spend()
        try:
            request, payload = self._request(directive.payload)
            self._journal.set_request(number, request.id, payload)
            if request.id is not None and (again := self._check_id(number, request.id, payload)) is not None:
                return again
            plan = self.plan(request)
        except AiorchError as error:
            return self._refuse(number, str(error))
        self._journal.add_event(Tag.RECEIVED, f"Task: {shown(request.task)}")
        if request.unknown_keys:
            keys = shown(", ".join(request.unknown_keys))
            self._journal.add_event(Tag.IGNORED, f"unknown keys of #{number}, not used: {keys}")
        return self._judge(number, plan, directive, caller, asks)

    def _request(self, payload: Mapping[str, object]) -> tuple[Request, Mapping[str, object]]:
        """Return the checked request and the payload it was read from, that of its file if it names one."""
        request = parse_request(payload)
        if request.file is None:
            return request, payload
        reference = read_reference(request.file, Path(self._primary.working_directory()))
        self._journal.add_event(Tag.RECEIVED, f"{shown(request.file)} (sha256 {reference.sha256})")
        whole = merged(payload, reference)
        return parse_request(whole), whole

    def _check_id(self, number: int, user_id: str, payload: Mapping[str, object]) -> Answer | None:
        earlier = self._journal.same_id(self._primary.conversation, user_id, number)
        if earlier is None:
            return None
        if dict(earlier.payload) != dict(payload):
            raise DirectiveError(
                f'id "{shown(user_id)}" was used before for something else (#{earlier.number})'
            )
        return self._ignore(number, f'id "{shown(user_id)}" has run already (#{earlier.number})')

    def _judge(self, number: int, plan: Plan, directive: Directive, caller: int, asks: bool) -> Answer:
        judged = self._judgement(plan.workers, directive, caller)
        if judged.verdict is Verdict.REFUSE:
            reason = judged.reason + (
                " (max_depth in config.toml)" if caller >= self.config.max_depth else ""
            )
            return self._refuse(number, f"not allowed: {reason}")
        if directive.fenced and self.config.fenced == "ignore":
            return self._ignore(number, 'it stands in a code fence (fenced = "ignore" in config.toml)')
        about = self._about(judged, fenced=directive.fenced)
        if not (about or asks):
            return self.run(number, plan.workers, caller + 1)
        if self._journal.asking() > MAX_QUESTIONS:
            many = f"{MAX_QUESTIONS} questions are open: answer or decline them, then ask again"
            return self._turn_away(number, many)
        return self._ask(number, plan, _reason(judged, about), about, caller)

    def _judgement(self, workers: Sequence[WorkerSpec], directive: Directive, caller: int) -> Judgement:
        if directive.source is Source.SCREEN:
            # Who prints may have changed within the second since anybody looked.
            self._primary.follow_agent(at_once=True)
        # A session file is read for a known agent only, which may have ended since it wrote this.
        known = self._primary.agent is not None or directive.source is Source.TRANSCRIPT
        return decide(
            source=directive.source, known_agent=known,
            altered=directive.altered or (directive.source is Source.SCREEN and self._primary.is_new),
            types=_types(workers), role_types=self._roles(), agent_types=self._agents,
            hosts=any(worker.host for worker in workers), from_worker=caller > 0,
            nested=caller < self.config.max_depth, overrides=self.allowances.overrides(self.config.trust),
        )  # fmt: skip

    def _roles(self) -> set[str]:
        # The default type is the user's own choice, so it counts as a role like the built-in ones.
        programs = {own.name for own in self.config.types.values() if own.command}
        return ({"simple", "sparc", "swarm", "auto"} - programs) | {self.config.default_type}

    def _about(self, judged: Judgement, *, fenced: bool) -> list[Allowance]:
        """Return what makes a directive ask that the user has not allowed yet, nothing when it may run."""
        found = self.allowances.lacking(Cause.TRUST, judged.who, judged.asks)
        if fenced and self.config.fenced == "ask":
            found += self.allowances.lacking(Cause.FENCED, judged.who, judged.demands)
        if self.config.approve == "ask":
            found += self.allowances.lacking(Cause.APPROVE, judged.who, judged.demands)
        return found

    def _acknowledge(self, number: int, text: str) -> None:
        directive = self._journal.directive(number)
        if directive is not None:
            self.acknowledge(directive.source, text)

    def _ask(self, number: int, plan: Plan, reason: str, about: Sequence[Allowance], caller: int) -> Answer:
        """Have a directive wait for the user's answer, with the plan that it is about."""
        self._journal.set_directive(number, DirectiveState.ASKING, reason, to_text(plan.workers))
        self.allowances.note_question(number, about)
        if caller:
            self._journal.set_meta(f"caller of #{number}", caller)
        question = f"#{number}: start {counted(len(plan.workers))}? prefix + O answers ({reason})"
        self._journal.add_event(Tag.ASKING, question)
        answer = Answer(number, "asking", f"#{number} waits for the user's answer")
        self._acknowledge(number, answer.text)
        return answer

    def _admits(self) -> bool:
        """Say whether a pane may bring one more; the event log tells when a flood begins and ends."""
        before = self._flood.refused
        if not self._flood.admits(time.monotonic()):
            if not before:
                text = f"more than {BURST} directives at once: the rest is not taken until it gets less"
                self._journal.add_event(Tag.ERROR, text)
            return False
        if before:
            self._flood.refused = 0
            self._journal.add_event(Tag.ERROR, f"{counted(before, 'directive')} not taken: too many at once")
        return True

    def _turn_away(self, number: int, reason: str) -> Answer:
        """Refuse one too many; the event log says so once, the journal keeps each."""
        if self._flooded == reason:
            self._journal.set_directive(number, DirectiveState.REJECTED, reason)
            return Answer(number, "refused", reason)
        self._flooded = reason
        return self._refuse(number, reason)

    def _ignore(self, number: int, reason: str) -> Answer:
        self._journal.set_directive(number, DirectiveState.IGNORED, reason)
        self._journal.add_event(Tag.IGNORED, f"{reason} (#{number})")
        return Answer(number, "ignored", reason)

    def _refuse(self, number: int, reason: str) -> Answer:
        self._journal.set_directive(number, DirectiveState.REJECTED, reason)
        self._journal.add_event(Tag.ERROR, f"{reason} (#{number})")
        return Answer(number, "refused", reason)


def _types(workers: Sequence[WorkerSpec]) -> set[str]:
    return {worker.type for worker in workers}


def _reason(judged: Judgement, about: Sequence[Allowance]) -> str:
    """Return why a directive asks, in words; it was told to when there is nothing that it is about."""
    causes = {one.cause for one in about}
    if Cause.TRUST in causes:
        return judged.reason
    if not causes:
        return "aiorch run --ask"
    return f'{"fenced" if Cause.FENCED in causes else "approve"} = "ask" in config.toml'


def shown(text: str) -> str:
    """Return text as it may stand on one line of the event log: no control characters, not too long."""
    flat = "".join(char if char.isprintable() else " " for char in text)
    flat = " ".join(flat.split())
    return flat if len(flat) <= SHOWN_TASK else flat[: SHOWN_TASK - 1] + "…"
