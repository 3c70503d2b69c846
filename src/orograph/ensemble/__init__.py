"""Many networks, one prediction: averages, temperatures, scores, and how all of it grows with their number.

The numerics work without torch. What needs it (networks as one module, and its folder) is loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from orograph.ensemble.combine import Average, combine, log_softmax, running, running_vote, vote
from orograph.ensemble.diversity import disagreement
from orograph.ensemble.equivalent import deep_ensemble_equivalent
from orograph.ensemble.evaluating import evaluation_of
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

if TYPE_CHECKING:
    from orograph.ensemble.along import on_path
    from orograph.ensemble.architecture import Architecture
    from orograph.ensemble.asking import ask, evaluate
    from orograph.ensemble.averaging import mean_weights, soup
    from orograph.ensemble.collected import Collected, gather
    from orograph.ensemble.collecting import dropout, fge, independent, no_cycle, single_cycle, snapshot, swa
    from orograph.ensemble.folder import load, save
    from orograph.ensemble.module import Ensemble
    from orograph.ensemble.workers import average_workers

_WITH_TORCH = {
    "Architecture": "architecture",
    "Ensemble": "module",
    "ask": "asking",
    "average_workers": "workers",
    "evaluate": "asking",
    "load": "folder",
    "mean_weights": "averaging",
    "on_path": "along",
    "save": "folder",
    "soup": "averaging",
    **dict.fromkeys(("Collected", "gather"), "collected"),
    **dict.fromkeys(("dropout", "fge", "independent", "no_cycle", "single_cycle", "snapshot", "swa"), "collecting"),
}

__all__ = [
    "Architecture",
    "Average",
    "Collected",
    "Curve",
    "Ensemble",
    "LabelProbabilities",
    "TemperaturePlace",
    "after_averaging",
    "ask",
    "average_workers",
    "before_averaging",
    "by_example",
    "calibrated_nll",
    "combine",
    "compare",
    "deep_ensemble_equivalent",
    "disagreement",
    "dropout",
    "ece",
    "evaluate",
    "evaluation_of",
    "fge",
    "fit_power_law",
    "folds",
    "gather",
    "independent",
    "load",
    "log_softmax",
    "mean_estimate",
    "mean_weights",
    "memory_split",
    "no_cycle",
    "on_path",
    "power_law",
    "running",
    "running_vote",
    "save",
    "scores",
    "single_cycle",
    "snapshot",
    "soup",
    "swa",
    "temperature",
    "vote",
    "width_law",
]


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(importlib.import_module(f"orograph.ensemble.{_WITH_TORCH[name]}"), name)
    raise AttributeError(f"module 'orograph.ensemble' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
