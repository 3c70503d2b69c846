r"""Temperatures: the best one, and the NLL at a temperature that was fitted on other examples.

.. math:: \tau = \arg\min_\tau -\tfrac1N \sum_x \log p_y(x; \tau)

- before averaging: :math:`p = \tfrac1n \sum_i \operatorname{softmax}(z_i / \tau)`, one shared tau;
- after averaging: :math:`p = \operatorname{softmax}(\log \bar p / \tau)` with the averaged :math:`\bar p`.

The search is bounded, in log tau: a grid of half octaves, then Brent between the neighbours of its best point.
Unbounded ones run off where a set has no errors. After averaging the NLL is convex in 1/tau; before, it need not be.

What makes it fast: only the label's probability is needed; the grid looks at 2,000 examples, and its answer is moved
until all examples agree with it; between three points of the grid each example's NLL is the polynomial through 9
Chebyshev points, good to 1e-7, so that all folds and groups of members share their evaluations. Exponentials are in
float32, of gaps to the top class, which itself adds an exact 1.

Calibrated NLL: two halves, each scored at the other's temperature, 5 shuffles, mean of the 10 values.
Sources: Guo et al. 2017, Ashukha et al. 2020, Lobacheva et al. 2020. Cost: no passes through a network; about ten
evaluations of M N K exponentials.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebpts2
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from orograph.basics.errors import UsageError
from orograph.basics.seeds import derive
from orograph.ensemble.combine import Array, log_mean_exp
from orograph.results.scores import CalibratedNLL, Temperature

BOUNDS = (0.05, 20.0)

_NODES = chebpts2(9)
_POWERS = np.arange(9)
_TO_COEFFICIENTS = np.linalg.inv(_NODES[:, None] ** _POWERS)
_SKETCH = 2000
_BLOCK = 1 << 16  # float32 numbers: a quarter of a megabyte, at home in a core's cache
_NEGLIGIBLE = np.float32(-40)  # e^-40 is nothing beside the top class's 1; far below it, numbers are denormal and slow


class LabelProbabilities:
    """Log-probabilities of the true label under each of M members, each temperature computed once.

    Any group of members is then calibrated without another look at their logits.
    """

    def __init__(
        self, logits: NDArray[Any], labels: NDArray[np.int64], *, bounds: tuple[float, float] = BOUNDS
    ) -> None:
        """``logits`` (M, N, K), or log-probabilities; ``bounds`` of the temperatures that will be asked for."""
        if not 0 < bounds[0] < bounds[1] < math.inf:
            raise UsageError(f"temperatures range from a smaller to a larger positive number, not {bounds}")
        self.examples, classes = logits.shape[1:]
        gaps = np.array(np.moveaxis(logits, -1, 0), order="C")
        top = gaps.max(0)
        with np.errstate(invalid="ignore"):
            gaps -= top
            at_label = np.take_along_axis(logits, labels[None, :, None], -1)[..., 0]
            self.label: Array = at_label.astype(np.float64) - top
            """(M, N) the label's logit less the largest, not finite where a decisive logit is not."""
        self._gaps = gaps.astype(np.float32, copy=False).reshape(classes, -1)
        # The top class adds exactly 1. Left out of the sum, it cannot swallow a small rest.
        free = np.ones(top.size, dtype=bool)
        for row in self._gaps:
            first = free & (row == 0)
            row[first] = -np.inf
            free &= ~first
        self._known: dict[float, NDArray[np.float32]] = {}
        low, high = math.log(bounds[0]), math.log(bounds[1])
        self.grid: Array = np.linspace(low, high, math.ceil((high - low) / (math.log(2) / 2)) + 1)
        """(G,) log temperatures of the search's first look, half an octave apart."""
        self.sketch = self
        """The same of a few examples, chosen at random by their number alone."""
        self.sketched = np.arange(self.examples)
        if self.examples > _SKETCH:
            chance = np.random.default_rng(derive(0, "sketch", self.examples))
            self.sketched = chance.choice(self.examples, _SKETCH, replace=False)
            self.sketch = LabelProbabilities(logits[:, self.sketched], labels[self.sketched], bounds=bounds)

    def __call__(self, log_tau: float) -> NDArray[np.float32]:
        """(M, N) log-probabilities at one temperature."""
        key = round(log_tau, 9)
        if key not in self._known:
            classes, columns = self._gaps.shape
            beta, rest = np.float32(math.exp(-log_tau)), np.empty(columns, dtype=np.float32)
            work = np.empty((classes, min(max(_BLOCK // classes, 1), columns)), dtype=np.float32)
            for start in range(0, columns, work.shape[1]):
                part = slice(start, start + work.shape[1])
                block = np.multiply(self._gaps[:, part], beta, out=work[:, : columns - start])
                np.exp(np.maximum(block, _NEGLIGIBLE, out=block), out=block)
                block.sum(0, out=rest[part])
            log_p = self.label * math.exp(-log_tau) - np.log1p(rest).reshape(self.label.shape)
            self._known[key] = log_p.astype(np.float32)
        return self._known[key]


class Curve(NamedTuple):
    """The NLL of each example against the temperature of the chosen members."""

    probabilities: LabelProbabilities
    members: NDArray[np.int64] | slice = slice(None)

    def __call__(self, log_tau: float) -> Array:
        """(N,) nats at one temperature."""
        return -log_mean_exp(self.probabilities(log_tau)[self.members])


def before_averaging(logits: NDArray[Any], labels: NDArray[np.int64], bounds: tuple[float, float] = BOUNDS) -> Curve:
    """The curve of the probability average of members with logits (M, N, K), each divided by tau first."""
    return Curve(LabelProbabilities(logits, labels, bounds=bounds))


def after_averaging(log_p: Array, labels: NDArray[np.int64], bounds: tuple[float, float] = BOUNDS) -> Curve:
    """The curve of combined log-probabilities (N, K), divided by tau and normalised again."""
    return Curve(LabelProbabilities(log_p[None], labels, bounds=bounds))


def temperature(curve: Curve) -> Temperature:
    """The temperature of the lowest mean NLL over all examples, and that NLL (measured on what it was fitted to)."""
    examples = curve.probabilities.examples
    tau, at_bound, nll = _search(curve, np.full((1, examples), 1 / examples))
    return Temperature(float(tau[0]), float(nll[0].mean()), bool(at_bound[0]))


def folds(examples: int, *, shuffles: int = 5, seed: int = 0) -> NDArray[np.bool_]:
    """(2 shuffles, N): the examples that each fit sees, a random half and its complement in turn.

    They follow from N and the seed alone, so all methods and ensemble sizes share them.
    """
    if examples < 2 or shuffles < 1:
        raise UsageError("calibrated NLL needs at least two examples and one shuffle")
    chance = np.random.default_rng(derive(seed, "folds", examples))
    halves = np.stack([chance.permutation(examples) < examples // 2 for _ in range(shuffles)])
    return np.stack([halves, ~halves], axis=1).reshape(-1, examples)


def calibrated_nll(curve: Curve, seen: NDArray[np.bool_]) -> CalibratedNLL:
    """The NLL of the examples that each of F fits has not ``seen`` (F, N), at its temperature; see :func:`folds`."""
    taus, at_bound, nll = _search(curve, seen / seen.sum(1, keepdims=True))
    unseen = ~seen / (~seen).sum(1, keepdims=True)
    values = (nll * unseen).sum(1)
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    by_example = (nll * unseen).mean(0) * seen.shape[1]
    return CalibratedNLL(float(values.mean()), spread, taus, at_bound, by_example)


def _search(curve: Curve, weights: Array) -> tuple[Array, NDArray[np.bool_], Array]:
    """For each row of ``weights`` (F, N) the tau (F,) of the lowest weighted NLL, whether it lies at a bound, and the
    NLL (F, N) of every example there."""
    whole, members = curve
    taus, at_bound = np.full(len(weights), np.nan), np.zeros(len(weights), dtype=bool)
    nll = np.full(weights.shape, np.nan)
    if not np.isfinite(whole.label[members]).all():
        return taus, at_bound, nll
    grid, few = whole.grid, Curve(whole.sketch, members)
    heights = np.stack([few(float(at)) for at in grid]) @ weights[:, whole.sketched].T
    values: dict[int, Array] = {}
    for fold, best in enumerate(heights.argmin(0)):
        while True:
            low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
            if best not in values:
                values[best] = np.stack([curve((low + high + (high - low) * float(node)) / 2) for node in _NODES])
            at = _minimum(values[best] @ weights[fold])
            log_tau = (low + high + (high - low) * at) / 2
            at_bound[fold] = (at == -1 and low == grid[0]) or (at == 1 and high == grid[-1])
            if abs(at) < 1 or at_bound[fold]:
                break
            best += int(at)
        taus[fold], nll[fold] = math.exp(log_tau), _interpolate(at) @ values[best]
    return taus, at_bound, nll


def _interpolate(at: float) -> Array:
    """(9,) weights of the values at the Chebyshev points, of the polynomial through them at ``at`` in [-1, 1]."""
    return np.asarray(at**_POWERS @ _TO_COEFFICIENTS)


def _minimum(values: Array) -> float:
    """Where in [-1, 1] the polynomial through ``values`` at the Chebyshev points is lowest; an end wins a draw."""
    best = int(values.argmin())
    found = minimize_scalar(
        lambda at: float(_interpolate(at) @ values),
        bounds=(_NODES[max(best - 1, 0)], _NODES[min(best + 1, len(_NODES) - 1)]),
        method="bounded",
        options={"xatol": 1e-7},
    )
    at_end = best in (0, len(_NODES) - 1) and values[best] <= float(found.fun) + 1e-12 * np.abs(values).max()
    return float(_NODES[best] if at_end else found.x)
