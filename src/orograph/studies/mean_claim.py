"""The plainest claim: the mean over repetitions lies above a bound, or at most there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orograph.basics.words import counted
from orograph.results import Claim
from orograph.studies.statistics import Interval, Side, clipped, decided, finite_mean, mean_interval


def mean_claim(
    claim_id: str,
    statement: str,
    published: str,
    values: Sequence[float],
    *,
    unit: str,
    bound: float,
    side: Side,
    resolution: float = 0.0,
    span: Interval = (-math.inf, math.inf),
    note: str = "",
    each: str = "repetition",
) -> Claim:
    """Decided where the whole 95 % interval of the mean of ``values``, one from each repetition, lies on one side.

    ``resolution`` is the smallest step in which a value is measured, ``span`` the values that it can have at all.
    """
    measured, interval = finite_mean(values), clipped(mean_interval(values, resolution=resolution), span)
    return Claim(
        id=claim_id,
        statement=statement,
        published=published,
        measured=measured,
        interval=interval,
        unit=unit,
        rule=f"mean {side} {bound:g} (95 % interval over {counted(len(values), each)})",
        verdict=decided(side, measured, interval, bound),
        note=note if interval else f"{note} An interval needs two finite values.".strip(),
    )
