r"""Sampled means made surer by points where every example was read.

Neighbouring points of a landscape find the same examples hard. Where k points are known example by example, most of a
new point's mean over all N examples follows from theirs, and only the rest is sampled. With the new losses y and the
known ones x of the n examples read, and b fitted to both by least squares:

.. math:: \hat\mu = \bar y_n + b \cdot (\bar x_N - \bar x_n), \qquad
          se = \sqrt{\frac{\mathrm{SSR}}{n (n - 1 - k)}} \sqrt{1 - n/N}

Source: the regression estimator of survey sampling (Cochran 1977, Sampling Techniques, chapter 7).

That holds for many examples, none of which counts for much. But a few may carry most of a loss, and since all points
share one order of the examples, the first n may have left those out everywhere. Whether they have shows at the known
points, each of which :func:`calibrate` estimates from the others:

.. math:: se' = f_n \sqrt{se^2 + (r_n / 2)^2}

with r the root mean square of the errors where se is small, as it would be where sampling ends, and f >= 1 that of
error / standard error over all of them (the half was chosen on pictures where all values were known: with it 90 to 99 %
of them lay inside two standard errors, of 8 to 78 % without).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orograph.objective.measurement import Measurement

_TINY = 1e-12
_STEPS = 24  # numbers of examples at which errors are compared
_FEWEST_POINTS = 4
_EXAMPLES_FOR_A_CONTROL = 32  # fewer, and b fits the noise of the few


@dataclass(frozen=True)
class Calibration:
    """What standard errors become after (m,) numbers of ``examples``: their (m,) ``least`` size, and ``factors``."""

    examples: NDArray[np.float64]
    least: NDArray[np.float64]
    factors: NDArray[np.float64]

    def raised(self, error: float, n: int) -> float:
        """The standard error ``error`` after ``n`` examples, raised."""
        least, factor = np.interp(n, self.examples, self.least), np.interp(n, self.examples, self.factors)
        return float(factor * math.hypot(error, least))


@dataclass(frozen=True)
class Controls:
    """The losses, and hits where there are labels, of all N examples at k known points: (k, N), the nearest first."""

    losses: NDArray[np.floating]
    hits: NDArray[np.floating] | None = None
    calibration: dict[str, Calibration] = field(default_factory=dict)

    @classmethod
    def of(cls, known: Sequence[Measurement], calibration: dict[str, Calibration] | None = None) -> Controls | None:
        """From measurements that read all examples and kept their values; those that are not finite serve nobody."""
        losses = [point.losses for point in known if point.losses is not None and np.isfinite(point.losses).all()]
        hits = [point.hits for point in known if point.hits is not None and point.losses is not None]
        if not losses:
            return None
        return cls(np.stack(losses), np.stack(hits) if len(hits) == len(known) else None, calibration or {})


class Regression:
    """The estimator, fed with one batch after another; it keeps sums alone."""

    def __init__(self, controls: NDArray[np.floating], calibration: Calibration | None = None) -> None:
        self.controls = controls
        self.calibration = calibration
        self.count = 0
        means, spreads = controls.mean(1, dtype=np.float64), controls.std(1, dtype=np.float64)
        useful = spreads > _TINY * np.maximum(np.abs(means), 1)  # one that says the same of all examples says nothing
        self.rows = np.flatnonzero(useful)
        self.means, self.spreads = means[useful], spreads[useful]
        self.origin: float | None = None
        self.moments = np.zeros((len(self.rows) + 2, len(self.rows) + 2))  # of (1, controls ..., new)

    def add(self, values: NDArray[np.floating]) -> None:
        """The next values (m,), in the order of the controls."""
        seen = self.controls[self.rows, self.count : self.count + len(values)]
        if self.origin is None:  # near the mean, so that the squares do not drown the differences
            self.origin = float(values.mean())
        scaled = (seen - self.means[:, None]) / self.spreads[:, None]
        table = np.vstack([np.ones(len(values)), scaled, values - self.origin])
        self.moments += table @ table.T
        self.count += len(values)

    def estimate(self) -> tuple[float, float]:
        """``(mean, standard error)`` over all N examples."""
        n, size = self.count, self.controls.shape[1]
        k = min(len(self.rows), n // _EXAMPLES_FOR_A_CONTROL)
        assert self.origin is not None
        if n < k + 3:
            return self.origin + self.moments[0, -1] / n, math.inf
        chosen = np.arange(1, k + 1)
        here = self.moments[0, chosen] / n  # the means of the controls so far; over all examples they are 0
        new = self.moments[0, -1] / n
        covariance = self.moments[np.ix_(chosen, chosen)] / n - np.outer(here, here)
        with_new = self.moments[chosen, -1] / n - here * new
        slopes = np.linalg.lstsq(covariance, with_new, rcond=_TINY)[0]
        rest = max(self.moments[-1, -1] / n - new**2 - float(slopes @ with_new), 0.0)
        error = math.sqrt(rest / (n - 1 - k) * max(1 - n / size, 0.0))
        if self.calibration is not None:
            error = self.calibration.raised(error, n)
        return self.origin + new - float(slopes @ here), error


def calibrate(
    points: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]], tolerance: float
) -> Calibration | None:
    """The :class:`Calibration` from known points: pairs of (N,) a point's values and (k, N) those of its controls.

    ``tolerance`` is the standard error at which sampling ends. None where there are too few points or examples.
    """
    size = len(points[0][0]) if points else 0
    if len(points) < _FEWEST_POINTS or size <= _EXAMPLES_FOR_A_CONTROL:
        return None
    steps = [int(n) for n in np.unique(np.geomspace(_EXAMPLES_FOR_A_CONTROL, size, _STEPS).round())][:-1]
    wrong, errors = np.zeros((len(points), len(steps))), np.zeros((len(points), len(steps)))
    for row, (values, controls) in enumerate(points):
        truth = float(values.mean(dtype=np.float64))
        regression, before = Regression(controls), 0
        for column, n in enumerate(steps):
            regression.add(values[before:n].astype(np.float64))
            before = n
            mean, errors[row, column] = regression.estimate()
            wrong[row, column] = mean - truth
    least, factors = np.zeros(len(steps) + 1), np.ones(len(steps) + 1)  # the last: all examples, no error
    for column in range(len(steps)):
        surest = errors[:, column].argsort()[: max(_FEWEST_POINTS, int((errors[:, column] < tolerance).sum()))]
        least[column] = _rms(wrong[surest, column]) / 2
        known = np.hypot(errors[:, column], least[column])
        with np.errstate(divide="ignore", invalid="ignore"):
            factors[column] = max(1.0, _rms(np.where(known > 0, wrong[:, column] / known, 0.0)))
    return Calibration(np.array([*steps, size], dtype=np.float64), least, factors)


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(values).mean()))
