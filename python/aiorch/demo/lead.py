"""The program of the scripted lead: `python …/aiorch/demo/lead.py [--go FILE] [--results FILE]`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python put this folder first; the package is found two levels up, without PYTHONPATH (`-E`).
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from aiorch.demo.stage import main

    sys.exit(main(sys.argv[1:]))
