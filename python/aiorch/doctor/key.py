"""The key: whether the plugin is loaded in this tmux server, and whether prefix + key leads to us."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiorch import paths
from aiorch.doctor.finding import Finding, Part, note, problem
from aiorch.doctor.scene import Scene
from aiorch.doctor.words import Known, Value, command, say

AREA = "key"
_LINE = re.compile(r"bind-key +(?:-r +)?-T +prefix +(\S+) +(.*)")
_OURS = "@aiorch_dir}/scripts/aiorch key "
_PLUGIN = re.compile(r"/plugins/([^/\s'\"]+)/")
# Keys that tmux itself leaves free, near to what they mean.
_CANDIDATES = ("O", "A", "W", "H", "G", "J", "Y", "K", "U", "V")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Binding:
    """One key of the prefix table, and what it does."""

    key: str
    action: str

    @property
    def is_ours(self) -> bool:
        """Return whether the plugin made it, in any version."""
        return _OURS in self.action


def look(scene: Scene) -> Part:
    """Return who has the key, and what the plugin had to say when it was loaded."""
    option = scene.ask.look
    wanted = option("show-options", "-gqv", "@aiorch-key")
    loaded, error = (
        option("show-options", "-gqv", "@aiorch_dir"),
        option("show-options", "-gqv", "@aiorch_error"),
    )
    bindings = read_bindings(option("list-keys", "-T", "prefix"))
    prefix = option("show-options", "-gv", "prefix")
    facts: dict[str, Value] = {
        "prefix": Known(prefix),
        "key": Known(wanted) if len(wanted) <= 5 else wanted,
        "is_ours": any(one.is_ours for one in bindings),
        "plugin_loaded_from": Path(loaded) if loaded else None,
    }
    if not loaded:
        return Part(AREA, facts, (_not_loaded(scene),))
    bound = option("show-options", "-gqv", "@aiorch_key")
    findings = [*_other_copy(Path(loaded)), *judge(scene, wanted, bound, error, bindings)]
    return Part(AREA, facts, tuple(findings))


def read_bindings(text: str) -> list[Binding]:
    """Return the bindings in what `list-keys -T prefix` prints (seen with 3.3a to 3.8)."""
    found = (match for line in text.splitlines() if (match := _LINE.match(line)))
    return [Binding(_unquoted(match[1]), match[2]) for match in found]


def judge(scene: Scene, wanted: str, bound: str, error: str, bindings: Sequence[Binding]) -> list[Finding]:
    """Return what is wrong with the key that the user wants; `bound` is the one that the plugin has bound."""
    if any(one.is_ours for one in bindings) and bound == wanted:
        return [_told(scene, error)] if error else []
    if not wanted:
        return []
    holder = next((one for one in bindings if one.key == wanted), None)
    # In the words of @aiorch_error when that is all that is known: a key can be written in several ways.
    words = error.removeprefix("aiorch: ") if error else ""
    free = next((key for key in _CANDIDATES if key not in {one.key for one in bindings}), "F12")
    load = scene.load()
    remedy = say("name a free key in tmux.conf (or take the other binding out), and now")
    name_it = scene.tmux("set-option -g @aiorch-key {}", free)
    if holder is not None:
        text = say("prefix {} is taken by {}", wanted, whose(holder))
        return [problem(AREA, text, remedy, name_it, load)]
    if words:
        return [problem(AREA, say("{}", words), remedy, name_it, load)]
    why = "the binding was taken away" if bound == wanted else "it was named"
    text = say("prefix {} does nothing: {} after the plugin was loaded", wanted, Known(why))
    return [problem(AREA, text, say("load the plugin last in tmux.conf, and now"), load)]


def whose(binding: Binding) -> str:
    """Return who made a binding: the plugin whose file it calls, else what it does."""
    plugin = _PLUGIN.search(binding.action)
    if plugin:
        return plugin[1]
    action = binding.action
    return action if len(action) <= _SHOWN else f"{action[:_SHOWN]}…"


def _unquoted(word: str) -> str:
    """Return a key as a person writes it, without tmux's quoting."""
    try:
        return "".join(shlex.split(word, comments=False)) or word
    except ValueError:
        return word


def _told(scene: Scene, error: str) -> Finding:
    text = say("the plugin said when it was loaded: {}", error.removeprefix("aiorch: "))
    return problem(AREA, text, say("load it again"), scene.load())


def _not_loaded(scene: Scene) -> Finding:
    text = say("the plugin is not loaded in this tmux server: there is no key, and nothing in the status bar")
    # The argument is a shell's: a path with blanks is quoted for both.
    line = command("run-shell {}", shlex.quote(str(paths.plugin_dir() / "aiorch.tmux")))
    remedy = say("add `{}` to tmux.conf, and load it now", line)
    return note(AREA, text, remedy, scene.load())


def _other_copy(loaded: Path) -> list[Finding]:
    if loaded.resolve() == paths.plugin_dir():
        return []
    text = say("tmux has loaded the plugin from {}, this command is of {}", loaded, paths.plugin_dir())
    remedy = say("take one of the two out: two versions of one run do not go together")
    return [note(AREA, text, remedy)]
