"""How heights are measured: the options of an objective that its results depend on."""

from __future__ import annotations

from dataclasses import dataclass

from orograph.basics.errors import UsageError
from orograph.basics.numerics import Precision
from orograph.basics.sampling import check_sampling
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

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"the batch size must be at least 1, not {self.batch_size}")
        check_sampling(self.tolerance, self.cap)
        if self.calibration_examples < 2:
            raise UsageError(f"calibration_examples must be at least 2, not {self.calibration_examples}")
