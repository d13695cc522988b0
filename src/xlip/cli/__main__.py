"""`python -m xlip.cli`."""

import sys

from xlip.cli import main

if __name__ == "__main__":
    sys.exit(main())
