"""The options of ``power-laws``. Imports no torch, so that its flags are listed at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from orograph.basics.errors import UsageError
from orograph.studies.common_options import CommonOptions
from orograph.train.recipe import Recipe


def _training() -> Recipe:
    return Recipe(epochs=20, batch_size=100, lr=0.1, weight_decay=1e-3, schedule="hold-decay", measure_every=20)


def _paper(data: str, model: str, widths: tuple[int, ...], standard: int, decay: float, lr: float) -> dict[str, Any]:
    augmented = {"crop": 4, "flip": True, "precision": "auto", "measure_every": 200}
    train = {"epochs": 200, "batch_size": 128, "lr": lr, "weight_decay": decay, **augmented}
    multipliers = tuple(width / standard for width in widths)
    return {"data": data, "model": model, "model_options": (), "widths": multipliers, "train": train}


_VGG = (6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181)
_WIDE = (20, 28, 40, 57, 80, 113, 160, 226, 320, 453)


@dataclass(frozen=True)
class PowerLaws(CommonOptions):
    """Calibrated NLL against ensemble size and width; forecasts; the memory split (Lobacheva et al. 2020)."""

    model: str = "mlp"
    """A network's name, or package.module:factory; it must take an option width."""
    widths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    """Values of the network's option width, ascending."""
    replicas: int = 24
    """Networks of each width, from initial values of their own."""
    train: Recipe = field(default_factory=_training)
    """How each network is trained, whatever its width."""
    fit_up_to: int = 6
    """The largest ensemble that laws are fitted to."""
    held_out: int = 12
    """So many networks of each width are kept from the fit, which is asked for their ensemble."""
    temperature: Literal["before", "after", "none"] = "before"
    """Where the temperature of the NLL is applied: before or after averaging, or nowhere."""
    block: int = 4
    """Networks that one task trains, one after the other."""
    model_options: tuple[str, ...] | None = None
    """Further options of the network; unset: one hidden layer of 16 where it is an mlp, times the width."""

    batchnorm: ClassVar[str] = "frozen"
    papers: ClassVar[dict[str, dict[str, Any]]] = {
        "vgg-cifar100": _paper("cifar100", "vgg-d", _VGG, 64, 1e-3, 0.05),
        "vgg-cifar10": _paper("cifar10", "vgg-d", _VGG, 64, 3e-4, 0.05),
        "wrn-cifar100": _paper("cifar100", "wrn-28-10", _WIDE, 160, 3e-4, 0.1),
        "wrn-cifar10": _paper("cifar10", "wrn-28-10", _WIDE, 160, 3e-4, 0.1),
    }

    def network_options(self) -> tuple[str, ...]:
        unset = ("hidden=[16]",) if self.model == "mlp" else ()
        return unset if self.model_options is None else self.model_options

    def __post_init__(self) -> None:
        if len(self.widths) < 1 or list(self.widths) != sorted(set(self.widths)) or self.widths[0] <= 0:
            raise UsageError(f"widths are numbers above 0, ascending, not {self.widths}")
        self.require_at_least(1, "block")
        if self.fit_up_to < 4:
            raise UsageError(f"a law needs ensembles of at least four sizes: fit_up_to from 4, not {self.fit_up_to}")
        if self.held_out < 1 or self.replicas - self.held_out < self.fit_up_to:
            raise UsageError(
                f"{self.replicas} replicas with {self.held_out} held out leave too few for ensembles of "
                f"{self.fit_up_to}; hold out fewer or train more"
            )
        if self.held_out <= self.fit_up_to:
            raise UsageError(
                f"a law fitted up to {self.fit_up_to} networks is asked for more of them: held_out above "
                f"{self.fit_up_to}, not {self.held_out}"
            )
        if any(option.partition("=")[0] == "width" for option in self.network_options()):
            raise UsageError("the width is varied by widths; leave it out of model_options")
        self.require_descent("train")
