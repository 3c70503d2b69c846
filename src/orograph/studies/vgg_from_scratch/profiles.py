"""Figures over the layers: what tells one start from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from orograph.results import Comparison, Provenance, Series
from orograph.studies.vgg_from_scratch.trial import QUANTITIES, FromScratch


def profiles(trials: Mapping[str, Sequence[FromScratch]], provenance: Provenance, *, early: bool) -> Comparison:
    """A curve over layers for each start, the median over its seeds; starts of which nothing is known are left out."""
    series = {}
    for name, runs in trials.items():
        values = _median(np.stack([run.early if early else run.start for run in runs]))
        values[:2][values[:2] <= 0] = np.nan  # drawn on logarithmic axes, which have no zero
        if np.isfinite(values).any():
            short = name.replace("ends of a trained A", "A's ends")  # legends are narrow
            series[short] = Series(np.arange(1.0, values.shape[1] + 1), values, labels=runs[0].layers)
    return Comparison(
        across="layer with weights, counted from the image",
        quantities=QUANTITIES,
        series=series,
        logarithmic=QUANTITIES[:2],
        provenance=provenance,
    )


def _median(each: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, L) over the seeds (R, 4, L) where it is known, NaN elsewhere."""
    found = np.full(each.shape[1:], np.nan)
    known = np.isfinite(each).any(0)
    found[known] = np.nanmedian(each[:, known], axis=0)
    return found
