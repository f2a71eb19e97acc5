"""Take the README's pictures: run the demo in a terminal, wait for a telling moment, draw it.

Run it by `docs/picture`, which finds an interpreter that has what it needs.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from shot import capture, outer_client, save_picture

DOCS = Path(__file__).resolve().parent
DEMO = [sys.executable, "-E", "-s", "-B", str(DOCS.parent / "python"), "demo"]
# One worker is done, one still works, and the one that failed is at work again.
MOMENT = "[DONE] api-routes"
SGR = re.compile(r"\x1b\[[0-9;]*m")
WAIT_SECONDS = 60.0
PICTURES = {"demo.png": (140, 40), "demo-80x24.png": (80, 24)}


def wait_for(outer: list[str], text: str) -> None:
    """Return when the screen shows a text; end the program when it does not come."""
    end = time.monotonic() + WAIT_SECONDS
    while text not in (screen := SGR.sub("", capture(outer))):
        if "Pane is dead" in screen or time.monotonic() > end:
            sys.exit(f"the demo did not show {text!r}:\n{screen}")
        time.sleep(0.05)


def main() -> int:
    """Take all pictures."""
    for name, (cols, rows) in PICTURES.items():
        with outer_client(DEMO, cols, rows) as outer:
            wait_for(outer, MOMENT)
            save_picture(outer, cols, rows, DOCS / name)
        print(DOCS / name)  # noqa: T201 - the command's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
