"""Completion for shells: a few lines of each that ask the command itself what may follow."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from aiorch.errors import AiorchError
from aiorch.journal import DirectiveState
from aiorch.journal.reading import Reading, reading
from aiorch.paths import RunPaths
from aiorch.places import locate
from aiorch.ui.terminal import say

_BASH = """_aiorch() {
  local IFS=$'\\n'
  COMPREPLY=($(aiorch completion bash --words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _aiorch aiorch"""
_ZSH = """#compdef aiorch
_aiorch() {
  local -a found
  found=("${(@f)$(aiorch completion zsh --words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n $found ]]; then compadd -- $found; else _files; fi
}
if [[ $funcstack[1] = _aiorch ]]; then _aiorch "$@"; else compdef _aiorch aiorch; fi"""
_FISH = """complete -c aiorch -f -a \
'(aiorch completion fish --words (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PLACES = ("--run", "--socket", "--session")
# Whose arguments are workers of the run.
_WORKERS = frozenset(
    {
        *("wait", "collect", "logs", "jump", "attach", "retry", "kill", "pause", "resume", "answer", "send"),
        *("diff", "merge", "discard", "show", "explain"),
    }
)
_QUESTIONS = frozenset({"approve", "decline"})


def command(options: argparse.Namespace) -> int:
    """Print what a shell needs to complete, or with --words what may stand at their end; return 0."""
    if options.words is None:
        say(_SCRIPTS[options.shell])
        return 0
    *before, last = options.words or [""]
    for word in candidates(before, last):
        say(word)
    return 0


def candidates(before: Sequence[str], last: str) -> list[str]:
    """Return the words that may stand where `last` is being typed, `before` being what is there already."""
    from aiorch.cli import build_parser, command_in

    name = command_in(before)
    parsers = _parsers(build_parser(name) if name else build_parser())
    if not name:
        return [word for word in (*parsers, *_PLACES) if word.startswith(last) and word not in _HIDDEN]
    actions = [one for one in parsers[name]._actions if one.help != argparse.SUPPRESS]
    previous = before[-1] if before else ""
    asked = next((one for one in actions if previous in one.option_strings and one.nargs != 0), None)
    if asked is not None:
        return [str(word) for word in asked.choices or _values(asked) if str(word).startswith(last)]
    if last.startswith("-"):
        return [word for one in actions for word in one.option_strings if word.startswith(last)]
    return [word for word in _arguments(name, actions, before) if word.startswith(last)]


_HIDDEN = ("revive", "monitor", "new", "report")


def _parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = next(one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return dict(found.choices)


def _values(action: argparse.Action) -> Iterable[str]:
    """Return what may follow an option that takes a value."""
    if action.dest == "after":
        return _names()
    if action.dest in ("type", "agent"):
        from aiorch import paths
        from aiorch.workers.profile_file import load_profiles

        return sorted(load_profiles(paths.config_dir() / "profiles"))
    return ()


def _arguments(name: str, actions: Sequence[argparse.Action], before: Sequence[str]) -> Iterable[str]:
    if name in _WORKERS:
        return [word for word in _names() if word not in before]
    if name in _QUESTIONS:
        return _questions()
    choices = (one.choices for one in actions if not one.option_strings and one.choices)
    return [str(word) for found in choices for word in found]


def _names() -> list[str]:
    """Return the names of the workers of the run we are in."""
    with _journal() as journal:
        rows = journal.workers() if journal else []
    # Nothing else may reach a shell's line.
    return [row.name for row in rows if _PLAIN.fullmatch(row.name)]


def _questions() -> list[str]:
    """Return the numbers of the directives that wait for an answer."""
    with _journal() as journal:
        return [str(row.number) for row in journal.directives(DirectiveState.ASKING)] if journal else []


@contextmanager
def _journal() -> Iterator[Reading | None]:
    """Open the journal of the run we are in, None where there is none."""
    with ExitStack() as stack:
        journal = None
        with suppress(AiorchError):
            run = locate(None, None, None).run
            journal = stack.enter_context(reading(RunPaths(Path(run)).journal)) if run else None
        yield journal
