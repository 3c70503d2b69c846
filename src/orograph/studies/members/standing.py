"""What pools of members are worth on the test examples, and claims about differences between methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from orograph.basics.words import counted
from orograph.ensemble import before_averaging, by_example, calibrated_nll, combine, folds, running
from orograph.results import Claim, Predictions
from orograph.studies.statistics import Side, clipped, decided, difference_interval, finite_mean

_TWO = " An interval needs two repetitions."


@dataclass(frozen=True, eq=False)
class Standing:
    """What one pool, or the mean of several, adds to the scores for each test example (N,): ``error`` (0 or 1 for one
    pool) and calibrated NLL (nats) of the averaged probabilities."""

    error: NDArray[np.float64]
    calibrated: NDArray[np.float64]

    @classmethod
    def of(cls, pool: Predictions, seed: int) -> Standing:
        """The temperature is fitted on one half of the examples, before averaging, and scored on the other."""
        wrong = by_example(combine(pool.logits), pool.labels)["error"]
        halves = folds(len(pool.labels), seed=seed)
        return cls(wrong, calibrated_nll(before_averaging(pool.logits, pool.labels), halves).by_example)

    @classmethod
    def members_of(cls, pool: Predictions, seed: int) -> Standing:
        """The mean over the members by themselves."""
        return cls.mean([cls.of(pool.subset([member]), seed) for member in range(len(pool))])

    @classmethod
    def mean(cls, each: Sequence[Standing]) -> Standing:
        """The mean of several."""
        return cls(np.mean([one.error for one in each], 0), np.mean([one.calibrated for one in each], 0))

    def __sub__(self, other: Standing) -> Standing:
        """The paired difference."""
        return Standing(self.error - other.error, self.calibrated - other.calibrated)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """All members of several runs."""
    return reduce(lambda one, other: one.join(other), parts)


def growth(pool: Predictions) -> NDArray[np.float64]:
    """(2, M) error and NLL of the average of the first 1 … M members."""
    each = [by_example(log_p, pool.labels) for log_p in running(pool.logits)]
    return np.array([[float(found[name].mean()) for found in each] for name in ("error", "nll")])


def gain_claim(
    claim_id: str,
    statement: str,
    published: str,
    gains: Sequence[Standing],
    *,
    unit: str,
    bound: float = 0.0,
    side: Side = "above",
) -> Claim:
    """Whether the mean difference of test errors, a gain from each repetition, lies above ``bound`` (or at most there).

    The interval is over repetitions and over test examples.
    """
    values = [float(gain.error.mean()) for gain in gains]
    whole = Standing.mean(gains)
    measured, examples = finite_mean(values), len(whole.error)
    interval = clipped(difference_interval(values, whole.error, resolution=1 / examples), (-1.0, 1.0))
    nats = ", ".join(f"{gain.calibrated.mean():.3g}" for gain in gains)
    return Claim(
        id=claim_id,
        statement=statement,
        published=published,
        measured=measured,
        interval=interval,
        unit=unit,
        rule=f"mean {side} {bound:g} (95 % interval over {counted(len(gains), 'repetition')} and "
        f"{counted(examples, 'test example')})",
        verdict=decided(side, measured, interval, bound),
        note=f"The same in calibrated NLL, by repetition: {nats} nats." + ("" if interval else _TWO),
    )
