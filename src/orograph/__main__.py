"""``python -m orograph``."""

import sys

from orograph.cli import main

sys.exit(main())
