"""One training run: its metrics, its checkpoints and the streams it was drawn from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.result import Result, record


@record
@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A moment of a run. Its weights are in memory (``weights``) or in the safetensors file ``path``."""

    epoch: float
    step: int
    path: str | None = None
    test_accuracy: float | None = None
    weights: Any = field(default=None, metadata={"saved": False, "compared": False})


@dataclass(frozen=True, eq=False, kw_only=True)
class Run(Result):
    """A training run.

    Attributes
    ----------
    name : what the run is called in tables and figures
    recipe : every training option; ``seeds`` : the seed of each stream (initial, order, augmentation, dropout)
    epochs, steps : (E,) where metrics were taken; index 0 is before the first step
    train_loss, train_accuracy : (E,) running means over the epoch as it was trained (NaN at index 0)
    test_loss, test_accuracy : (E,) on the test split in evaluation mode; accuracy is None without labels
    learning_rate : (E,) at the end of the epoch; gradient_norm : (E,) mean over the epoch's steps, before clipping
    weight_norm : (E,) and ``distance_from_start`` : (E,) in weight-space length
    checkpoints : saved moments, in order of their step
    distance_from_cycles : (E,) from the network at which the run's cycles began, NaN before; None without cycles
    """

    name: str
    recipe: dict[str, Any]
    seeds: dict[str, int]
    epochs: NDArray[np.float64]
    steps: NDArray[np.int64]
    train_loss: NDArray[np.float64]
    train_accuracy: NDArray[np.float64]
    test_loss: NDArray[np.float64]
    test_accuracy: NDArray[np.float64] | None
    learning_rate: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    weight_norm: NDArray[np.float64]
    distance_from_start: NDArray[np.float64]
    checkpoints: tuple[Checkpoint, ...]
    distance_from_cycles: NDArray[np.float64] | None = None

    title: ClassVar[str] = "run"

    @property
    def final(self) -> Checkpoint:
        """The last checkpoint: the end of training."""
        return self.checkpoints[-1]

    @property
    def first(self) -> Checkpoint:
        """The first checkpoint: before the first step."""
        return self.checkpoints[0]

    def summary(self) -> str:
        accuracy = "" if self.test_accuracy is None else f", test accuracy {self.test_accuracy[-1]:.4f}"
        return (
            f"{self.name}: {self.epochs[-1]:g} epochs, {int(self.steps[-1])} steps, test loss {self.test_loss[-1]:.4g}"
            f"{accuracy}, {self.distance_from_start[-1]:.4g} from its start"
        )
