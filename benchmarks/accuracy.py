"""Print what recordings give, against what they hold: accuracy.py FOLDER [--write FILE.md].

With -v the recordings in which something is missed or wrong are named. --write makes the page of the
documentation; without it the same tables are printed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from aiorch.capture.directive import Directive, Sighting, Source  # noqa: E402
from aiorch.capture.grammar import Complete, judge  # noqa: E402
from capture_corpus import (  # noqa: E402
    Outcome,
    cases,
    holds,
    judge_case,
    replay_case,
    session_files,
    spoken,
)

AGENTS = ("claude", "codex", "gemini", "opencode", "qwen", "copilot", "aider", "plain")
COLUMNS = ("expected", "exact", "missed", "altered", "duplicate", "false", "marked")
_MARKER = re.compile(r"\[ORCHESTRATE\]\s*(?=\{)")
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")

Reading = Callable[[Path], list[Sighting]]


def regex(text: str) -> list[Sighting]:
    """What the obvious few lines of code find: the marker, then JSON."""
    verdicts = (judge(text[: match.end() + 4096], match.end()) for match in _MARKER.finditer(text))
    return [
        Directive(verdict.payload, Source.PLAIN, "", "", "", "")
        for verdict in verdicts
        if isinstance(verdict, Complete)
    ]


def raw(case: Path) -> list[Sighting]:
    return regex((case / "raw.log").read_text(errors="replace"))


def stripped(case: Path) -> list[Sighting]:
    text = (case / "raw.log").read_text(errors="replace")
    return regex(_SEQUENCE.sub("", text).replace("\r", ""))


READINGS: dict[str, tuple[str, Reading]] = {
    "fused": ("Session file and screen together: what the engine takes", replay_case),
    "transcript": ("The agent's session file alone", spoken),
    "screen": ("The screen alone: no session file was found", lambda case: replay_case(case, sessions=False)),
    "raw": ("For comparison: a regular expression over the log", raw),
    "stripped": ("For comparison: the same, escape sequences taken out before", stripped),
}


def groups(root: Path, only: str) -> Iterator[tuple[str, list[Path]]]:
    """Yield the recordings of each agent and renderer."""
    for agent in AGENTS:
        found: dict[str, list[Path]] = {}
        for case in cases(root, agent):
            if only in f"{agent}/{case.name}":
                renderer = json.loads((case / "meta.json").read_text()).get("renderer") or ""
                found.setdefault(f"{agent} {renderer}".strip(), []).append(case)
        yield from sorted(found.items())


def measure(root: Path, reading: Reading, only: str, *, with_files: bool, verbose: bool) -> list[list[str]]:
    """Return the rows of one table."""
    rows, whole = [], Outcome()
    for name, members in groups(root, only):
        total = Outcome()
        for case in members:
            if with_files and not session_files(case):
                continue
            outcome = judge_case(case, reading(case))
            total.add(outcome)
            if verbose and (outcome.missed or outcome.wrong):
                print(f"  {case.parent.name}/{case.name}: missed {outcome.missed}", *outcome.wrong)
        whole.add(total)
        rows.append([name, *(str(getattr(total, column)) for column in COLUMNS)])
    return [*rows, ["**all**", *(f"**{getattr(whole, column)}**" for column in COLUMNS)]]


def drawn(root: Path, only: str) -> tuple[int, int]:
    """Return how many directives were readable on some screen, and how many of those came out exact."""
    readable = exact = 0
    for _, members in groups(root, only):
        for case in members:
            found = Counter(json.dumps(s.payload, sort_keys=True) for s in directives(case))
            for payload in holds(case):
                readable += 1
                exact += found[json.dumps(payload, sort_keys=True)] > 0
    return readable, exact


def directives(case: Path) -> list[Directive]:
    return [one for one in replay_case(case, sessions=False) if isinstance(one, Directive)]


def table(rows: list[list[str]]) -> str:
    head = ["agent, renderer", *COLUMNS]
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] + ["--:"] * len(COLUMNS), *rows]]
    return "\n".join(lines)


def page(root: Path, only: str, *, verbose: bool) -> str:
    """Return the whole page."""
    texts = [INTRODUCTION.format(**facts(root, only))]
    for name, (title, reading) in READINGS.items():
        if verbose:
            print(name)
        rows = measure(root, reading, only, with_files=name == "transcript", verbose=verbose)
        texts.append(f"## {title}\n\n{table(rows)}\n{NOTES.get(name, '')}")
    readable, exact = drawn(root, only)
    texts.append(REST.format(readable=readable, exact=exact))
    return "\n".join(texts)


def facts(root: Path, only: str) -> dict[str, object]:
    """Return what the introduction says about the recordings."""
    versions: dict[str, str] = {}
    count = 0
    for _, members in groups(root, only):
        for case in members:
            meta = json.loads((case / "meta.json").read_text())
            version = str(meta.get("version") or "").split(" ")[0]
            if meta["agent"] != "plain" and version:
                versions[meta["agent"]] = version
            count += 1
    listed = ", ".join(f"{agent} {version}" for agent, version in versions.items())
    return {"count": count, "versions": listed or "no agent"}


INTRODUCTION = """# Accuracy

How many of the directives that an agent wrote come out, and how many that it did not write. Measured on
{count} recordings of real agents in real panes (tmux 3.3a):
{versions},
and a program that prints lines (*plain*). The models behind them were scripted, so that it is known what
each one said: long lines that wrap, quotes, backslashes, emoji, Markdown in the text, nested and
pretty-printed JSON, code fences, lists, quotations, the same words from the user or a tool, scrolling,
resizes, resumed and cleared conversations.

This page is written by `benchmarks/accuracy.py FOLDER --write docs/accuracy.md`. A part of the
recordings is in `tests/corpus`, and the tests hold the figures there. `aiorch replay` reads any log in
the same way.

| column | meaning |
| --- | --- |
| expected | directives that the agent wrote and that count where they stand |
| exact | came out, every character right |
| missed | did not come out, or not exactly |
| altered | came out with another payload |
| duplicate | came out once more than it was written |
| false | came out although the user, a tool or a quotation said it |
| marked | came out with the mark `altered`: something was visibly lost, or may have been; it asks you first |
"""

NOTES = {
    "fused": """
*plain* has no session file: there is only what it prints, and nothing tells its own words from those of
a file that it shows. That is why such panes always ask. Gemini's file lacks the joiner inside emoji of
several parts: those come from the screen. One recording of Aider and one of *plain* ended before
anything was answered.
""",
    "transcript": """
Recordings without a session file are left out. One of Qwen Code ended before its file was written.
""",
    "screen": """
Everything from a known agent's screen is `unverified`, since rendering can eat characters and leave no
trace: a Markdown renderer turns `\\\\t` into `\\t` and `**x**` into `x`. Where it shows (a change of
style within a string, a row that breaks without reason, a pane whose size changed) the directive is
marked `altered`. An intended repetition counts once here: on a screen it cannot be told from drawing it
again. Aider's two false ones are the output of a command, which Aider draws as it draws answers; its
screen always asks.
""",
}

REST = """## What a screen can give

{readable} of the directives were readable on some screen at some time, blanks aside; {exact} of these
come out of the screen alone. The others were eaten by rendering (OpenCode drops brackets; Markdown takes
`*`, `_`, `\\` and tags away), or are intended repetitions.

## How far to trust this

- The rules were written while looking at these recordings. Other recordings of the same kinds are kept aside.
- Another version of an agent may draw differently. The versions above are the ones that were looked at.
- No recording holds a real model's free prose.
- Sizes from 60×30 to 150×45 were recorded, in the default themes.
- macOS, other versions of tmux, agents inside SSH or containers: not recorded.
- A recording notes a resize some hundred bytes late. A live engine asks tmux for the screen after a resize, a
  replay cannot.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure recordings.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--only", default="", help="recordings whose name holds this word")
    parser.add_argument("--write", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    text = page(options.folder, options.only, verbose=options.verbose)
    if options.write:
        options.write.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
