"""Entry point: `python /path/to/plugin/python …` puts this folder first on sys.path."""

import os
import sys

if sys.flags.no_site:
    # -S saves a command a tenth of its time; what it leaves out is where the environment keeps its packages.
    _LIB = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    sys.path.append(os.path.join(os.path.dirname(os.path.dirname(sys.executable)), _LIB))  # noqa: PTH118, PTH120

from aiorch.cli import main

if __name__ == "__main__":
    sys.exit(main())
