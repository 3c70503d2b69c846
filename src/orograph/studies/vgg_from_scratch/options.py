"""The options of ``vgg-from-scratch``. Imports no torch, so that its flags are listed at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from orograph.basics.errors import UsageError
from orograph.studies.common_options import CommonOptions
from orograph.train.recipe import Recipe


def _training() -> Recipe:
    return Recipe(epochs=13, batch_size=64, lr=0.01, schedule="constant", measure_every=3.0, precision="auto")


@dataclass(frozen=True)
class VggFromScratch(CommonOptions):
    """VGG-A, B and D from many initial values, narrow and on small images (after a write-up of training them all).

    Standard deviations are those of full width; a net of a ``width`` w draws with them times sqrt(1 / w).
    """

    model: str = "orograph.studies.vgg_from_scratch.networks:vgg"
    """A factory with options configuration (A, B or D), width and side."""
    width: float = 0.125
    """Channels of the nets, as a share of the paper's."""
    side: int = 32
    """Images whose shorter side is below this are enlarged to it by the net's first step."""
    repeats: int = 3
    """Seeds; each repeats everything with other initial values and another data order."""
    train: Recipe = field(default_factory=_training)
    """How each net is trained; clipping and the higher learning rate are the study's own."""
    normal: float = 0.01
    """Standard deviation where a normal distribution is drawn everywhere, or beside transplanted layers."""
    small_middle: float = 0.003
    """Between Glorot ends: a standard deviation that is too small."""
    own_middle: float = 0.01
    """Between Glorot ends: the write-up's."""
    middle: float = 0.03
    """Between Glorot ends: one that suits."""
    large_middle: float = 0.2
    """Between Glorot ends: the write-up's first choice, which explodes."""
    clips: tuple[float, ...] = (0.5, 5.0)
    """Norms that gradients are clipped to, ascending; the first is the one that should save a net from a cliff."""
    high_lr: float = 0.1
    """The learning rate at which D falls off a cliff."""
    source_epochs: float = 20
    """Epochs that A is trained for before its layers are transplanted."""
    early: int = 50
    """Steps after which layers are looked at again."""
    probe: int = 256
    """Training images on which layers are looked at."""
    margin: float = 0.25
    """A net learns that makes up for this share of what the most frequent class leaves wrong."""
    one_class: float = 0.95
    """A net calls one class where so large a share of the test images gets one answer."""

    papers: ClassVar[dict[str, dict[str, Any]]] = {
        "imagenet": {
            "data": "./imagenet",  # pictures of 224 pixels in class folders, which the user must have
            "width": 1.0,
            "side": 224,
            "repeats": 1,
            "source_epochs": 18,
            "train": {"epochs": 15, "batch_size": 256, "flip": True, "colour": 0.1, "precision": "auto"},
        },
    }

    def __post_init__(self) -> None:
        self.require_at_least(1, "repeats", "side", "early")
        for name in ("normal", "small_middle", "own_middle", "middle", "large_middle", "width", "high_lr"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be above 0, not {getattr(self, name):g}")
        if not self.clips or list(self.clips) != sorted(set(self.clips)) or self.clips[0] <= 0:
            raise UsageError(f"clips are norms above 0, ascending and each once, not {self.clips}")
        if self.train.clip_norm is not None or self.train.clip_value is not None:
            raise UsageError("leave train.clip_norm and train.clip_value out; the study clips by --clips")
        if self.probe < 10:
            raise UsageError(f"probe must be at least 10 images, not {self.probe}")
        for name in ("margin", "one_class"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"{name} is a share between 0 and 1, not {getattr(self, name):g}")
        self.require_descent("train")

    def network_options(self) -> tuple[str, ...]:
        """Options that the deepest net is built with."""
        sizes = ("configuration=D", f"width={self.width!r}", f"side={self.side}")
        return (*sizes, *(self.model_options or ()))
