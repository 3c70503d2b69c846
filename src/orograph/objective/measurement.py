"""One height: what an objective found at a point."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Estimator(Protocol):
    """Finds ``(mean, standard error)`` over the whole data set from the values added so far."""

    def add(self, values: NDArray[np.float64]) -> None: ...

    def estimate(self) -> tuple[float, float]: ...


@dataclass(frozen=True)
class Measurement:
    """Loss and metrics at one point, each with its standard error over the data set.

    ``loss`` is in nats per example (for the built-in classification losses), ``accuracy`` a fraction or None where the
    loss knows no labels. Standard errors are 0 where all examples were used (``exact``). ``losses`` and ``hits`` are
    the values of the single examples in the objective's order, ``outputs`` the network's own (n, …), where they were
    asked for.
    """

    loss: float
    loss_se: float
    n_examples: int
    exact: bool
    accuracy: float | None = None
    accuracy_se: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    losses: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    hits: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    outputs: NDArray[Any] | None = field(default=None, compare=False, repr=False)

    @property
    def error(self) -> float | None:
        """Error rate, 1 - accuracy."""
        return None if self.accuracy is None else 1 - self.accuracy


class Tally:
    """Running sums of one quantity over batches: mean, standard error, and the single values where wanted.

    ``estimator``, where given, finds mean and standard error from the single values until all are seen.
    """

    def __init__(self, population: int, *, keep: bool = False, estimator: Estimator | None = None) -> None:
        self.population = population
        self.count = 0
        self.total = 0.0
        self.squares = 0.0
        self.per_example = True
        self.means: list[tuple[float, int]] = []
        self.kept: list[NDArray[np.float64]] | None = [] if keep else None
        self.estimator = estimator

    def add(self, values: NDArray[np.float64], examples: int) -> None:
        """Add one batch: ``values`` is (examples,), or () for a batch mean."""
        if values.ndim == 0:
            self.per_example = False
            self.total += float(values) * examples
            self.means.append((float(values), examples))
        else:
            self.total += float(values.sum())
            self.squares += float(np.square(values).sum())
            if self.estimator is not None and math.isfinite(self.total):
                self.estimator.add(values)
        self.count += examples
        if self.kept is not None and values.ndim:
            self.kept.append(values)

    @property
    def mean(self) -> float:
        """The mean over the data set, as far as it is known."""
        better = self._better()
        if better is not None:
            return better[0]
        return self.total / self.count if self.count else math.nan

    @property
    def standard_error(self) -> float:
        """s / sqrt(n) sqrt(1 - n / N); from batch means where single values are not known. 0 once all N were seen."""
        n, size = self.count, self.population
        if n >= size:
            return 0.0
        better = self._better()
        if better is not None:
            return better[1]
        correction = 1 - n / size
        if self.per_example:
            if n < 2:
                return math.inf
            variance = max(self.squares - self.total**2 / n, 0.0) / (n - 1)
            return math.sqrt(variance / n * correction)
        if len(self.means) < 2:
            return math.inf
        weights = np.array([count for _, count in self.means], dtype=np.float64) / n
        deviations = np.array([value for value, _ in self.means]) - self.total / n
        batches = len(self.means)
        return float(math.sqrt((weights**2 * deviations**2).sum() * batches / (batches - 1) * correction))

    @property
    def values(self) -> NDArray[np.float64] | None:
        """(n,) the single values in order, where they were kept and known."""
        return np.concatenate(self.kept) if self.kept else None

    def _better(self) -> tuple[float, float] | None:
        """``(mean, standard error)`` by the estimator, where it serves."""
        if self.estimator is None or not self.count or self.count >= self.population:
            return None
        return self.estimator.estimate() if self.per_example and math.isfinite(self.total) else None
