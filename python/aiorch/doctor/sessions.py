"""Every session of the tmux server that has a run: its primary, pipe, engine, workers and last errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiorch.doctor import engine, pane
from aiorch.doctor.engine import Health
from aiorch.doctor.finding import Finding, Part, note, problem
from aiorch.doctor.pane import PaneState
from aiorch.doctor.run import RunState, read_run
from aiorch.doctor.scene import Scene
from aiorch.doctor.vocabulary import known_shape
from aiorch.doctor.words import Known, Moment, Value, Words, command, say
from aiorch.tmux.hooks import INDEX, LOST

AREA = "sessions"
RECENT = 24 * 3600.0
"""Seconds for which an error of the past is worth a note."""

_MUCH = 1024 * 1024
_OTHERS = "something else (tmux-logging?)"


@dataclass(frozen=True, slots=True)
class SessionState:
    """One session with a run; `name` is '' for a run directory that was named without a session.

    `has_hook` says whether a lost engine would be started again, `status` is what the status bar shows.
    """

    id: str
    name: str
    run: RunState
    pane: PaneState
    health: Health
    has_hook: bool = True
    status: str = ""
    is_here: bool = False

    def facts(self) -> dict[str, Value]:
        """Return what is known, for people and programs."""
        errors: list[Value] = [{"time": Moment(one.time), "text": one.text} for one in self.run.errors]
        said: list[Value] = [{"time": Moment(one.time), "text": one.sentence} for one in self.health.bad[-3:]]
        return {
            "session": known_shape(self.id) or None,
            "name": self.name or None,
            "is_this_one": self.is_here,
            **self.run.facts(),
            "pane": self.pane.facts(),
            "engine": self.health.facts(),
            "last_errors": errors,
            "engine_log": said,
        }


def look(scene: Scene) -> Part:
    """Return all sessions with a run, the present one first, and what is wrong with each."""
    found = [_examine(scene, *one) for one in runs_of(scene).items()]
    if scene.run is not None and all(one.run.root != scene.run for one in found):
        found.append(_detached(scene.run))
    facts: dict[str, Value] = {"with_a_run": [one.facts() for one in found]}
    findings = [finding for one in found for finding in judge(scene, one)]
    hooks = (scene.ask.look("show-hooks", "-g"), scene.ask.look("show-options", "-g"))
    findings += _judge_piping(piping("\n".join(hooks)))
    here = scene.here
    if here is not None and all(one.id != here.session for one in found):
        findings += judge_free_pane(scene, pane.examine(scene.ask, here.pane))
    return Part(AREA, facts, tuple(findings))


def runs_of(scene: Scene) -> dict[tuple[str, str], Path]:
    """Return the runs of the server's sessions by (id, name), the present session's first."""
    here = scene.here.session if scene.here else ""
    rows = scene.ask.look("list-sessions", "-F", "#{session_id}\t#{session_name}").splitlines()
    sessions = [(row.partition("\t")[0], row.partition("\t")[2]) for row in rows]
    sessions.sort(key=lambda one: one[0] != here)
    found = {one: scene.ask.look("show-options", "-qv", "-t", one[0], "@aiorch_run") for one in sessions}
    return {one: Path(run) for one, run in found.items() if run}


def judge(scene: Scene, state: SessionState) -> list[Finding]:
    """Return what is wrong with a session's run."""
    run, name = state.run, state.name
    start = scene.aiorch(name, "start") if name else None
    if not run.is_there or run.damage:
        return [_broken(scene, state, start)]
    findings = _judge_past(scene, state)
    if not state.id:
        return findings
    if not state.health.works:
        return [*findings, _lost(state, start)]
    findings += _judge_engine(scene, state)
    if not state.pane.is_there:
        text = say(
            "session {}: its primary pane {} is gone, no directive can come from it",
            name,
            known_shape(run.pane),
        )
        stop = scene.aiorch(name, "stop")
        findings.append(
            note(AREA, text, say("delegate by aiorch run; or end the run and begin another"), stop)
        )
    else:
        findings += _judge_pipe(scene, state)
    return findings


def judge_free_pane(scene: Scene, state: PaneState) -> list[Finding]:
    """Return a problem when the pane that we are in could not become a primary."""
    if not state.is_there or not state.is_piped:
        return []
    whose = Known("another aiorch" if state.is_anothers(0) else _OTHERS)
    text = say("pane {} is piped by {}: aiorch cannot watch it", known_shape(state.pane), whose)
    remedy = say("stop that where it was switched on, or now")
    return [problem(AREA, text, remedy, _close_pipe(scene, state.pane))]


def piping(shown: str) -> list[str]:
    """Return the hooks and options, ours left out, that pipe panes, in what tmux prints of them."""
    lines = (line.partition(" ") for line in shown.splitlines())
    ours = f"[{INDEX}]"
    return [name for name, _, value in lines if "pipe-pane" in value and "@aiorch_" not in name + value
            and ours not in name]  # fmt: skip


def _judge_piping(names: Sequence[str]) -> list[Finding]:
    """Return a note on what pipes panes by itself: a hook of tmux-resurrect, tmux-logging, the user."""
    if not names:
        return []
    text = say(
        "{} pipes panes by itself, and a pane has one pipe: it may take the lead's from aiorch", list(names)
    )
    return [note(AREA, text, say("have it leave out the lead's pane, whose log aiorch keeps"))]


def _examine(scene: Scene, session: tuple[str, str], root: Path) -> SessionState:
    id, name = session
    run = read_run(root)
    pid = scene.ask.look("show-options", "-qv", "-t", id, "@aiorch_engine")
    health = engine.examine(root, int(pid) if pid.isdecimal() else 0)
    shown = [scene.ask.look("show-hooks", *scope, LOST) for scope in (("-g",), ("-t", id))]
    # Hooks of the session's own shadow the global ones.
    hooks = shown[1] if "[" in shown[1] else shown[0]
    status = scene.ask.look("show-environment", "-h", "-t", id, "AIORCH_STATUS").partition("=")[2].strip()
    seen = pane.examine(scene.ask, run.pane, root) if run.pane else PaneState("")
    is_here = scene.here is not None and scene.here.session == id
    return SessionState(id, name, run, seen, health, f"{LOST}[{INDEX}]" in hooks, status, is_here)


def _detached(root: Path) -> SessionState:
    return SessionState("", "", read_run(root), PaneState(""), engine.examine(root, 0))


def _broken(scene: Scene, state: SessionState, start: Words | None) -> Finding:
    run, see = state.run, command("ls -l {}", state.run.root)
    if not run.is_there:
        text = say("session {}: the directory of its run is gone ({})", state.name, run.root)
        return problem(AREA, text, say("begin another run"), *([start] if start else []))
    text = say("the journal of {} cannot be read: {}", run.root, run.damage)
    if run.is_busy:
        return note(AREA, text, say("look again in a moment; if that does not help, look at the files"), see)
    if state.health.works:
        remedy = say("end its engine: the next one starts by itself and saves what can be read")
        return problem(AREA, text, remedy, command("kill {}", state.health.pid))
    remedy = say("start its engine, which saves what can be read of it first")
    return problem(AREA, text, remedy, *([start] if start else []))


def _lost(state: SessionState, start: Words | None) -> Finding:
    last = next((entry.sentence for entry in reversed(state.health.bad)), "")
    # The status bar has what keeps it from coming back.
    said = state.status.removeprefix("aiorch: ") if state.status.startswith("aiorch: ") else ""
    why = "; ".join(dict.fromkeys(one for one in (said, last) if one))
    pid = say(" (pid {})", state.health.pid) if state.health.pid else Known("")
    text = say("session {}: its engine is gone{}{}", state.name, pid, say(": {}", why) if why else Known(""))
    return problem(
        AREA, text, say("start it again; the run goes on where it was"), *([start] if start else [])
    )


def _judge_engine(scene: Scene, state: SessionState) -> list[Finding]:
    health, name, findings = state.health, state.name, []
    if health.is_stopped:
        text = say("session {}: its engine is stopped (pid {}): somebody suspended it", name, health.pid)
        return [problem(AREA, text, say("let it go on"), command("kill -CONT {}", health.pid))]
    if health.is_stuck(scene.now):
        text = say(
            "session {}: its engine (pid {}) leaves {} requests unanswered", name, health.pid, health.waiting
        )
        remedy = say("end it: another one starts by itself and answers them")
        findings.append(problem(AREA, text, remedy, command("kill -KILL {}", health.pid)))
    if not state.has_hook:
        text = say("session {}: the hook is gone that would start a lost engine again", name)
        remedy = say("give hooks of your own for {} an index; this puts ours back", Known(LOST))
        again = (command("kill {}", health.pid), scene.aiorch(name, "start"))
        findings.append(note(AREA, text, remedy, *again))
    return findings


def _judge_past(scene: Scene, state: SessionState) -> list[Finding]:
    """Return notes on what went wrong lately and may be over."""
    findings, run, health = [], state.run, state.health
    who = say("session {}", state.name) if state.name else say("run {}", run.root)
    log = command("tail -n 40 {}", run.root / "engine.log")
    if any(scene.now - at < RECENT for at in health.restarts):
        text = say("{}: its engine was lost and started again at {}", who, Moment(max(health.restarts)))
        findings.append(note(AREA, text, say("its log may say why"), log))
    recent = [entry for entry in health.bad if scene.now - entry.time < RECENT]
    if recent:
        text = say(
            "{}: engine.log has errors, the last at {}: {}", who, Moment(recent[-1].time), recent[-1].sentence
        )
        findings.append(note(AREA, text, say("read what led to it; report it if it makes no sense"), log))
    errors = [event for event in run.errors if scene.now - event.time < RECENT]
    if errors:
        text = say("{}: the last error, at {}: {}", who, Moment(errors[-1].time), errors[-1].text)
        show = scene.aiorch(state.name, "log") if state.name else scene.ours("--run {} log", str(run.root))
        findings.append(note(AREA, text, say("read what came before it"), show))
    if run.is_unverified:
        text = say("{}: directives are read from the screen alone, which may lose characters", who)
        remedy = say(
            "nothing, if the agent runs elsewhere (ssh, a container); else it keeps its session files where"
            " another version does: tell of it"
        )
        findings.append(note(AREA, text, remedy))
    if run.unread > _MUCH:
        text = say("{}: much of what the pane printed was not read yet", who)
        findings.append(note(AREA, text, say("wait; if it does not get less, report it")))
    return findings


def _judge_pipe(scene: Scene, state: SessionState) -> list[Finding]:
    seen, name = state.pane, state.name
    if state.health.is_stopped:
        # It would open the pipe again; that it cannot is the cause.
        return []
    if not seen.is_piped or (seen.pipe == "ours" and seen.is_stopped):
        text = say("session {}: what pane {} prints is not written to its log", name, known_shape(seen.pane))
        remedy = say(
            "the engine tries again every few seconds: see the last error; a full disk is the usual cause"
        )
        return [problem(AREA, text, remedy, scene.aiorch(name, "log"))]
    if seen.pipe == "ours":
        return []
    whose = Known("another aiorch" if seen.is_anothers(state.health.pid) else _OTHERS)
    text = say("session {}: pane {} is piped by {}", name, known_shape(seen.pane), whose)
    remedy = say("stop that where it was switched on, or now; the engine takes the pipe again within 10 s")
    return [problem(AREA, text, remedy, _close_pipe(scene, seen.pane))]


def _close_pipe(scene: Scene, target: str) -> Words:
    return scene.tmux("pipe-pane -t {}", target)
