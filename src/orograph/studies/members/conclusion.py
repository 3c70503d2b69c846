"""What the conclusions of studies of ensembles share: answers by run, standings by pool, and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from orograph.basics.words import counted
from orograph.ensemble import disagreement
from orograph.results import Comparison, Predictions
from orograph.studies.members.planning import answers_of, run_name
from orograph.studies.members.standing import Standing, growth, joined
from orograph.studies.repeated import RepeatedConclusion, averaged


class MemberConclusion(RepeatedConclusion):
    """A conclusion over runs named by method, repetition and number."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.answers = cache(self._answers)
        self.standing = cache(self._standing)

    def what(self) -> str:
        return f"{counted(self.options.repeats, 'repetition')} with {self.options.model} on {self.options.data}"

    def _answers(self, method: str, repeat: int, run: int) -> Predictions:
        return self.find(answers_of(method, repeat, run), Predictions)

    def _standing(self, method: str, repeat: int, runs: tuple[int, ...]) -> Standing:
        """What all members of these runs are worth together."""
        pool = joined([self.answers(method, repeat, run) for run in runs])
        return Standing.of(pool, self.options.seed)

    def members(self, method: str, runs: Sequence[int]) -> list[Standing]:
        """For each repetition the mean over the members of these runs by themselves."""
        seed = self.options.seed
        return [
            Standing.members_of(joined([self.answers(method, repeat, run) for run in runs]), seed)
            for repeat in self.repeats
        ]

    def pools(self, method: str, budgets: int) -> list[Standing]:
        """For each repetition the mean over its disjoint groups of so many runs."""
        runs = range(1, self.options.budgets + 1)
        groups = [tuple(runs[at : at + budgets]) for at in range(0, len(runs) - budgets + 1, budgets)]
        return [Standing.mean([self.standing(method, repeat, group) for group in groups]) for repeat in self.repeats]

    def disagree(self, method: str, repeat: int, runs: Sequence[int]) -> tuple[float, float]:
        """Mean disagreement of two members, and the same over their mean error; NaN for one member."""
        pool = joined([self.answers(method, repeat, run) for run in runs])
        if len(pool) < 2:
            return float("nan"), float("nan")
        found = disagreement(pool)
        return found.mean.value, found.mean_normalised

    def spent(self, method: str, repeat: int, runs: Sequence[int]) -> float:
        """What the runs cost, in budgets."""
        passed = sum(self.run(run_name(method, repeat, run)).provenance.cost.backward for run in runs)
        one: float = self.options.train.epochs * self.subject.train_examples
        return passed / one

    def growing(self, methods: Mapping[str, Sequence[int]]) -> Comparison:
        """Error and NLL against the number of members, means over repetitions; the runs of each method in turn."""
        series = {}
        for method, runs in methods.items():
            each = [growth(joined([self.answers(method, repeat, run) for run in runs])) for repeat in self.repeats]
            fewest = min(found.shape[1] for found in each)
            count = np.arange(1, fewest + 1, dtype=np.float64)
            series[method] = averaged(count, [found[:, :fewest] for found in each])
        return Comparison(
            across="networks averaged",
            quantities=("test error", "test NLL (nats)"),
            series=series,
            bars=self.bars,
            provenance=self.provenance(),
        )


def minus(one: Sequence[Standing], other: Sequence[Standing]) -> list[Standing]:
    """Paired differences, one for each repetition."""
    return [a - b for a, b in zip(one, other, strict=True)]


def errors(each: Sequence[Standing]) -> list[float]:
    """The test error of each repetition."""
    return [float(one.error.mean()) for one in each]


def calibrated(each: Sequence[Standing]) -> list[float]:
    """The calibrated NLL of each repetition, in nats."""
    return [float(one.calibrated.mean()) for one in each]
