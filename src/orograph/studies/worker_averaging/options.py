"""The options of ``worker-averaging``. Imports no torch, so that its flags are listed at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from orograph.basics.errors import UsageError
from orograph.studies.common_options import CommonOptions
from orograph.train.recipe import Recipe


def _training() -> Recipe:
    return Recipe(epochs=10, batch_size=64, lr=0.05, schedule="hold-decay", precision="auto")


@dataclass(frozen=True)
class WorkerAveraging(CommonOptions):
    """Workers from a common start, averaged once or again and again, against one worker (ElasticDL issue 179)."""

    repeats: int = 3
    """How often everything is repeated, from other initial values; verdicts need at least two."""
    team: int = 4
    """Workers that are averaged."""
    train: Recipe = field(default_factory=_training)
    """How one worker is trained, common start included."""
    starts: tuple[float, ...] = (0.0, 0.5, 3.0)
    """Epochs that the workers' common start has been trained for; 0 is from scratch."""
    every: float = 1.0
    """Epochs between averages where they are repeated (local SGD)."""
    shards: bool = True
    """Part: workers with a share of the examples of their own."""
    longer: bool = True
    """Part: one worker that takes the steps of all, one after the other."""
    points: int = 11
    """Points of the lines between workers on which barriers are measured."""
    batchnorm: Literal["frozen", "recalibrate", "batch"] | None = None
    """Batch-norm statistics of averages and workers; unset: re-estimated where there is batch norm."""

    papers: ClassVar[dict[str, dict[str, Any]]] = {
        "resnet18-cifar10": {
            "data": "cifar10",
            "model": "resnet18",
            "team": 3,
            "starts": (0.0, 0.2, 1.0, 9.0),
            "train": {"epochs": 30, "batch_size": 128, "lr": 0.1, "crop": 4, "flip": True},
        },
    }

    def __post_init__(self) -> None:
        self.require_at_least(1, "repeats")
        if self.team < 2:
            raise UsageError(f"a team has at least 2 workers, not {self.team}")
        if self.points < 5:
            raise UsageError(f"points must be at least 5, not {self.points}")
        if not 0 < self.every < self.train.epochs:
            raise UsageError(f"every must be above 0 and below the {self.train.epochs:g} epochs, not {self.every:g}")
        if not self.starts or list(self.starts) != sorted(set(self.starts)) or self.starts[0] < 0:
            raise UsageError(f"starts are numbers of epochs from 0 upwards, each once, not {self.starts}")
        if self.starts[-1] >= self.train.epochs:
            raise UsageError(f"the last start must leave some of the {self.train.epochs:g} epochs to the workers")
        self.require_descent("train")
