r"""Sampled means made surer by points where every example was read.

Neighbouring points of a landscape find the same examples hard. Where k points are known example by example, most of a
new point's mean over all N examples follows from theirs, and only the rest is sampled. With the new losses y and the
known ones x of the n examples read, and b fitted to both by least squares:

.. math:: \hat\mu = \bar y_n + b \cdot (\bar x_N - \bar x_n), \qquad
          se = \sqrt{\frac{\mathrm{SSR}}{n (n - 1 - k)}} \sqrt{1 - n/N}

Source: the regression estimator of survey sampling (Cochran 1977, Sampling Techniques, chapter 7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orograph.objective.measurement import Measurement

_TINY = 1e-12
_EXAMPLES_FOR_A_CONTROL = 32  # fewer, and b fits the noise of the few


@dataclass(frozen=True)
class Controls:
    """The losses, and hits where there are labels, of all N examples at k known points: (k, N), the nearest first."""

    losses: NDArray[np.floating]
    hits: NDArray[np.floating] | None = None

    @classmethod
    def of(cls, known: Sequence[Measurement]) -> Controls | None:
        """From measurements that read all examples and kept their values; those that are not finite serve nobody."""
        losses = [point.losses for point in known if point.losses is not None and np.isfinite(point.losses).all()]
        hits = [point.hits for point in known if point.hits is not None and point.losses is not None]
        if not losses:
            return None
        return cls(np.stack(losses), np.stack(hits) if len(hits) == len(known) else None)


class Regression:
    """The estimator, fed with one batch after another; it keeps sums alone."""

    def __init__(self, controls: NDArray[np.floating]) -> None:
        self.controls = controls
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
        return self.origin + new - float(slopes @ here), error
