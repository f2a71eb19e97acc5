"""The tmux options that the user set for aiorch: unknown ones, and values that say nothing."""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiorch import paths
from aiorch.doctor.finding import Finding, Part, problem
from aiorch.doctor.scene import Scene
from aiorch.doctor.words import Known, Value, say

AREA = "options"
_OURS = "@aiorch-"
_OPTION = re.compile(r"set-option -ogq (@aiorch-[a-z-]+) (.*)")
_SET = re.compile(r"^(@aiorch[-_][^\s\[]*)", re.MULTILINE)
_NUMBERS = ("max-workers", "min-columns", "min-rows")
_CHOICES = {"status": ("auto", "manual"), "status-style": ("unicode", "ascii"), "status-color": ("on", "off")}
# What is not the first word means the same as the second, but for the colour, which only `off` switches off.
_TAKEN = {"status": "manual", "status-style": "unicode", "status-color": "on"}


@dataclass(frozen=True, slots=True)
class UserOption:
    """One option as it is set in tmux; `scope` are the words of set-option that lead to it."""

    name: str
    value: str
    scope: tuple[str, ...] = ("-g",)


def look(scene: Scene) -> Part:
    """Return the options that are not as they are by default, and what is wrong with them."""
    declared = declared_options()
    found = list(_set_options(scene))
    changed: list[Value] = [
        {"name": Known(one.name) if one.name in declared else one.name, "value": _harmless(one)}
        for one in found
        if one.name.startswith(_OURS) and declared.get(one.name) != one.value
    ]
    findings = judge(found, declared, lambda name: shutil.which(name, path=scene.path) is not None)
    return Part(AREA, {"changed": changed}, tuple(_finding(scene, declared, *one) for one in findings))


def declared_options(file: Path | None = None) -> dict[str, str]:
    """Return every option of the plugin with its default, from the file that sets them."""
    lines = (file or paths.script("options.conf")).read_text().splitlines()
    found = (match for line in lines if (match := _OPTION.fullmatch(line)))
    return {match[1]: match[2].strip("'\"") for match in found}


def judge(
    found: Iterable[UserOption], declared: Mapping[str, str], is_program: Callable[[str], bool]
) -> list[tuple[UserOption, str, str]]:
    """Return what is wrong: the option, the nearest known name for an unknown one, else what is taken."""
    wrong = []
    for one in found:
        nearest = _nearest(one.name, declared)
        if one.name not in declared and (one.name.startswith(_OURS) or nearest):
            wrong.append((one, nearest, ""))
        elif one.name in declared and (taken := _instead(one, is_program)):
            wrong.append((one, "", taken))
    return wrong


def _nearest(name: str, declared: Mapping[str, str]) -> str:
    """Return the known name that is meant; one of our own state's names is near none."""
    dashed = name.replace("_", "-")
    if not name.startswith(_OURS):
        # The state's own name for the key that is bound differs by that alone.
        return dashed if dashed in declared and not dashed.endswith("-key") else ""
    return next(iter(difflib.get_close_matches(dashed, declared, n=1, cutoff=0.6)), "")


def _instead(one: UserOption, is_program: Callable[[str], bool]) -> str:
    """Return what is taken in place of a value that says nothing, '' for one that does."""
    name, value = one.name.removeprefix(_OURS), one.value
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"{_TAKEN[name]} is taken; it can be {' or '.join(_CHOICES[name])}"
    if name in _NUMBERS and value and not (value.isdecimal() and int(value) > 0):
        return f"{name.replace('-', '_')} of config.toml is taken; it is a whole number above 0"
    if name == "python" and value and not is_program(value):
        return "no such program: the private environment cannot be built anew"
    return ""


def _finding(scene: Scene, declared: Mapping[str, str], one: UserOption, nearest: str, taken: str) -> Finding:
    unset = scene.tmux(f"set-option -u{' {}' * len(one.scope)} {{}}", *one.scope, one.name)
    if taken:
        text = say("{} is {}: {}", Known(one.name), f'"{one.value}"', Known(taken))
        # What is set for one session, say, gives way to what is set for all.
        default = scene.tmux("set-option -g {} {}", one.name, declared[one.name])
        now = default if one.scope == ("-g",) else unset
        return problem(AREA, text, say("correct it in tmux.conf, and now"), now)
    if not nearest:
        text = say("{} is no option of aiorch: it does nothing", one.name)
        return problem(AREA, text, say("take it out of tmux.conf, and now"), unset)
    text = say("{} is no option of aiorch and does nothing: {} is meant?", one.name, Known(nearest))
    right = scene.tmux("set-option -g {} {}", nearest, one.value)
    return problem(AREA, text, say("correct it in tmux.conf, and now"), unset, right)


def _set_options(scene: Scene) -> Iterable[UserOption]:
    """Yield every option that begins as ours do, of the server and of the session."""
    scopes: list[tuple[str, ...]] = [("-g",), ("-s",), ("-g", "-w")]
    if scene.here is not None:
        scopes.append(("-t", scene.here.session))
    for scope in scopes:
        shown = scene.ask.look("show-options", *scope)
        for name in dict.fromkeys(_SET.findall(shown)):
            yield UserOption(name, scene.ask.look("show-options", "-qv", *scope, name), scope)


def _harmless(one: UserOption) -> Value:
    """Return the value, as one that may be told when it is a number or one of our own words."""
    words = (*_CHOICES.get(one.name.removeprefix(_OURS), ()), "")
    is_key = one.name == "@aiorch-key" and len(one.value) <= 5
    known = one.value in words or one.value.isdecimal() or is_key
    return Known(one.value) if known and one.name in declared_options() else one.value
