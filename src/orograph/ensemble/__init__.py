"""Many networks, one prediction: averages, temperatures, scores, and how all of it grows with their number."""

from orograph.ensemble.combine import Average, combine, log_softmax, running, running_vote, vote
from orograph.ensemble.diversity import disagreement
from orograph.ensemble.equivalent import deep_ensemble_equivalent
from orograph.ensemble.memory_split import memory_split
from orograph.ensemble.metrics import by_example, compare, ece, mean_estimate, scores
from orograph.ensemble.pool import TemperaturePlace
from orograph.ensemble.power_law import fit_power_law
from orograph.ensemble.scaling import power_law, width_law
from orograph.ensemble.temperature import (
    Curve,
    LabelProbabilities,
    after_averaging,
    before_averaging,
    calibrated_nll,
    folds,
    temperature,
)

__all__ = [
    "Average",
    "Curve",
    "LabelProbabilities",
    "TemperaturePlace",
    "after_averaging",
    "before_averaging",
    "by_example",
    "calibrated_nll",
    "combine",
    "compare",
    "deep_ensemble_equivalent",
    "disagreement",
    "ece",
    "fit_power_law",
    "folds",
    "log_softmax",
    "mean_estimate",
    "memory_split",
    "power_law",
    "running",
    "running_vote",
    "scores",
    "temperature",
    "vote",
    "width_law",
]
