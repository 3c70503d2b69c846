r"""The barrier between two networks, with its maximum refined off the grid.

.. math:: b = \max_{t \in [0, 1]} L(\phi(t)) - [(1 - t) L(A) + t L(B)] \ge 0, \qquad \phi(t) = (1 - t) A + t B

Source: Frankle et al. 2020. The refinement is a bounded Brent search between the neighbours of the best grid point.
The standard error is that of the paired differences of the examples' losses, much smaller than the losses' own.
Always measured exactly and at least in float32: small barriers drown in bf16. Cost: ``resolution`` measurements, two
or three more for the ends and errors, and up to ``budget`` for the refinement.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from orograph.basics.numerics import Precision
from orograph.landscape.axes import axis
from orograph.landscape.points import Point, family
from orograph.objective import Measurement, Objective
from orograph.results import Barrier
from orograph.weights import Difference, Weights

_PRECISION_OF_T = 1e-3


def barrier(objective: Objective, a: Point, b: Point, *, resolution: int = 31, budget: int = 20) -> Barrier:
    """The barrier on the straight line from ``a`` to ``b``; ``budget`` caps the refining measurements."""
    (first, second), _ = family([a, b])
    ts = axis((0.0, 1.0), resolution, (0.0, 1.0))
    return barrier_on(objective, first, second, ts, None, None, budget=budget)


def barrier_on(
    objective: Objective,
    a: Weights,
    b: Weights,
    ts: NDArray[np.float64],
    losses: NDArray[np.float64] | None,
    errors: NDArray[np.float64] | None,
    *,
    budget: int = 20,
    at: Callable[[float], Weights] | None = None,
) -> Barrier:
    """The barrier, given a grid ``ts`` of [0, 1] and perhaps its ``losses`` (nats) and ``errors`` (rates) there.

    ``at`` gives the network at any t of another path than the straight line.
    Known losses are used only where the objective measures exactly and not in bf16.
    """
    precision = objective.settings.precision
    fine: Precision = "float32" if precision in ("bf16", "tf32") else precision
    exact = objective.with_settings(tolerance=0.0, cap=None, precision=fine)
    if exact.settings != objective.settings:
        losses = errors = None
    direction, path = Difference(b.vector, a.vector), at
    evaluations = 0

    def measure(t: float) -> Measurement:
        nonlocal evaluations
        evaluations += 1
        if path is not None:
            return exact(path(t), keep_examples=True)
        if t in (0.0, 1.0):
            return exact(a.with_vector(a.vector if t == 0.0 else b.vector), keep_examples=True)
        return exact.along(a, [(t, direction)], keep_examples=True)

    with exact.session(a):
        if losses is None:
            grid = [measure(float(t)) for t in ts]
            losses = np.array([point.loss for point in grid])
            errors = None if grid[0].accuracy is None else np.array([1 - (point.accuracy or 0.0) for point in grid])
        start, end = measure(0.0), measure(1.0)
        chord = (1 - ts) * start.loss + ts * end.loss
        heights = np.where(np.isfinite(losses), losses - chord, np.inf)
        best = int(heights.argmax())
        place, top = float(ts[best]), float(heights[best])
        peak: Measurement | None = None
        if math.isfinite(top) and 0 < best < len(ts) - 1:
            peak, place = _refined(measure, ts, best, start.loss, end.loss, budget)
    objective.cost += exact.cost
    error_height, error_at = _error_barrier(ts, errors)
    if not math.isfinite(top):
        return Barrier(
            math.inf, place, float(losses[best]), start.loss, end.loss, math.nan, True, math.inf, place,
            start.n_examples,
            error_height, error_at, evaluations, objective.criterion.unit,
        )  # fmt: skip
    if peak is None:  # the maximum is an end: no barrier
        return Barrier(
            0.0, place, float(losses[best]), start.loss, end.loss, 0.0, False, 0.0, place, start.n_examples,
            error_height, error_at, evaluations, objective.criterion.unit,
        )  # fmt: skip
    height = max(peak.loss - ((1 - place) * start.loss + place * end.loss), 0.0)
    se = _paired_error(peak, start, end, place)
    return Barrier(
        height=height,
        at=place,
        loss_at=peak.loss,
        loss_start=start.loss,
        loss_end=end.loss,
        se=se,
        resolved=bool(height > 2 * se),  # False where the error is unknown (NaN)
        grid_height=max(top, 0.0),
        grid_at=float(ts[best]),
        n_examples=start.n_examples,
        error_height=error_height,
        error_at=error_at,
        evaluations=evaluations,
        unit=objective.criterion.unit,
    )


def _refined(
    measure: Callable[[float], Measurement], ts: NDArray[np.float64], best: int, start: float, end: float, budget: int
) -> tuple[Measurement, float]:
    """The highest point found, on the grid or between the neighbours of its best point, and its t."""
    found: dict[float, Measurement] = {}

    def depth(t: float) -> float:
        t = float(t)
        found[t] = measure(t)
        value = found[t].loss - ((1 - t) * start + t * end)
        return -value if math.isfinite(value) else -math.inf

    depth(float(ts[best]))
    if budget > 1:
        bounds = (float(ts[best - 1]), float(ts[best + 1]))
        minimize_scalar(depth, bounds=bounds, method="bounded", options={"xatol": _PRECISION_OF_T, "maxiter": budget})
    at = max(found, key=lambda t: found[t].loss - ((1 - t) * start + t * end))
    return found[at], at


def _paired_error(peak: Measurement, start: Measurement, end: Measurement, t: float) -> float:
    if peak.losses is None or start.losses is None or end.losses is None or len(peak.losses) < 2:
        return math.nan
    differences = peak.losses - (1 - t) * start.losses - t * end.losses
    return float(differences.std(ddof=1) / math.sqrt(len(differences)))


def _error_barrier(ts: NDArray[np.float64], errors: NDArray[np.float64] | None) -> tuple[float | None, float | None]:
    if errors is None:
        return None, None
    heights = errors - ((1 - ts) * errors[0] + ts * errors[-1])
    best = int(heights.argmax())
    return max(float(heights[best]), 0.0), float(ts[best])
