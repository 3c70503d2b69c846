"""The options of ``transformer-warmup``. Imports no torch, so that its flags are listed at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from orograph.basics.errors import UsageError
from orograph.studies.common_options import CommonOptions
from orograph.train.recipe import Recipe

_OURS = ("transformer", "transformer-pre")


def _training() -> Recipe:
    return Recipe(
        epochs=0.45, warmup=0.09, optimizer="adam", betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0, schedule="linear"
    )


@dataclass(frozen=True)
class TransformerWarmup(CommonOptions):
    """A post-norm transformer with warm-up, without, and from learned scales, by Adam and SGD (Zhu et al. 2021)."""

    data: str = "copy-reverse"
    """Sentences and translations: copy-reverse, multi30k, a folder of text in two languages, or your own."""
    model: str = "transformer"
    """A network's name, or package.module:factory; its own initial values are the base."""
    layers: int = 6
    """Layers of the encoder, and as many of the decoder."""
    dimension: int = 64
    """Of every position's state."""
    heads: int = 4
    """Of each attention."""
    dropout: float = 0.0
    """Share of entries dropped in training."""
    train_size: int | None = 10_000
    """Use only this many training sentences."""
    test_size: int | None = 300
    """Use only this many test sentences."""
    batch_tokens: int = 300
    """Positions of the translations in one batch, padding included."""
    repeats: int = 3
    """How often everything is repeated, from other initial values."""
    train: Recipe = field(default_factory=_training)
    """How Adam trains; its warm-up is that of the reference, all other arms have none. SGD shares the schedule."""
    rates: tuple[float, ...] = (0.003, 0.004)
    """Learning rates of Adam."""
    sgd_rates: tuple[float, ...] = (0.08, 0.1)
    """Learning rates of SGD with momentum; none given leaves SGD out."""
    iterations: int = 60
    """Iterations of GradInit."""
    scale_lr: float = 0.05
    """Learning rate of GradInit's scales."""
    gamma: float | None = 1000.0
    """Longest gradient of Adam's GradInit, a sum of absolute values; none: 0.1 / lookahead_lr, the paper's rule."""
    lookahead_lr: float = 1e-3
    """Rate of the step of Adam that GradInit looks ahead by; SGD's is its lowest rate."""
    plateau: float = 0.95
    """A run has plateaued whose final training loss is above this share of the words' entropy."""
    sentences: int = 50
    """Test sentences that are translated for BLEU."""

    papers: ClassVar[dict[str, dict[str, Any]]] = {
        # The shape and schedule of the published translation runs, on the small set that is read here.
        "iwslt-shape-multi30k": {
            "data": "multi30k", "layers": 6, "dimension": 512, "heads": 4, "dropout": 0.1, "batch_tokens": 4000,
            "train_size": None, "test_size": None, "repeats": 4, "rates": (5e-4, 1e-3, 2e-3), "iterations": 780,
            "scale_lr": 2.5e-3, "sentences": 1000,
            "train": {"epochs": 30, "warmup": 5, "label_smoothing": 0.1, "schedule": "linear"},
        },
    }  # fmt: skip

    def __post_init__(self) -> None:
        self.require_at_least(1, "repeats", "layers", "heads", "batch_tokens", "iterations", "sentences")
        self.require_descent("train")
        for name in ("rates", "sgd_rates"):
            rates = getattr(self, name)
            if list(rates) != sorted(set(rates)) or not all(0 < rate < math.inf for rate in rates):
                raise UsageError(f"{name} are learning rates above 0, rising, each once, not {rates}")
        if not self.rates:
            raise UsageError("rates needs one learning rate of Adam at least")
        if self.train.optimizer == "sgd":
            raise UsageError("train is for adam or adamw; the rates of SGD are --sgd-rates")
        if self.train.schedule == "one-cycle" or not 0 < self.train.warmup < self.train.epochs:
            raise UsageError("train.warmup is that of the reference: above 0 and below train.epochs, and no one-cycle")
        if not 0 < self.plateau <= 1:
            raise UsageError(f"plateau is a share of the entropy, above 0 and at most 1, not {self.plateau}")
        for name in ("scale_lr", "lookahead_lr", "gamma"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be above 0, not {value}")

    def network_options(self) -> tuple[str, ...]:
        if self.model not in _OURS:
            return self.model_options or ()
        shape = (f"layers={self.layers}", f"dimension={self.dimension}", f"heads={self.heads}")
        return (*shape, f"dropout={self.dropout}", *(self.model_options or ()))

    def reading_options(self) -> dict[str, Any]:
        return {"batch_tokens": self.batch_tokens}

    def rates_of(self, optimizer: str) -> tuple[float, ...]:
        """The grid of ``adam`` or ``sgd``."""
        return self.sgd_rates if optimizer == "sgd" else self.rates

    @property
    def optimizers(self) -> tuple[str, ...]:
        """Those that have rates."""
        return ("adam", "sgd") if self.sgd_rates else ("adam",)
