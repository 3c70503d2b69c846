"""The claim that studies of weight space share: is there a barrier worth the name?

One that raises the error by more than 2 percentage points above the chord of the ends, the threshold of Frankle et al.
(2020) for one basin.
"""

from __future__ import annotations

from collections.abc import Sequence

from orograph.results import Claim
from orograph.studies.statistics import Side, decided, finite_mean, height_interval

SAME_MOUNTAIN = 0.02


def barrier_claim(
    claim_id: str,
    statement: str,
    published: str,
    heights: Sequence[float],
    side: Side,
    *,
    examples: int,
    note: str = "",
) -> Claim:
    """Whether the mean of error barriers (fractions) lies above the threshold, or at most there.

    ``examples`` were measured on, so that one of them is the smallest step of an error.
    """
    measured = finite_mean(heights)
    interval = height_interval(heights, resolution=1 / examples if examples else 0.0, most=1.0)
    return Claim(
        id=claim_id,
        statement=statement,
        published=published,
        measured=measured,
        interval=interval,
        unit="error barrier (fraction)",
        rule=f"mean error barrier {side} {SAME_MOUNTAIN:g} (95 % interval of a mean height over {len(heights)} pairs, "
        "taken as independent)",
        verdict=decided(side, measured, interval, SAME_MOUNTAIN),
        note=note if interval else f"{note} An interval needs at least two pairs.".strip(),
    )
