"""Report tests draw the sample study of ``tests/results/sample_results.py``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))
