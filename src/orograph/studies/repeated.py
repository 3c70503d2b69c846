"""What the conclusions of studies share that repeat everything with other seeds: means with their standard errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orograph.results import Series
from orograph.studies.conclusion import Conclusion
from orograph.studies.statistics import finite_mean


class RepeatedConclusion(Conclusion):
    """A conclusion over repetitions, which are numbered from 1."""

    @property
    def repeats(self) -> range:
        """The numbers of the repetitions."""
        return range(1, self.options.repeats + 1)

    @property
    def bars(self) -> str:
        """What bars in the figures mean; empty where there are none."""
        return "standard error over repetitions" if self.options.repeats > 1 else ""

    def series(self, x: Sequence[float], quantities: Sequence[Sequence[Sequence[float]]]) -> Series:
        """Means with standard errors: for each of the quantities, at each x, a figure from each repetition."""
        found = np.array([[mean_and_se(each) for each in row] for row in quantities])
        return Series(np.array(x, dtype=np.float64), found[..., 0], found[..., 1] if self.bars else None)


def averaged(x: NDArray[np.float64], curves: Sequence[NDArray[np.float64]]) -> Series:
    """Means of curves (Q, P) over the same x (P,), one from each repetition; standard errors of several."""
    stacked = np.stack(curves)
    spread = stacked.std(0, ddof=1) / np.sqrt(len(curves)) if len(curves) > 1 else None
    return Series(x, stacked.mean(0), spread)


def mean_and_se(values: Sequence[float]) -> tuple[float, float]:
    """The mean over repetitions and its standard error, NaN for one."""
    spread = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return finite_mean(values), spread


def with_error(values: Sequence[float], scale: float = 1.0, digits: int = 2) -> str:
    """A mean over repetitions with its standard error, as text."""
    mean, error = mean_and_se([scale * value for value in values])
    if not np.isfinite(mean):
        return "–"
    return f"{mean:.{digits}f}" + (f" ± {error:.{digits}f}" if np.isfinite(error) else "")
