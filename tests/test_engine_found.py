"""A worker that the last engine started without living to write it down."""

from __future__ import annotations

import sqlite3
import time

from conftest import LabMaker
from support.lab import STEP, until


def test_worker_found_after_a_crash_is_told_and_limited_as_any_other(make_lab: LabMaker) -> None:
    lab = make_lab()
    lab.start("time_limit = 4\n" + STEP)
    lab.delegate(("a", "sleep 60"))
    lab.wait_state(a="working")
    pane = lab.workers()["a"].pane
    # The second restart within a minute comes after a second.
    (lab.run / "restarts").write_text(f"{time.time()}\n")
    killed = lab.kill_engine()
    with sqlite3.connect(lab.run / "journal.db") as journal:
        journal.execute("UPDATE workers SET state = 'starting', pane = '', pid = 0, started = NULL")
        journal.execute("DELETE FROM events WHERE tag = 'SPAWNED'")
    journal.close()
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    lab.wait_told("SPAWNED", f"a in pane {pane}")
    lab.wait_state(a="failed")
    lab.wait_told("FAILED", "a: over its time limit of 4 s")
