"""Entry point: `python /path/to/plugin/python …` puts this folder first on sys.path."""

import sys

from aiorch.cli import main

if __name__ == "__main__":
    sys.exit(main())
