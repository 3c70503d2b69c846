"""What the arms reached: accuracies at three moments, and paired differences between arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orograph.results import Run
from orograph.studies.conclusion import last


@dataclass(frozen=True)
class Reached:
    """Test accuracies of one run: after the first epoch, the highest from there on, and after the last."""

    first: float
    best: float
    last: float

    @classmethod
    def of(cls, run: Run) -> Reached:
        """A run that diverged has no epochs, and counts with the accuracy from which it began."""
        accuracy = run.test_accuracy
        if accuracy is None or len(accuracy) < 2:
            end = last(accuracy)
            return cls(end, end, end)
        return cls(float(np.interp(1.0, run.epochs, accuracy)), float(np.nanmax(accuracy[1:])), float(accuracy[-1]))


def minus(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Differences, one for each repetition."""
    return [a - b for a, b in zip(one, other, strict=True)]


def mean_over(each: Sequence[Sequence[float]]) -> list[float]:
    """For each repetition the mean over networks; ``each`` holds a list for every network."""
    return [float(np.mean(column)) for column in zip(*each, strict=True)]
