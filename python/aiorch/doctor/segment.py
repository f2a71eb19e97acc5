"""The status bar: whether our segment is in it, and whether it has room."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiorch.doctor.finding import Finding, Part, note, problem
from aiorch.doctor.scene import Scene
from aiorch.doctor.words import Known, Value, say
from aiorch.journal import WorkerState
from aiorch.ui.status import StatusStyle, status_text

AREA = "status bar"
NAME = "AIORCH_STATUS"
_MODE, _STYLE = "@aiorch-status", "@aiorch-status-style"
_SEGMENT = "#{AIORCH_STATUS}"
_STYLES = re.compile(r"#\[[^]]*\]")
_TENS = 10


def look(scene: Scene) -> Part:
    """Return where the segment stands in the status bar of this session."""
    target = ("-t", scene.here.session) if scene.here else ("-g",)
    everything = scene.ask.look("show-options", "-A", *target)
    names = ("status", "status-right", "status-right-length", _MODE, _STYLE, "@aiorch_status_length")
    values = {name: scene.ask.look("show-options", *target, "-Aqv", name) for name in names}
    where = [name if name.startswith("@") else Known(name) for name in shown_in(everything)]
    facts: dict[str, Value] = {
        "mode": Known(values[_MODE]) if values[_MODE] in ("auto", "manual", "") else values[_MODE],
        "stands_in": where,
        "status_right_length": _number(values["status-right-length"]),
    }
    if not scene.ask.look("show-options", "-gqv", "@aiorch_dir"):
        # Nothing of ours was loaded: the area of the key says so.
        return Part(AREA, facts)
    return Part(AREA, facts, tuple(judge(scene, values, bool(where))))


def shown_in(options: str) -> list[str]:
    """Return the names of the options, ours left out, that hold the segment in what `show-options` prints."""
    lines = (line.partition(" ") for line in options.splitlines() if NAME in line)
    return [name.partition("[")[0].rstrip("*") for name, _, _ in lines if not name.startswith("@aiorch_")]


def segment_width(style: StatusStyle) -> int:
    """Return the columns that the segment takes when there is much to count."""
    text = status_text(dict.fromkeys(WorkerState, _TENS), _TENS, style)
    return len(_STYLES.sub("", text))


def judge(scene: Scene, values: Mapping[str, str], is_shown: bool) -> list[Finding]:
    """Return what keeps the segment from being seen; `values` are the options in effect."""
    if values["status"] == "off":
        text = say("the status bar is off: questions of aiorch are seen by prefix + key alone")
        return [note(AREA, text, say("switch it on"), scene.tmux("set-option -g status on"))]
    if not is_shown:
        return [_missing(scene, values)]
    length, kept = _number(values["status-right-length"]), _number(values["@aiorch_status_length"])
    need = segment_width(StatusStyle(ascii=values[_STYLE] == "ascii"))
    if NAME not in values["status-right"] or length is None:
        return []
    if length < need:
        text = say("status-right-length is {}: the segment needs up to {} columns", length, need)
        enough = str(max(need, kept or 0))
        remedy = say("give it more, in tmux.conf too")
        return [problem(AREA, text, remedy, scene.tmux("set-option -g status-right-length {}", enough))]
    if values[_MODE] == "auto" and kept is not None and length < kept:
        text = say("status-right-length was set to {} after the plugin had made it {}", length, kept)
        remedy = say("set it before the plugin is loaded, else the end of your status-right is cut; now")
        return [note(AREA, text, remedy, scene.tmux("set-option -g status-right-length {}", str(kept)))]
    return []


def _missing(scene: Scene, values: Mapping[str, str]) -> Finding:
    if values[_MODE] != "auto":
        text = say("the segment is in no part of the status bar, and {} is not auto", Known(_MODE))
        remedy = say("put {} where you want it", Known(_SEGMENT))
        return note(AREA, text, remedy)
    if NAME in scene.ask.look("show-options", "-gv", "status-right") and scene.here is not None:
        text = say("this session has a status-right of its own, without the segment")
        unset = scene.tmux("set-option -u -t {} status-right", scene.here.session)
        return problem(AREA, text, say("put {} into it, or let it go", Known(_SEGMENT)), unset)
    text = say(
        "the segment is not in status-right: something set that after the plugin was loaded (a theme?)"
    )
    remedy = say("load the plugin after it in tmux.conf, and now")
    return problem(AREA, text, remedy, scene.load())


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
