"""The options of ``initial-values``. No torch here: the command line builds its flags from this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from orograph.basics.errors import UsageError
from orograph.basics.sampling import check_sampling
from orograph.studies.common_options import CommonOptions
from orograph.train.recipe import Recipe


def _default_recipe() -> Recipe:
    return Recipe(epochs=15, batch_size=32, lr=0.05, momentum=0.9, weight_decay=5e-4, schedule="cosine")


@dataclass(frozen=True)
class InitialValues(CommonOptions):
    """Train replicas from different initial values and draw the country between them (ElasticDL issue 179)."""

    replicas: int = 4
    """Networks trained from different initial values; at least three."""
    train: Recipe = field(default_factory=_default_recipe)
    """How each replica is trained."""
    batchnorm: Literal["frozen", "recalibrate", "batch"] | None = None
    """Batch-norm statistics between networks; unset: recalibrate where there is batch norm."""
    tolerance: float = 0.0
    """Standard error at which a point of a picture is good enough; 0 reads every example."""
    cap: float | None = None
    """With a tolerance: points whose loss is surely above this need not be known better."""
    map_examples: int | None = 2000
    """Test examples used for planes (lines, barriers and accuracies use all of them)."""
    line_points: int = 61
    """Points on each line over (-1, 2)."""
    plane_points: int = 33
    """Points along each axis of the planes through three networks."""
    neighbourhood_points: int = 25
    """Points along each axis of the filter-normalised neighbourhoods."""
    frame: Literal["oblique", "orthonormal"] = "oblique"
    """Planes with A, B, C at (0,0), (1,0), (0,1) as in the issue, or with true angles and lengths."""
    lines: bool = True
    """Part: lines from A to each other replica, with barriers."""
    planes: bool = True
    """Part: planes through A, B, C with the training trajectories on them."""
    same_start: bool = True
    """Part: the same start with other data orders."""
    branches: bool = True
    """Part: branches of a common, partly trained start."""
    branch_accuracy: float = 0.339
    """Test accuracy at which the common start is taken."""
    branch_epochs: tuple[float, ...] = (0.2, 1.0, 9.0)
    """Epochs after which the branches are compared."""
    abyss: bool = True
    """Part: networks trained to the lowest accuracy."""
    neighbourhoods: bool = True
    """Part: filter-normalised surroundings of A and B, and A's trajectory on its principal axes."""

    papers: ClassVar[dict[str, dict[str, Any]]] = {
        "resnet18-cifar10": {"data": "cifar10", "model": "resnet18", "replicas": 8, "train": {"epochs": 30}},
    }

    def __post_init__(self) -> None:
        if self.replicas < 3:
            raise UsageError(f"replicas must be at least 3 (a plane needs A, B and C), not {self.replicas}")
        if not 0 < self.branch_accuracy < 1:
            raise UsageError(f"branch_accuracy is a fraction between 0 and 1, not {self.branch_accuracy:g}")
        if not self.branch_epochs or min(self.branch_epochs) <= 0:
            raise UsageError("branch_epochs must be positive numbers of epochs")
        if min(self.line_points, self.plane_points, self.neighbourhood_points) < 5:
            raise UsageError("pictures need at least 5 points along each axis")
        check_sampling(self.tolerance, self.cap)
        self.require_at_least(1)
        if self.train.direction != "descend":
            raise UsageError("train.direction must be descend here; the part abyss trains the other way by itself")
