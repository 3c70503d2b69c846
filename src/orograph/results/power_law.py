"""How the loss falls with more networks, wider ones or more parameters, and how best to divide a budget of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orograph.results.result import Result, record

USUAL_EXPONENTS = (-2.0, -0.2)


@record
@dataclass(frozen=True)
class Forecast:
    """What a law says at ``x``, with its 95 % interval, in nats per example.

    ``measured`` is the NLL there of networks that the law has not seen, None where there were none, and
    ``error_interval`` that of predicted less measured, over which networks those are and over shared test examples.
    """

    x: float
    predicted: float
    interval: tuple[float, float]
    measured: float | None = None
    error_interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        text = f"at {self.x:g}: {self.predicted:.4g} [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"
        if self.measured is None or self.error_interval is None:
            return text
        low, high = self.error_interval
        error = f"{self.predicted - self.measured:.2g} [{low:.2g}, {high:.2g}]"
        return f"{text}, measured {self.measured:.4g}, predicted less measured {error}"


@dataclass(frozen=True, eq=False, kw_only=True)
class PowerLaw(Result):
    """The law c + b x^a through P points of the NLL (Lobacheva et al. 2020).

    Attributes
    ----------
    axis : what x counts: "ensemble size", "width", "parameters" (of one network) or "total parameters"
    temperature : "before" or "after" averaging for calibrated NLL, "none" for the NLL as it is
    x : (P,) ascending; y : (P,) nats per example, mean over groups of networks that share none
    se : (P,) standard error over the groups; that of a single group is the nearest smaller size's spread, NaN if none
    groups : (P,) how many groups; fitted : (P,) whether the law was fitted to the point
    c, b, a : limit (nats, >= 0), amplitude (nats, > 0) and exponent (negative where the NLL falls); NaN where a fitted
        point is not finite
    deviation : root mean square of log2((y - c) / (b x^a)) over the fitted points. The points share networks, so that
        it flatters
    c_at_bound : c is 0, or as close to the lowest point as its noise allows
    cloud : (D, 3) c, b and a of D resamples; c and a go together, so look at both at once
    weighted : fitted on the linear scale with weights 1 / se^2, else on the log scale with equal ones
    forecasts : at sizes that were asked for
    collapsed : networks that learned nothing, with the reason; they are in this law
    without_collapsed : the law without them, None where there are none or too few others
    """

    axis: str
    temperature: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    se: NDArray[np.float64]
    groups: NDArray[np.int64]
    fitted: NDArray[np.bool_]
    c: float
    b: float
    a: float
    deviation: float
    c_at_bound: bool
    cloud: NDArray[np.float64]
    weighted: bool = False
    forecasts: tuple[Forecast, ...] = ()
    collapsed: dict[str, str] = field(default_factory=dict)
    without_collapsed: PowerLaw | None = None

    title: ClassVar[str] = "power law"

    @property
    def unusual(self) -> bool:
        """Whether the exponent lies outside [-2, -0.2], where a law is rarely more than a curve through points."""
        return not USUAL_EXPONENTS[0] <= self.a <= USUAL_EXPONENTS[1]

    @property
    def untypical(self) -> tuple[str, ...]:
        """Which of c, b and a lie outside their own intervals: the groups that were drawn first are not typical."""
        own = {"c": self.c, "b": self.b, "a": self.a}
        return tuple(name for name, (low, high) in self.intervals().items() if own[name] < low or own[name] > high)

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """The law at ``x``, in nats."""
        return np.asarray(self.c + self.b * np.asarray(x, dtype=np.float64) ** self.a)

    def band(self, x: ArrayLike, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper ends of the law's interval at each ``x``, in nats; NaN without resamples."""
        drawn = self.drawn(x)
        if not len(drawn):
            return np.full(drawn.shape[1], np.nan), np.full(drawn.shape[1], np.nan)
        low, high = np.percentile(drawn, [50 - 50 * level, 50 + 50 * level], axis=0)
        return low, high

    def drawn(self, x: ArrayLike) -> NDArray[np.float64]:
        """(D, X) the laws of all resamples at each ``x``, in nats."""
        c, b, a = (column[:, None] for column in self.cloud.T)
        return np.asarray(c + b * np.atleast_1d(np.asarray(x, dtype=np.float64)) ** a)

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Intervals of ``c``, ``b`` and ``a``; NaN without resamples."""
        ends = np.full((2, 3), np.nan)
        if len(self.cloud):
            ends = np.percentile(self.cloud, [50 - 50 * level, 50 + 50 * level], axis=0)
        return {name: (float(low), float(high)) for name, low, high in zip("cba", *ends, strict=True)}

    def summary(self) -> str:
        kind = "NLL" if self.temperature == "none" else f"calibrated NLL (temperature {self.temperature} averaging)"
        lines = [f"{kind} against {self.axis}, {int(self.fitted.sum())} of {len(self.x)} points fitted"]
        if np.isfinite(self.c):
            ends = {name: f"{value:.4g}" for name, value in zip("cba", (self.c, self.b, self.a), strict=True)}
            spans = {name: f" [{low:.3g}, {high:.3g}]" for name, (low, high) in self.intervals().items()}
            spans = spans if len(self.cloud) else dict.fromkeys("cba", "")
            lines.append("c + b x^a with " + ", ".join(f"{name} = {ends[name]}{spans[name]}" for name in "cba"))
        else:
            lines.append("no law: a fitted point is not finite")
        if self.c_at_bound:
            lines.append("c is at a bound of its range: the points do not tell the limit")
        if self.untypical:
            lines.append(
                f"{', '.join(self.untypical)} outside the interval: the groups drawn are not typical of the pool"
            )
        if np.isfinite(self.a) and self.unusual:
            lines.append(f"an exponent of {self.a:.3g} is outside [-2, -0.2]: hardly a power law")
        if (single := self.x[self.groups == 1]).size:
            lines.append(f"a single group at {', '.join(f'{x:g}' for x in single)}")
        lines += [f"forecast {forecast}" for forecast in self.forecasts]
        lines += [f"collapsed, and in this law: {name} ({reason})" for name, reason in self.collapsed.items()]
        if self.without_collapsed is not None:
            lines += ["without the collapsed: " + line for line in self.without_collapsed.summary().split("\n")[1:2]]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, kw_only=True)
class MemorySplit(Result):
    """How best to divide B parameters among n networks of s parameters each (Lobacheva et al. 2020).

    Arrays (B, S) have a row for each budget and a column for each size; NaN where s exceeds the budget, there are not
    enough networks, or there is no law. NLLs in nats per example.

    Attributes
    ----------
    budgets : (B,) and sizes : (S,) parameters, both ascending
    n : (B, S) networks that fit, floor(budget / size); the parameters really used are :attr:`used`
    measured, se, groups : (B, S) calibrated NLL of that split, its standard error and how many groups it is a mean of
    predicted : (B, S) from each size's law in n
    best, predicted_best : (B,) column of the lowest measured and predicted NLL; -1 where there is none
    share, predicted_share : (B, S) share of resamples in which this split is best
    indistinguishable : (B, S) measured splits whose paired 95 % interval of the gap to the best includes 0
    regret, regret_interval : (B,) and (B, 2) measured at the predicted split less the best measured, >= 0; NaN where
        the predicted split was not measured
    advantage, advantage_interval : (B,) and (B, 2) one network of the budget less the best split, >= 0; NaN where no
        size above half the budget was measured
    laws : for each size the law in n, None with fewer than four sizes of ensembles
    envelope : the law of the best measured NLL against the parameters used; None with fewer than four budgets
    collapsed : networks that learned nothing, with the reason; they are in all numbers here
    without_collapsed : the same without them; None where there are none, or too few others
    """

    temperature: str
    budgets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    n: NDArray[np.int64]
    measured: NDArray[np.float64]
    se: NDArray[np.float64]
    groups: NDArray[np.int64]
    predicted: NDArray[np.float64]
    best: NDArray[np.int64]
    predicted_best: NDArray[np.int64]
    share: NDArray[np.float64]
    predicted_share: NDArray[np.float64]
    indistinguishable: NDArray[np.bool_]
    regret: NDArray[np.float64]
    regret_interval: NDArray[np.float64]
    advantage: NDArray[np.float64]
    advantage_interval: NDArray[np.float64]
    laws: tuple[PowerLaw | None, ...]
    envelope: PowerLaw | None
    collapsed: dict[str, str] = field(default_factory=dict)
    without_collapsed: MemorySplit | None = None

    title: ClassVar[str] = "memory split"

    @property
    def used(self) -> NDArray[np.int64]:
        """(B, S) parameters really used, n times size."""
        return self.n * self.sizes

    @property
    def best_n(self) -> NDArray[np.int64]:
        """(B,) n*, the number of networks in the best measured split; 0 where none was measured."""
        return np.where(self.best < 0, 0, self.n[np.arange(len(self.budgets)), self.best])

    @property
    def predicted_n(self) -> NDArray[np.int64]:
        """(B,) n* as the laws foretell it; 0 where there is no law."""
        return np.where(self.predicted_best < 0, 0, self.n[np.arange(len(self.budgets)), self.predicted_best])

    def summary(self) -> str:
        lines = [f"{len(self.budgets)} budgets, networks of {self.sizes[0]:,} to {self.sizes[-1]:,} parameters"]
        for row, budget in enumerate(self.budgets):
            equal = ", ".join(str(n) for n in np.unique(self.n[row, self.indistinguishable[row]]))
            line = f"{budget:,}: n* = {self.best_n[row]} (as good: {equal}), predicted {self.predicted_n[row]}"
            if np.isfinite(self.regret[row]):
                line += f", regret {self.regret[row]:.2g}"
            if np.isfinite(self.advantage[row]):
                low, high = self.advantage_interval[row]
                line += f", advantage over one network {self.advantage[row]:.2g} [{low:.2g}, {high:.2g}]"
            lines.append(line)
        lines += [f"collapsed, and in these numbers: {name} ({reason})" for name, reason in self.collapsed.items()]
        return "\n".join(lines)
