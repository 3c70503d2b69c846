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


def regression_estimate(
    values: NDArray[np.floating], controls: NDArray[np.floating], *, tiny: float = 1e-12
) -> tuple[float, float]:
    """``(mean, standard error)`` over all N examples from the first n ``values`` (n,) and ``controls`` (k, N)."""
    n, size = len(values), controls.shape[1]
    used = controls[: n // _EXAMPLES_FOR_A_CONTROL].astype(np.float64)
    seen = used[:, :n].mean(1)
    deviations = (used[:, :n] - seen[:, None]).T
    mean = float(values.mean())
    spread = np.asarray(values, dtype=np.float64) - mean
    scale = np.sqrt(np.square(deviations).mean(0))
    useful = scale > tiny  # a control that says the same of all examples explains nothing
    deviations = deviations[:, useful] / scale[useful]
    slopes = np.linalg.lstsq(deviations, spread, rcond=1e-10)[0]
    freedom = n - 1 - int(useful.sum())
    if freedom < 1:
        return mean, math.inf
    rest = spread - deviations @ slopes
    moved = mean + float(slopes @ ((used.mean(1) - seen)[useful] / scale[useful]))
    return moved, math.sqrt(float(rest @ rest) / freedom / n * max(1 - n / size, 0.0))
