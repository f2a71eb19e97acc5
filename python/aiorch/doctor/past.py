"""Runs that no session has: those that were cut off and can go on, with what is wrong with their journals."""

from __future__ import annotations

from aiorch.doctor.finding import Finding, Part, note
from aiorch.doctor.scene import Scene
from aiorch.doctor.sessions import runs_of
from aiorch.doctor.words import Moment, Value, say
from aiorch.runs import CutOff, cut_off_runs

AREA = "runs"
_TOLD = 3


def look(scene: Scene) -> Part:
    """Return the runs on this machine that have no session, as far as something is to be done with them."""
    live = set(runs_of(scene).values()) if scene.server else set()
    found = [run for run in cut_off_runs(scene.state) if run.root not in live and run.is_open]
    findings = [_cut_off(scene, run) for run in found[:_TOLD]]
    if len(found) > _TOLD:
        text = say("{} more runs were cut off", len(found) - _TOLD)
        findings.append(note(AREA, text, say("see them all"), scene.ours("resume --list")))
    return Part(AREA, {"cut_off": [_facts(run) for run in found]}, tuple(findings))


def _facts(run: CutOff) -> Value:
    if run.fault:
        return {"run": run.root, "changed": Moment(run.changed), "fault": run.fault}
    names = ("unfinished", "asking", "done")
    counts: dict[str, Value] = {name: getattr(run, name) for name in names}
    return {"run": run.root, "directory": run.directory, "changed": Moment(run.changed), **counts}


def _cut_off(scene: Scene, run: CutOff) -> Finding:
    again = scene.ours("resume {}", run.root.name)
    if run.fault:
        text = say("run {} has no engine, and its journal cannot be read", run.root.name)
        return note(AREA, text, say("go on with it: what can be read of it is saved first"), again)
    text = say(
        "run {} was cut off at {}, with {} workers unfinished and {} directives that ask, in {}",
        run.root.name, Moment(run.changed), run.unfinished, run.asking, run.directory,
    )  # fmt: skip
    return note(AREA, text, say("go on with it from a pane of that directory (--drop gives it up)"), again)
