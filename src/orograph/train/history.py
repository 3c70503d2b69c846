"""What a run has recorded so far: one row for each measurement, and the moments kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from orograph.basics.errors import StoreError
from orograph.results import Checkpoint, Provenance, Run

METRICS = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "learning_rate",
    "gradient_norm",
    "weight_norm",
    "distance_from_start",
    "distance_from_cycles",
)


class History:
    """Rows and checkpoints of a run, in the order of their steps."""

    def __init__(self) -> None:
        self.epochs: list[float] = []
        self.steps: list[int] = []
        self.metrics: dict[str, list[float]] = {name: [] for name in METRICS}
        self.checkpoints: list[Checkpoint] = []

    def add(self, epoch: float, step: int, **metrics: float | None) -> None:
        """One row; a metric that is not given, or None, is NaN."""
        self.epochs.append(float(epoch))
        self.steps.append(int(step))
        for name, column in self.metrics.items():
            value = metrics.get(name)
            column.append(math.nan if value is None else float(value))

    def state(self) -> dict[str, Any]:
        """As JSON types; checkpoints by their file, so their weights must be on disk."""
        kept = [[c.epoch, c.step, c.path, c.test_accuracy] for c in self.checkpoints]
        return {"epochs": self.epochs, "steps": self.steps, "metrics": self.metrics, "checkpoints": kept}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> History:
        """Rebuild from :meth:`state`. Raises StoreError where it is not one."""
        history = cls()
        try:
            history.epochs, history.steps = list(state["epochs"]), list(state["steps"])
            history.metrics = {name: list(state["metrics"][name]) for name in METRICS}
            history.checkpoints = [Checkpoint(e, s, p, accuracy) for e, s, p, accuracy in state["checkpoints"]]
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"the record of a run is damaged ({error})") from error
        return history

    def run(
        self,
        *,
        name: str,
        recipe: dict[str, Any],
        seeds: dict[str, int],
        provenance: Provenance,
        checkpoints: Sequence[Checkpoint] | None = None,
    ) -> Run:
        """The result. ``test_accuracy`` is None where it was never measured."""
        columns = {key: np.array(column, dtype=np.float64) for key, column in self.metrics.items()}
        accuracy, cycles = columns.pop("test_accuracy"), columns.pop("distance_from_cycles")
        return Run(
            name=name,
            recipe=recipe,
            seeds=seeds,
            epochs=np.array(self.epochs, dtype=np.float64),
            steps=np.array(self.steps, dtype=np.int64),
            test_accuracy=None if np.isnan(accuracy).all() else accuracy,
            distance_from_cycles=None if np.isnan(cycles).all() else cycles,
            checkpoints=tuple(self.checkpoints if checkpoints is None else checkpoints),
            provenance=provenance,
            **columns,
        )
