"""Print, per agent, what the screen alone gives on a folder of recordings: accuracy.py FOLDER [-v]."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from aiorch.capture.directive import Rejected  # noqa: E402
from capture_corpus import Outcome, cases, judge_case, play  # noqa: E402

AGENTS = ("claude", "codex", "gemini", "opencode", "qwen", "copilot", "aider", "plain")
COLUMNS = ("expected", "exact", "missed", "altered", "duplicate", "false", "errors", "marked")


def main() -> None:
    root, verbose = Path(sys.argv[1]), "-v" in sys.argv
    only = [word for word in sys.argv[2:] if word != "-v"]
    print("agent    " + "".join(f"{name:>10}" for name in COLUMNS))
    for agent in AGENTS:
        total = Outcome()
        for case in cases(root, agent):
            if only and not any(word in f"{agent}/{case.name}" for word in only):
                continue
            sightings = play(case)[0]
            outcome = judge_case(case, sightings)
            total.add(outcome)
            if verbose and (outcome.missed or outcome.wrong or outcome.errors):
                print(
                    f"  {agent}/{case.name}: missed {outcome.missed} errors {outcome.errors}", *outcome.wrong
                )
                for sighting in sightings:
                    if isinstance(sighting, Rejected):
                        print(
                            "     ",
                            sighting.is_error,
                            sighting.position,
                            sighting.reason,
                            repr(sighting.received_as),
                        )
        print(f"{agent:9}" + "".join(f"{getattr(total, name):>10}" for name in COLUMNS))


if __name__ == "__main__":
    main()
