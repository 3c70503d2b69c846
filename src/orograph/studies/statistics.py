"""Intervals over replicas and pairs, and the verdicts drawn from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from orograph.results import Verdict

Interval = tuple[float, float]
Side = Literal["above", "at most"]


def mean_interval(values: ArrayLike, level: float = 0.95, *, resolution: float = 0.0) -> Interval | None:
    """Student's t interval of the mean; None for fewer than two values.

    ``resolution`` is the smallest step in which a value is measured (one example): equal ones are taken to vary by it.
    """
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2 or not np.isfinite(found).all():
        return None
    reach = _reach(max(float(found.std(ddof=1)), resolution), len(found), level)
    return float(found.mean()) - reach, float(found.mean()) + reach


def difference_interval(
    values: ArrayLike, by_example: ArrayLike, level: float = 0.95, *, resolution: float = 0.0
) -> Interval | None:
    """Interval of the mean of ``values`` (R,), one from each repetition, all measured on the same N examples.

    ``by_example`` (N,) is what each example adds to the mean. Other repetitions would differ (Student's t over R), and
    so would other examples (a normal interval over N); the two reaches add in squares. None for fewer than two values.

    ``resolution`` is the smallest step in which a value is measured (one example): equal ones are taken to vary by it.
    """
    found, each = np.asarray(values, dtype=np.float64), np.asarray(by_example, dtype=np.float64)
    if len(found) < 2 or not np.isfinite(found).all() or not np.isfinite(each).all():
        return None
    repeated = _reach(max(float(found.std(ddof=1)), resolution), len(found), level)
    sampled = float(stats.norm.ppf((1 + level) / 2)) * float(each.std(ddof=1)) / math.sqrt(len(each))
    reach = math.hypot(repeated, sampled)
    return float(found.mean()) - reach, float(found.mean()) + reach


def _reach(spread: float, count: int, level: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, count - 1)) * spread / math.sqrt(count)


def height_interval(
    values: ArrayLike, level: float = 0.95, *, resolution: float = 0.0, most: float = np.inf
) -> Interval | None:
    """Interval of the mean of heights, which lie between 0 and ``most``; None for fewer than two.

    Student's t, whose lower end is hopeless for three very different heights, and for it a second bound that needs no
    normal distribution: if the mean were m, each of n independent heights would reach the lowest one h with a
    probability of at most m / h (Markov), all of them with (m / h)^n. So m is at least h (0.025)^(1/n), or less than
    one sample in forty would look like this one. The higher of the two lower ends counts.

    ``resolution`` is the smallest step in which heights are measured (one test example): equal heights are taken to
    vary by that much, since they cannot be known to vary by less.
    """
    found = np.asarray(values, dtype=np.float64)
    student = mean_interval(found, level, resolution=resolution)
    if student is None:
        return None
    lowest = max(float(found.min()), 0.0)
    return max(student[0], lowest * ((1 - level) / 2) ** (1 / len(found))), min(max(student[1], 0.0), most)


def deviation_interval(values: ArrayLike, level: float = 0.95) -> Interval | None:
    """Chi-square interval of the standard deviation of normal values; None for fewer than two."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2 or not np.isfinite(found).all():
        return None
    free = len(found) - 1
    total = free * float(found.var(ddof=1))
    low, high = (float(stats.chi2.ppf(p, free)) for p in ((1 + level) / 2, (1 - level) / 2))
    return (total / low) ** 0.5, (total / high) ** 0.5


def share_interval(count: int, total: int, level: float = 0.95) -> Interval | None:
    """Exact binomial interval of a share, ``count`` of ``total`` (Clopper and Pearson 1934); None for none at all."""
    if total < 1:
        return None
    found = stats.binomtest(count, total).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)


def welch_interval(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Interval | None:
    """Interval of the difference of two means, ``first`` less ``second``, of unlike spreads (Welch 1947); None for
    fewer than two finite values in either."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if min(len(a), len(b)) < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    difference = float(a.mean() - b.mean())
    if va + vb == 0:
        return difference, difference
    free = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    reach = float(stats.t.ppf((1 + level) / 2, free) * (va + vb) ** 0.5)
    return difference - reach, difference + reach


def jackknife_interval(
    statistic: Callable[[NDArray[np.int64]], float], replicas: int, level: float = 0.95
) -> Interval | None:
    """Interval of a statistic of all replicas, from leaving each out in turn; None for fewer than three.

    ``statistic`` takes the indices of the replicas to use. Right for statistics of pairs too, which share replicas and
    so are not independent of each other (Efron 1982).
    """
    if replicas < 3:
        return None
    everyone = np.arange(replicas)
    whole = statistic(everyone)
    without = np.array([statistic(np.delete(everyone, i)) for i in everyone])
    if not np.isfinite([whole, *without]).all():
        return None
    error = ((replicas - 1) / replicas * np.square(without - without.mean()).sum()) ** 0.5
    reach = float(stats.t.ppf((1 + level) / 2, replicas - 1)) * float(error)
    return whole - reach, whole + reach


def clipped(interval: Interval | None, span: Interval) -> Interval | None:
    """The interval, ended where the values end that a figure can have at all."""
    return None if interval is None else (max(interval[0], span[0]), min(interval[1], span[1]))


def decided(side: Side, value: float, interval: Interval | None, bound: float) -> Verdict:
    """The rule :func:`above` or :func:`at_most`, by its name."""
    return (above if side == "above" else at_most)(value, interval, bound)


def at_most(value: float, interval: Interval | None, bound: float) -> Verdict:
    """The rule "at most ``bound``": decided where there is an interval, and all of it lies on one side."""
    if interval is None or not math.isfinite(value):
        return "inconclusive"
    low, high = interval
    if high <= bound:
        return "reproduced"
    return "not reproduced" if low > bound else "inconclusive"


def above(value: float, interval: Interval | None, bound: float) -> Verdict:
    """The rule "above ``bound``": decided where there is an interval, and all of it lies on one side."""
    if interval is None or not math.isfinite(value):
        return "inconclusive"
    low, high = interval
    if low > bound:
        return "reproduced"
    return "not reproduced" if high <= bound else "inconclusive"


def within(interval: Interval | None, bound: float) -> Verdict:
    """The rule "between -``bound`` and ``bound``": decided where all of the interval lies inside, or all outside."""
    if interval is None or not all(map(math.isfinite, interval)):
        return "inconclusive"
    low, high = interval
    if -bound <= low and high <= bound:
        return "reproduced"
    return "not reproduced" if low > bound or high < -bound else "inconclusive"


def finite_mean(values: Sequence[float]) -> float:
    """The mean, NaN for none."""
    return float(np.mean(values)) if len(values) else float("nan")
