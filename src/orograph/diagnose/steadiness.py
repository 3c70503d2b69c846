"""Whether a run is quiet: when the loss begins to fall, how much it swings before and after, and its cliffs.

Deep networks that train are quiet until the loss falls, and swing afterwards; those that fail swing from the start.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from orograph.diagnose.thresholds import threshold

_WINDOW = 5


@dataclass(frozen=True)
class Cliff:
    """A jump of the loss at ``step`` to ``height`` above the running median; ``back`` is how many steps it took to come
    back, None where it did not."""

    step: int
    height: float
    back: int | None


def descent(losses: Sequence[float]) -> int | None:
    """The first step at which the running median is below the first losses' by 5 % and three of their deviations."""
    if len(losses) < 2 * _WINDOW or not all(map(math.isfinite, losses[:_WINDOW])):
        return None
    first = statistics.median(losses[:_WINDOW])
    margin = max(0.05 * abs(first), 3 * _deviation(losses[:_WINDOW]))
    for step in range(_WINDOW, len(losses)):
        recent = [one for one in losses[max(step - _WINDOW + 1, 0) : step + 1] if math.isfinite(one)]
        if recent and statistics.median(recent) < first - margin:
            return step
    return None


def oscillation(losses: Sequence[float]) -> float:
    """Standard deviation of the change from step to step over the mean loss; NaN for fewer than five."""
    known = [one for one in losses if math.isfinite(one)]
    mean = abs(statistics.fmean(known)) if known else 0.0
    if len(known) < _WINDOW or mean == 0:
        return float("nan")
    return statistics.pstdev(b - a for a, b in pairwise(known)) / mean


def cliffs(losses: Sequence[float], changes: Sequence[float], unit: float) -> list[Cliff]:
    """Steps at which the loss jumps by ``unit`` / 2 and six deviations above the running median, after a step that
    changed the weights by five times the usual (``changes``: relative, one for each step)."""
    usual = statistics.median(known) if (known := [one for one in changes if math.isfinite(one)]) else float("nan")
    found: list[Cliff] = []
    step = 2 * _WINDOW
    while step < len(losses):
        before = [one for one in losses[max(step - 2 * _WINDOW, 0) : step] if math.isfinite(one)]
        middle = statistics.median(before) if before else float("nan")
        limit = middle + max(6 * _deviation(before), 0.5 * unit) if before else float("inf")
        longest = max((c for c in changes[max(step - 3, 0) : step + 1] if not math.isnan(c)), default=0.0)
        if not losses[step] <= limit and longest > threshold("cliff_change") * usual:
            later = losses[step + 1 : step + 1 + int(threshold("cliff_back"))]
            back = next((n for n, one in enumerate(later, start=1) if one <= limit), None)
            found.append(Cliff(step, losses[step] - middle, back))
            step += back or len(losses)
        step += 1
    return found


def _deviation(values: Sequence[float]) -> float:
    middle = statistics.median(values)
    return statistics.median(abs(one - middle) for one in values)
