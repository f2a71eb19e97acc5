"""The command `aiorch doctor`: looks, then prints what was found or writes a bundle."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence

from aiorch import trust
from aiorch.doctor.collect import collect
from aiorch.doctor.finding import Finding, Level, Part, all_findings
from aiorch.doctor.scene import Scene, open_scene
from aiorch.doctor.text import NARROWEST, WIDEST, WIDTH, Style, report
from aiorch.doctor.words import plain
from aiorch.errors import UsageError
from aiorch.ui.terminal import use_color

FLAT = "versions"
"""The area whose facts are not below a name of their own in JSON."""


def doctor(options: argparse.Namespace) -> int:
    """Tell what is there and what is wrong; return 1 when there is a problem, else 0."""
    if options.with_tasks and options.bundle is None:
        raise UsageError("--with-tasks goes with --bundle")
    scene = open_scene(options.socket, options.session, options.run)
    parts = collect(scene)
    findings = all_findings(parts)
    if options.bundle is not None:
        from aiorch.doctor.bundle import write_bundle

        write_bundle(scene, parts, findings, options.bundle, tasks=options.with_tasks, as_json=options.json)
        return 0
    if options.json:
        _say(json.dumps(record(parts, findings), indent=1))
    else:
        _say(report(parts, findings, _overrides(scene), _style()))
    return 1 if any(one.level is Level.PROBLEM for one in findings) else 0


def record(parts: Sequence[Part], findings: Sequence[Finding]) -> dict[str, object]:
    """Return all that was found as a JSON object; `problems` are the bare sentences."""
    facts: dict[str, object] = {}
    for part in parts:
        values = {name: plain(value) for name, value in part.facts.items()}
        facts |= values if part.area == FLAT else {part.area.replace(" ", "_"): values}
    problems = [f"{one.area}: {one.text}" for one in findings if one.level is Level.PROBLEM]
    return {"facts": facts, "findings": [one.record() for one in findings], "problems": problems}


def _overrides(scene: Scene) -> trust.Overrides:
    """Return the user's changes of the trust table; none when they cannot be read."""
    try:
        from aiorch.doctor.settings import read_config

        return read_config(scene.config)[0].trust
    except ImportError:
        return {}


def _style() -> Style:
    if not sys.stdout.isatty():
        return Style()
    columns = shutil.get_terminal_size((WIDTH, 24)).columns
    return Style(min(max(columns, NARROWEST), WIDEST), use_color())


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command's output
