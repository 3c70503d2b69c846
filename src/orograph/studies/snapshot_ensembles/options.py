"""The options of ``snapshot-ensembles``. Imports no torch, so that its flags are listed at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from orograph.basics.errors import UsageError
from orograph.studies.common_options import CommonOptions
from orograph.train.recipe import Recipe


def _budget() -> Recipe:
    return Recipe(epochs=30, batch_size=64, lr=0.05, schedule="hold-decay", precision="auto", measure_every=5)


def _paper(data: str, model: str, epochs: int, cycles: int, dropout: float | None = 0.2) -> dict[str, Any]:
    augmented = {"crop": 4, "flip": True} if data.startswith("cifar") else {}
    train = {"epochs": epochs, "batch_size": 64, "lr": 0.1, "weight_decay": 1e-4, "schedule": "step", **augmented}
    train["measure_every"] = 1
    return {"data": data, "model": model, "cycles": cycles, "lrs": (0.1, 0.2), "dropout": dropout, "train": train}


@dataclass(frozen=True)
class SnapshotEnsembles(CommonOptions):
    """One network, dropout, snapshots and their two baselines for one budget each (Huang et al. 2017)."""

    repeats: int = 3
    """How often everything is repeated, from other initial values; verdicts need at least two."""
    train: Recipe = field(default_factory=_budget)
    """One ordinary training run; its length is the budget of all methods."""
    cycles: int = 5
    """Cycles of a run, and networks of an ensemble."""
    lrs: tuple[float, float] = (0.05, 0.1)
    """The two learning rates at which cycles begin, the lower one first."""
    dropout: float | None = 0.2
    """Share of units dropped by the network of the dropout row; none leaves that row out."""

    batchnorm: ClassVar[str] = "frozen"
    papers: ClassVar[dict[str, dict[str, Any]]] = {
        **{f"resnet110-{data}": _paper(data, "resnet110", 200, 5, None) for data in ("cifar10", "cifar100")},
        **{f"wrn-34-4-{data}": _paper(data, "wrn-34-4", 200, 5) for data in ("cifar10", "cifar100")},
        **{f"densenet40-{data}": _paper(data, "densenet40", 300, 6) for data in ("cifar10", "cifar100")},
        **{f"densenet100-{data}": _paper(data, "densenet100", 300, 6) for data in ("cifar10", "cifar100")},
        "resnet110-svhn": _paper("svhn+extra", "resnet110", 40, 5, None),
        "densenet40-svhn": _paper("svhn+extra", "densenet40", 40, 5),
    }

    def __post_init__(self) -> None:
        self.require_at_least(1, "repeats", "cycles")
        if len(self.lrs) != 2 or not 0 < self.lrs[0] < self.lrs[1]:
            raise UsageError(f"lrs are two learning rates above 0, the lower one first, not {self.lrs}")
        if self.dropout is not None and not 0 < self.dropout < 1:
            raise UsageError(f"dropout is a share of units, above 0 and below 1, or none, not {self.dropout}")
        self.require_descent("train")
