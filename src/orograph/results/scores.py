"""How good predictions are: small records of metrics, temperatures and disagreement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orograph.results.result import record


@record
@dataclass(frozen=True)
class Estimate:
    """A number and its standard error over the test examples, in the same unit."""

    value: float
    se: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.se:.2g}"


@record
@dataclass(frozen=True)
class Scores:
    """Metrics of one prediction, or paired differences between two (first minus second); lower is better in all.

    ``error`` is a fraction, ``nll`` in nats per example, ``brier`` in [0, 2]; ``ece`` and ``adaptive_ece`` in [0, 1]
    over ``bins`` bins of equal width and of equal mass. The calibration errors are biased upwards for few examples and
    are no ranking criterion.
    """

    error: Estimate
    nll: Estimate
    brier: Estimate
    ece: Estimate
    adaptive_ece: Estimate
    bins: int
    examples: int


@record
@dataclass(frozen=True)
class Temperature:
    """The best temperature ``tau`` (logits are divided by it) and the NLL there, in nats per example.

    ``at_bound``: the search ended at a bound of its range, so the true optimum lies beyond. NaN for non-finite logits.
    """

    tau: float
    nll: float
    at_bound: bool


@record
@dataclass(frozen=True, eq=False)
class CalibratedNLL:
    """NLL in nats per example at a temperature that was fitted on other examples (Ashukha et al. 2020).

    ``value`` is the mean over the F folds and ``spread`` their standard deviation; ``taus`` (F,) and ``at_bound`` (F,)
    are those of the fits. ``by_example`` (N,) has the mean ``value``: what each example adds to it, for paired
    differences and for resampling with the temperatures held.
    """

    value: float
    spread: float
    taus: NDArray[np.float64]
    at_bound: NDArray[np.bool_]
    by_example: NDArray[np.float64]

    @property
    def se(self) -> float:
        """Standard error over the test examples; the fitted temperatures add nothing to it in first order."""
        return float(self.by_example.std(ddof=1) / math.sqrt(len(self.by_example)))


@record
@dataclass(frozen=True, eq=False)
class Disagreement:
    """How often two members name different classes (Fort et al. 2019).

    ``matrix`` (n, n) shares of the examples, ``se`` (n, n) their binomial standard errors; ``normalised`` (n, n) the
    shares over the mean error of the two, since more errors allow more disagreement. ``mean`` is over all pairs, and
    ``mean_normalised`` that over the mean error of all members; both NaN for one member.
    """

    names: tuple[str, ...]
    matrix: NDArray[np.float64]
    se: NDArray[np.float64]
    normalised: NDArray[np.float64]
    mean: Estimate
    mean_normalised: float


@record
@dataclass(frozen=True)
class Equivalent:
    """How many independent networks are as good (Ashukha et al. 2020), with the band of the reference's spread.

    -inf where one network is already better, inf where even the largest reference ensemble, of ``largest``, is worse.
    """

    value: float
    low: float
    high: float
    largest: int

    def __str__(self) -> str:
        value, low, high = (self._words(number) for number in (self.value, self.low, self.high))
        return value if value == low == high else f"{value} [{low}, {high}]"

    def _words(self, number: float) -> str:
        if math.isinf(number):
            return "< 1" if number < 0 else f"> {self.largest}"
        return f"{number:.2f}"
