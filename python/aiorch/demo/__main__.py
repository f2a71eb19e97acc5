"""Run one scripted agent: `python …/aiorch/demo lead|worker …` (the folder itself is the program)."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python put this folder first; the package is found two levels up, without PYTHONPATH (`-E`).
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from aiorch.demo import lead, worker

    programs = {"lead": lead.main, "worker": worker.main}
    if sys.argv[1:2] == [] or sys.argv[1] not in programs:
        sys.exit("usage: demo lead [--go FILE] [--results FILE] | demo worker TASK")
    sys.exit(programs[sys.argv[1]](sys.argv[2:]))
