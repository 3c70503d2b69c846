"""How heights are measured: the options of an objective that its results depend on."""

from __future__ import annotations

from dataclasses import dataclass

from orograph.basics.numerics import Precision
from orograph.objective.batchnorm import Policy


@dataclass(frozen=True)
class Settings:
    """Part of every content key and provenance; see :class:`~orograph.objective.Objective` for each option."""

    batchnorm: Policy
    precision: Precision
    tolerance: float
    cap: float | None
    batch_size: int
    fit_batch: bool
    calibration_examples: int
    seed: int
    folded: bool
    channels_last: bool
    compiled: bool
