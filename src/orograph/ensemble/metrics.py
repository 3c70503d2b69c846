r"""Error, NLL, Brier score and calibration error of one prediction, and paired differences between two.

For log-probabilities (N, K) and labels y:

- NLL: :math:`-\log p_y` in nats; Brier: :math:`\sum_k (p_k - [y = k])^2` in [0, 2]; error: top class is not y.
  Means over examples, with :math:`\mathrm{sd} / \sqrt N` as standard error.
- ECE: :math:`\sum_b (n_b / N) |\mathrm{acc}_b - \mathrm{conf}_b|` over bins of the top probability, intervals
  (lo, hi] of equal width or of equal mass (ties in the order given). Standard errors by bootstrap over examples, the
  bins held.

Two methods are compared on the same examples: the error of a difference is far smaller than the errors of both.
Sources: Guo et al. 2017 (ECE), Ashukha et al. 2020 (its bias for few examples). Cost: no passes through a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orograph.basics.errors import DataError
from orograph.basics.seeds import derive
from orograph.results.scores import Estimate, Scores

Array = NDArray[np.float64]
_BINS, _RESAMPLES = 15, 200


def by_example(log_p: Array, labels: NDArray[np.int64]) -> dict[str, Array]:
    """The ``error``, ``nll`` and ``brier`` of each example, each (N,)."""
    if log_p.ndim != 2 or len(log_p) != len(labels):
        raise DataError(f"log-probabilities of shape {log_p.shape} for {len(labels)} labels; give (examples, classes)")
    at_label = np.arange(len(labels)), labels
    distance = np.exp(log_p)
    distance[at_label] -= 1
    wrong = np.where(np.isnan(log_p).any(1), np.nan, log_p.argmax(1) != labels)
    return {"error": wrong, "nll": -log_p[at_label], "brier": np.square(distance).sum(1)}


def scores(
    log_p: Array, labels: NDArray[np.int64], *, bins: int = _BINS, resamples: int = _RESAMPLES, seed: int = 0
) -> Scores:
    """All metrics of log-probabilities (N, K) with their standard errors."""
    means = {name: mean_estimate(values) for name, values in by_example(log_p, labels).items()}
    return Scores(**means, **_calibration([log_p], labels, bins, resamples, seed), bins=bins, examples=len(labels))


def compare(
    first: Array,
    second: Array,
    labels: NDArray[np.int64],
    *,
    bins: int = _BINS,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Paired differences, first minus second: negative where the first is better."""
    one, other = by_example(first, labels), by_example(second, labels)
    means = {name: mean_estimate(one[name] - other[name]) for name in one}
    calibration = _calibration([first, second], labels, bins, resamples, seed)
    return Scores(**means, **calibration, bins=bins, examples=len(labels))


def mean_estimate(values: NDArray[Any]) -> Estimate:
    """The mean of per-example values or differences, and its standard error (NaN for one example)."""
    se = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")
    return Estimate(float(values.mean()), se)


def ece(log_p: Array, labels: NDArray[np.int64], *, bins: int = _BINS, equal_mass: bool = False) -> float:
    """Expected calibration error, in [0, 1], over bins of equal width (or mass); NaN for non-finite predictions."""
    return _calibration_error(log_p, labels, bins, equal_mass)(np.arange(len(labels)))


def _calibration_error(
    log_p: Array, labels: NDArray[np.int64], bins: int, equal_mass: bool
) -> Callable[[NDArray[np.int64]], float]:
    """The calibration error of a resample of the examples, as a function of its indices."""
    confidence = np.exp(log_p.max(1))
    gaps = (log_p.argmax(1) == labels) - confidence
    if equal_mass:
        place = np.empty(len(labels), dtype=np.int64)
        place[confidence.argsort(kind="stable")] = np.arange(len(labels)) * bins // len(labels)
    else:
        place = np.searchsorted(np.arange(bins) / bins, confidence, side="left") - 1  # (lo, hi]
    return lambda chosen: float(np.abs(np.bincount(place[chosen], gaps[chosen], bins)).sum() / len(chosen))


def _calibration(
    each: Sequence[Array], labels: NDArray[np.int64], bins: int, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Both calibration errors of the first, less those of the second where there is one, on the same resamples."""
    found = {}
    for name, equal_mass in (("ece", False), ("adaptive_ece", True)):
        errors = [_calibration_error(log_p, labels, bins, equal_mass) for log_p in each]
        chance = np.random.default_rng(derive(seed, "metrics"))
        drawn = [np.arange(len(labels))]  # first the examples themselves, then resamples of them
        drawn += [chance.integers(0, len(labels), len(labels)) for _ in range(resamples)]
        values = [errors[0](chosen) - sum(error(chosen) for error in errors[1:]) for chosen in drawn]
        found[name] = Estimate(values[0], float(np.std(values[1:], ddof=1)))
    return found
