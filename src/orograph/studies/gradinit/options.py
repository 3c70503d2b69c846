"""The options of ``gradinit``. Imports no torch, so that its flags are listed at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from orograph.basics.errors import UsageError
from orograph.studies.common_options import CommonOptions
from orograph.train.recipe import Recipe


def _training() -> Recipe:
    return Recipe(epochs=10, batch_size=64, lr=0.05, weight_decay=1e-4, schedule="cosine")


def _paper(network: str, scale_lr: float, iterations: int = 390, **training: Any) -> dict[str, Any]:
    train = {"epochs": 200, "batch_size": 128, "lr": 0.1, "weight_decay": 1e-4, "schedule": "cosine", "crop": 4,
             "flip": True, "cutout": 16, **training}  # fmt: skip
    return {
        "data": "cifar10", "networks": (network,), "repeats": 4, "train": train, "iterations": iterations,
        "scale_lr": scale_lr, "metainit_iterations": iterations, "published_control": True, "beyond": False,
    }  # fmt: skip


@dataclass(frozen=True)
class GradInit(CommonOptions):
    """Learned initial scales against their base, equal compute and simpler scales (Zhu et al. 2021, Table 3)."""

    model: str = ""
    """One network in place of networks: a name, name(option=value, …), or package.module:factory."""
    networks: tuple[str, ...] = (
        "vgg-a(width=0.25, head=0)",
        "vgg-a-bn(width=0.25, head=0)",
        "resnet20-nobn(width=0.5)",
        "resnet20(width=0.5)",
    )
    """The networks, each with options of its own in brackets."""
    repeats: int = 3
    """How often everything is repeated, from other initial values; verdicts need at least two."""
    train: Recipe = field(default_factory=_training)
    """How every arm is trained after its start."""
    clip_plain: float | None = 1.0
    """Longest gradient in training networks without batch norm; none: as train says."""
    iterations: int = 40
    """Iterations of GradInit."""
    scale_lr: float = 0.03
    """Learning rate of GradInit's scales."""
    metainit: Literal["gradinit", "paper"] = "gradinit"
    """MetaInit as GradInit's authors ran it, or as its own paper says."""
    metainit_iterations: int | None = 20
    """Iterations of MetaInit; none: as many as its variant says (500, or one pass over the data)."""
    published_control: bool = False
    """Part: the published controls too, of one further epoch, however much GradInit costs."""
    gradient_batches: int = 20
    """Batches over which the variance of gradients is taken."""
    beyond: bool = True
    """Part: GradInit on an autoencoder and on both networks of a GAN; needs images."""
    autoencoder_epochs: float = 10.0
    """Epochs of the autoencoder."""
    gan_epochs: float = 20.0
    """Epochs of the GAN."""

    papers: ClassVar[dict[str, dict[str, Any]]] = {
        "vgg19-nobn": _paper("vgg-e(head=0, dropout=0)", 1e-2),
        "vgg19": _paper("vgg-e-bn(head=0, dropout=0)", 1e-1),
        "resnet110-nobn": _paper("resnet110-nobn", 5e-2, bias_lr=0.1),
        "resnet110": _paper("resnet110", 1e-3),
        # The scale rate of this one is not known to us; it is that of its shallower sister.
        "resnet1202": _paper("resnet1202", 1e-3),
    }

    def __post_init__(self) -> None:
        self.require_at_least(1, "repeats", "iterations", "metainit_iterations")
        self.require_at_least(2, "gradient_batches")
        if not self.names or len(set(self.names)) < len(self.names):
            raise UsageError("networks are one or more, each once")
        for name in self.names:
            parted(name)
        if not self.scale_lr > 0:
            raise UsageError(f"scale_lr must be above 0, not {self.scale_lr}")
        if self.clip_plain is not None and not self.clip_plain > 0:
            raise UsageError(f"clip_plain must be above 0, or none, not {self.clip_plain}")
        if self.train.epochs < 1 or abs(1 / self.train.measure_every - round(1 / self.train.measure_every)) > 1e-9:
            raise UsageError("the accuracy after the first epoch is wanted: train.epochs must be at least 1, and "
                             "train.measure_every 1 or a whole fraction of it")  # fmt: skip
        if self.train.optimizer != "sgd":
            raise UsageError(f"gradinit trains by sgd here, not {self.train.optimizer}; see transformer-warmup")
        if not (self.autoencoder_epochs > 0 and self.gan_epochs > 0):
            raise UsageError("autoencoder_epochs and gan_epochs must be above 0; leave both out with --no-beyond")
        self.require_descent("train")

    @property
    def names(self) -> tuple[str, ...]:
        """The networks as they were given."""
        return (self.model,) if self.model else self.networks

    def network_name(self) -> str:
        return parted(self.names[0])[0]

    def network_options(self) -> tuple[str, ...]:
        return (*parted(self.names[0])[1], *(self.model_options or ()))

    def of(self, name: str) -> GradInit:
        """The same study of one of its networks alone."""
        return replace(self, model=name)


def parted(name: str) -> tuple[str, tuple[str, ...]]:
    """``vgg-a(width=0.25, head=0)`` as ``("vgg-a", ("width=0.25", "head=0"))``. Raises UsageError for open brackets."""
    found = re.fullmatch(r"([^()]+)(?:\(([^()]*)\))?", name.strip())
    if found is None:
        raise UsageError(f"a network is a name or name(option=value, …), not {name!r}")
    words = tuple(word.strip() for word in (found[2] or "").split(",") if word.strip())
    return found[1].strip(), words
