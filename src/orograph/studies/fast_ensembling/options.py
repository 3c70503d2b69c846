"""The options of ``fast-ensembling``. Imports no torch, so that its flags are listed at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from orograph.studies.common_options import CommonOptions
from orograph.train.recipe import Recipe


def _budget() -> Recipe:
    return Recipe(epochs=30, batch_size=64, lr=0.05, schedule="hold-decay", precision="auto", measure_every=5)


def _paper(data: str, model: str, epochs: int, lr: float, decay: float, **own: Any) -> dict[str, Any]:
    train = {"epochs": epochs, "batch_size": 128, "lr": lr, "weight_decay": decay, "crop": 4, "flip": True}
    return {"data": data, "model": model, "train": {**train, "measure_every": 1}, **own}


_VGG: dict[str, Any] = {"fge_cycle": 2.0, "fge_high": 0.01, "snapshots": 5, "snapshot_lr": 0.05}
_RESNET: dict[str, Any] = {"fge_cycle": 4.0, "fge_high": 0.05, "snapshots": 4, "snapshot_lr": 0.1}
_WIDE: dict[str, Any] = {"fge_cycle": 4.0, "fge_high": 0.05, "snapshots": 5, "snapshot_lr": 0.1}


@dataclass(frozen=True)
class FastEnsembling(CommonOptions):
    """Independent networks, snapshots and fast geometric ensembles at equal budgets (Garipov et al. 2018)."""

    repeats: int = 3
    """How often everything is repeated, from other initial values; verdicts need at least two."""
    budgets: int = 3
    """Ensembles of 1, 2, … so many budgets; a repetition trains so many runs of each method."""
    train: Recipe = field(default_factory=_budget)
    """One ordinary training run; its length is the budget of all methods."""
    snapshots: int = 5
    """Cycles of each run of snapshots."""
    snapshot_lr: float = 0.1
    """Learning rate at which each snapshot cycle begins."""
    fge_cycle: float = 1.0
    """Epochs of a cycle of fast geometric ensembling."""
    fge_high: float = 0.05
    """Highest learning rate of its cycles."""
    fge_low: float = 5e-4
    """Lowest learning rate of its cycles, at which networks are collected."""
    fge_start: float = 0.8
    """Share of the budget before its cycles."""
    geometry: bool = True
    """Part: distances between members, and straight legs through them."""
    train_examples: int | None = 2000
    """Train losses along legs are measured on the first so many training examples."""
    batchnorm: Literal["frozen", "recalibrate", "batch"] | None = None
    """Batch-norm statistics along legs; unset: re-estimated at every point where there is batch norm."""

    papers: ClassVar[dict[str, dict[str, Any]]] = {
        "vgg16-cifar10": _paper("cifar10", "vgg-d", 200, 0.05, 5e-4, **_VGG),
        "vgg16-cifar100": _paper("cifar100", "vgg-d", 200, 0.05, 5e-4, **_VGG),
        "preresnet164-cifar10": _paper("cifar10", "preresnet164", 150, 0.1, 3e-4, **_RESNET),
        "preresnet164-cifar100": _paper("cifar100", "preresnet164", 150, 0.1, 3e-4, **_RESNET),
        "wrn-28-10-cifar10": _paper("cifar10", "wrn-28-10", 200, 0.1, 5e-4, **_WIDE),
        "wrn-28-10-cifar100": _paper("cifar100", "wrn-28-10", 200, 0.1, 5e-4, **_WIDE),
    }

    def __post_init__(self) -> None:
        self.require_at_least(1, "repeats", "budgets", "snapshots", "train_examples")
        self.require_descent("train")
