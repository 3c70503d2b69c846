"""The options of ``mode-connectivity``. Imports no torch, so that its flags are listed at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from orograph.basics.errors import UsageError
from orograph.studies.common_options import CommonOptions
from orograph.train.recipe import Recipe


def _endpoints() -> Recipe:
    return Recipe(epochs=15, lr=0.05, schedule="hold-decay", precision="auto")


def _curves() -> Recipe:
    return Recipe(epochs=40, lr=0.03, schedule="hold-decay", precision="auto")


def _paper(
    data: str, model: str, epochs: int, lr: float, curve_epochs: int, curve_lr: float, decay: float
) -> dict[str, Any]:
    both = {"batch_size": 128, "weight_decay": decay, "crop": 4, "flip": True}
    train = {**both, "epochs": epochs, "lr": lr}
    curve = {**both, "epochs": curve_epochs, "lr": curve_lr}
    return {"data": data, "model": model, "pairs": 2, "train": train, "curve": curve, "train_examples": None}


@dataclass(frozen=True)
class ModeConnectivity(CommonOptions):
    """Join independently trained networks by curves, with and without alignment (Garipov et al. 2018)."""

    pairs: int = 3
    """Pairs of networks, each trained from other initial values; verdicts need at least two."""
    train: Recipe = field(default_factory=_endpoints)
    """How each network is trained."""
    curve: Recipe = field(default_factory=_curves)
    """How the bends of each curve are trained; its weight decay acts on the points of the curve."""
    bends: int = 1
    """Free points of each curve."""
    points: int = 61
    """Points at which curves and lines are measured."""
    polychain: bool = True
    """Part: polygonal chains beside the Bezier curves."""
    align: bool = True
    """Part: units of the second network permuted first."""
    permuted: bool = True
    """Part: a curve from each first network to a permuted copy of itself."""
    planes: bool = True
    """Part: planes through three optima, and through the first pair and its bends."""
    polyline: bool = True
    """Part: straight legs through all networks."""
    plane_points: int = 21
    """Points along each axis of the planes."""
    train_examples: int | None = 2000
    """Train losses along paths are measured on the first so many training examples."""
    method: Literal["weights", "activations"] = "weights"
    """How units are matched."""
    batchnorm: Literal["frozen", "recalibrate", "batch"] | None = None
    """Batch-norm statistics along paths; unset: re-estimated at every point where there is batch norm."""

    papers: ClassVar[dict[str, dict[str, Any]]] = {
        f"{name}-{data}": _paper(data, *size)
        for name, size in {
            "vgg16": ("vgg-d", 200, 0.05, 600, 0.015, 5e-4),
            "preresnet164": ("preresnet164", 150, 0.1, 200, 0.03, 3e-4),
        }.items()
        for data in ("cifar10", "cifar100")
    }

    def __post_init__(self) -> None:
        self.require_at_least(1, "pairs", "bends", "train_examples")
        if self.points < 5 or self.plane_points < 5:
            raise UsageError("paths and planes need at least 5 points")
        self.require_descent("train", "curve")
