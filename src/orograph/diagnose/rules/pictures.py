"""Pictures whose pixels say that something has been done to them on their way."""

from __future__ import annotations

import math
from collections.abc import Iterator

from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence

_NORMAL = 0.3  # how far the fourth moment of normal numbers may be from 3


def pictures(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the pictures."""
    grain, limit = chart.probe.grain, threshold("grain")
    if math.isfinite(grain.across) and min(grain.across, grain.down) < limit:
        both = max(grain.across, grain.down) < limit
        drawn = abs(grain.tails - 3) < _NORMAL  # numbers that were never a picture
        yield Suspicion(
            "D11",
            "neighbouring pixels have nothing to do with each other",
            "warning" if both and not drawn else "question",
            0.8,
            "in pictures pixels resemble their neighbours; here those beside each other are no more alike than those "
            f"far apart{'' if both else ', along one axis'}: they were shuffled, reshaped where axes should have been "
            "exchanged, or wrapped round as bytes",
            "look at some pictures as the network gets them; exchange axes with permute(), and keep numbers as floats",
            "plt.imshow(x[0, 0])      # x.permute(0, 3, 1, 2), not x.reshape(n, c, h, w)",
            stage=1,
            evidence=(
                Evidence("how much likeness depends on distance, across", grain.across, limit, "0.2 to 0.6"),
                Evidence("the same, down", grain.down, limit, "0.2 to 0.6"),
            ),
            explains=("D05", "O00", "A00", "A08"),
            limits="numbers that are no picture and lie in the shape of one",
        )
    if grain.doubled > threshold("doubled"):
        yield Suspicion(
            "D12",
            "the pictures were enlarged from a few pixels",
            "warning",
            0.85,
            f"{grain.doubled:.0%} of the pixels are the same as their neighbour in every example, so most of what "
            "could be seen is gone",
            "look at how pictures are resized, and at the size that is asked for",
            "plt.imshow(x[0, 0])",
            stage=1,
            evidence=(
                Evidence("share of pixels that repeat their neighbour", grain.doubled, threshold("doubled"), "0"),
            ),
            explains=("D05", "O00"),
            limits="pictures that are enlarged for a network that needs them large",
        )
