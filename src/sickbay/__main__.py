"""``python -m sickbay`` is the ``sickbay`` command."""

import sys

from sickbay.cli import main

if __name__ == "__main__":
    sys.exit(main())
