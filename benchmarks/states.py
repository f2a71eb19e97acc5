"""Print how well an agent's state is told from its screen: states.py [FOLDER] [--title] [-v].

FOLDER holds recordings, `tests/corpus` when none is named. Without --title only the rows of the screen count.
--speed measures what a judgement costs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from aiorch.explain import rules_for  # noqa: E402
from aiorch.workers.profile_file import load_profiles  # noqa: E402
from support.moments import Moment, moments  # noqa: E402
from support.verdicts import Table, judged  # noqa: E402

LARGE = (140, 45)


def recordings(root: Path, only: str) -> dict[str, list[Moment]]:
    """Return the moments of each agent's recordings; folders are named after agents."""
    found: dict[str, list[Moment]] = {}
    for path in sorted(root.glob("*/*/meta.json")):
        if only in f"{path.parts[-3]}/{path.parts[-2]}":
            found.setdefault(path.parts[-3], []).extend(moments(path.parent))
    return found


def show(rows: Iterable[Sequence[str]]) -> None:
    for row in rows:
        print("| " + " | ".join(row) + " |")


def report(found: dict[str, list[Moment]], *, title: bool, verbose: bool) -> None:
    everything: Counter[tuple[str, str]] = Counter()
    rows = []
    for agent, seen in found.items():
        counts, wrong = judged(agent, seen, title=title)
        everything += counts
        rows.append(Table(counts).row(agent))
        for line in wrong if verbose else ():
            print(line)
    whole = Table(everything)
    show([("agent", "screens", "macro-F1", "waiting", "of these idle"), ("---", "--:", "--:", "--:", "--:")])
    show([*rows, [f"**{cell}**" for cell in whole.row("all")]])
    print()
    show(whole.confusion())


def speed(found: dict[str, list[Moment]]) -> None:
    """Print what one judgement costs, per agent, for screens of the size `LARGE` where there are any."""
    profiles = load_profiles(None)
    for agent, seen in found.items():
        large = [m for m in seen if (m.glance.columns, len(m.glance.rows)) == LARGE]
        rules = rules_for(agent, profiles)
        taken = sorted(_seconds(rules, moment) for moment in (large or seen))
        if taken:
            worst = taken[int(len(taken) * 0.99)]
            size = "x".join(map(str, LARGE)) if large else "all sizes"
            print(
                f"{agent}: {statistics.median(taken) * 1e3:.2f} ms median, {worst * 1e3:.2f} ms p99 ({size})"
            )


def _seconds(rules: object, moment: Moment) -> float:
    from aiorch.workers.state import judge

    best = []
    for _ in range(3):
        start = time.perf_counter()
        judge(rules, moment.glance)  # type: ignore[arg-type]
        best.append(time.perf_counter() - start)
    return min(best)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "tests" / "corpus")
    parser.add_argument("--only", default="", help="a part of AGENT/CASE")
    parser.add_argument("--title", action="store_true", help="with the pane's title")
    parser.add_argument("--speed", action="store_true", help="what a judgement costs")
    parser.add_argument("-v", "--verbose", action="store_true", help="name what was judged wrongly")
    options = parser.parse_args()
    found = recordings(options.folder, options.only)
    if options.speed:
        speed(found)
    else:
        report(found, title=options.title, verbose=options.verbose)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
