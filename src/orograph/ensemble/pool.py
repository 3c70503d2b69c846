"""A pool of networks, and the NLL of ensembles of each size drawn from it.

A point of size n is the mean over disjoint groups of n networks (at most 5, as in the code of Lobacheva et al. 2020).
Its uncertainty has two sources, resampled together: which test examples were drawn (with replacement, the same ones at
all sizes and in all pools of as many examples), and which networks came into one group (the pool divided anew,
*without* replacement: a network twice in a group would make the ensemble smaller than it says, and worse).

Resamples of examples hold the temperatures; to first order they change nothing, as the NLL is flat at its minimum.
How much another pool of networks would differ at a size that needs all of this one, no division of it can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orograph.basics.errors import UsageError
from orograph.basics.seeds import derive
from orograph.ensemble.combine import Array, combine
from orograph.ensemble.metrics import by_example
from orograph.ensemble.temperature import Curve, LabelProbabilities, after_averaging, calibrated_nll, folds
from orograph.results.predictions import Predictions

TemperaturePlace = Literal["before", "after", "none"]
"""Whether the temperature is applied before or after averaging, or not at all (NLL as it is)."""


class Points(NamedTuple):
    """NLLs (P,) at ensemble ``sizes`` (P,) ascending, standard errors and number of the groups, and resamples (D, P).

    The standard error of a single group is the spread of the nearest smaller size that has more; NaN if none has.
    """

    sizes: NDArray[np.int64]
    y: Array
    se: Array
    groups: NDArray[np.int64]
    draws: Array

    def without_last(self) -> Points:
        """All points but the one of the networks held out."""
        return Points(self.sizes[:-1], self.y[:-1], self.se[:-1], self.groups[:-1], self.draws[:, :-1])


class Resampling(NamedTuple):
    """How to draw: at most ``groups`` groups; ``partitions`` of the pool, with ``resamples`` of the examples each."""

    groups: int = 5
    partitions: int = 20
    resamples: int = 25
    seed: int = 0


def ladder(largest: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24, ... up to ``largest``."""
    return sorted(n for k in range(largest.bit_length()) for n in {2**k, 3 * 2**k} if n <= largest)


class Pool:
    """Independent networks of one kind. Each group's temperature is searched once."""

    def __init__(self, predictions: Predictions, temperature: TemperaturePlace = "before", *, seed: int = 0) -> None:
        if temperature not in ("before", "after", "none"):
            raise UsageError(f"unknown place of the temperature {temperature!r}; use 'before', 'after' or 'none'")
        self.predictions, self.temperature = predictions, temperature
        self.seen = folds(len(predictions.labels), seed=seed)
        self._known: dict[tuple[int, ...], Array] = {}

    @cached_property
    def _probabilities(self) -> LabelProbabilities:
        return LabelProbabilities(self.predictions.logits, self.predictions.labels)

    def nll(self, members: NDArray[np.int64]) -> Array:
        """(N,) what each example adds to the (calibrated) NLL of the probability average of ``members``, in nats."""
        group = np.sort(members)
        key = tuple(group.tolist())
        if key not in self._known:
            self._known[key] = self._computed(group)
        return self._known[key]

    def _computed(self, group: NDArray[np.int64]) -> Array:
        if self.temperature == "before":
            return calibrated_nll(Curve(self._probabilities, group), self.seen).by_example
        log_p, labels = combine(self.predictions.logits[group]), self.predictions.labels
        if self.temperature == "after":
            return calibrated_nll(after_averaging(log_p, labels), self.seen).by_example
        return by_example(log_p, labels)["nll"]

    def points(
        self,
        sizes: Sequence[int],
        resampling: Resampling,
        members: NDArray[np.int64] | None = None,
        *,
        held_out: int = 0,
    ) -> Points:
        """The NLL at each of ``sizes``, ascending, from groups of ``members`` (all where None).

        With ``held_out`` there is one entry more at the end: the ensemble of so many networks that are in no other
        group, others in each partition. Two such parts of a pool differ by what two fresh pools would differ by.
        """
        everyone = np.arange(len(self.predictions)) if members is None else members
        rising, ours = sorted(set(sizes)), len(everyone) - held_out
        if not rising or rising[0] < 1 or rising[-1] > ours:
            raise UsageError(f"ensembles have 1 to {ours} networks here, not {rising}")
        if min(resampling[:3]) < 1:
            raise UsageError("groups, partitions and resamples are at least 1")
        counts = np.array([min(ours // n, resampling.groups) for n in rising] + [1] * bool(held_out))
        y = spread = np.empty(0)
        draws, examples = [], len(self.predictions.labels)
        for partition in range(resampling.partitions):
            order = np.random.default_rng(derive(resampling.seed, "partition", partition)).permutation(everyone)
            groups = [order[: n * count].reshape(count, n) for n, count in zip(rising, counts, strict=False)]
            groups += [order[None, ours:]] * bool(held_out)
            each = [[self.nll(group) for group in of_one_size] for of_one_size in groups]
            if not partition:
                y = np.array([np.mean(nlls) for nlls in each])
                spread = np.array([np.std(np.mean(nlls, 1), ddof=1) if len(nlls) > 1 else np.nan for nlls in each])
            chance = np.random.default_rng(derive(resampling.seed, "examples", examples, partition))
            times = chance.multinomial(examples, np.full(examples, 1 / examples), resampling.resamples)
            draws.append(times / examples @ np.stack([np.mean(nlls, 0) for nlls in each], axis=1))
        for at in range(1, len(rising)):
            spread[at] = spread[at - 1] if counts[at] == 1 else spread[at]
        rising += [held_out] * bool(held_out)
        return Points(np.array(rising), y, spread / np.sqrt(counts), counts, np.concatenate(draws))
