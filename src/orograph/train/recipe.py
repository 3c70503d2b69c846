"""Every training option, as plain values: what a study varies, the command line offers and a run records.

The fields become flags through tyro, so this module imports no torch and each field carries its one-line help.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from orograph.basics.errors import UsageError, nearest
from orograph.basics.scales import check_scale

Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "step", "cosine", "linear", "one-cycle", "hold-decay"]
# The same words as orograph.basics.numerics.Precision, which cannot be imported without torch.
Precision = Literal["float32", "tf32", "bf16", "float64"]
Direction = Literal["descend", "climb"]


@dataclass(frozen=True)
class Recipe:
    """How to train. Times are in epochs, and fractions of an epoch are allowed everywhere.

    Raises
    ------
    UsageError
        A value is out of range or unknown, or two options exclude each other; one line names the option.
    """

    epochs: float = 10
    """Passes over the training examples; 0.2 is a fifth of the steps of one."""
    batch_size: int = 128
    """Examples in one step. A remainder of one example joins the batch before it."""
    optimizer: Optimizer = "sgd"
    """Stochastic gradient descent with momentum, or Adam with L2 (adam) or decoupled (adamw) weight decay."""
    lr: float = 0.05
    """The highest learning rate of the schedule."""
    momentum: float = 0.9
    """Momentum of sgd; adam and adamw have betas instead."""
    nesterov: bool = False
    """Nesterov's form of momentum (sgd only)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of adam's and adamw's first and second moments."""
    eps: float = 1e-8
    """Added to the denominator of adam and adamw."""
    weight_decay: float = 5e-4
    """Strength of weight decay (the gradient of wd/2 |w|^2)."""
    decay_norm_and_bias: bool = True
    """Whether weight decay also pulls on norm layers, biases and other one-dimensional parameters."""
    bias_lr: float = 1.0
    """Factor on the learning rate of biases and other parameters of fewer than two dimensions, norm layers aside."""
    schedule: Schedule = "cosine"
    """How the learning rate runs, step by step, after the warm-up."""
    warmup: float = 0.0
    """Epochs of linear rise to lr before the schedule; for one-cycle the length of its own rise (0: 30%)."""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """Fractions of the run at which the step schedule multiplies lr by gamma."""
    gamma: float = 0.1
    """Factor of the step schedule."""
    clip_norm: float | None = None
    """Longest gradient; longer ones are shortened to it."""
    clip_value: float | None = None
    """Largest absolute value of any entry of the gradient."""
    label_smoothing: float = 0.0
    """Share of the target spread evenly over all classes (cross-entropy only; never when measuring)."""
    crop: int = 0
    """Augmentation: random crop after padding by this many pixels."""
    flip: bool = False
    """Augmentation: mirror left to right at random."""
    cutout: int = 0
    """Augmentation: side in pixels of a square set to the mean at random."""
    scale: tuple[int, int] | None = None
    """Augmentation: lowest and highest length in pixels of the shorter side, drawn for each image; needs crop_to."""
    crop_to: int = 0
    """Augmentation: random crop inside the (rescaled) image, of this side in pixels: the size the network is for."""
    colour: float = 0.0
    """Augmentation: strength of a random colour added to the whole image, in the data's own spread; 0.1 in VGG."""
    precision: Precision | Literal["auto"] = "float32"
    """bf16 is autocast over float32 weights; float64 changes the network itself; auto: bf16 where it has units."""
    direction: Direction = "descend"
    """climb trains towards the lowest accuracy, with the loss -log(1 - p_y)."""
    measure_every: float = 1.0
    """Epochs between measurements (test loss and accuracy, norms); the start and the end are always measured."""
    checkpoints: tuple[float, ...] = ()
    """Epochs at which the weights are kept, besides the start and the end."""
    checkpoint_accuracies: tuple[float, ...] = ()
    """Test accuracies at whose first measurement (at or above; at or below in a climb) the weights are kept."""
    stop_at_accuracy: float | None = None
    """End at the first measurement with this test accuracy or more (or less, in a climb)."""

    def __post_init__(self) -> None:
        for name, known in (
            ("optimizer", Optimizer),
            ("schedule", Schedule),
            ("direction", Direction),
        ):
            _one_of(name, getattr(self, name), get_args(known))
        _one_of("precision", self.precision, ("auto", *get_args(Precision)))
        _within("epochs", self.epochs, 0)
        _whole("batch_size", self.batch_size, 1)
        _within("lr", self.lr, 0)
        _within("momentum", self.momentum, 0, 1, open_above=True)
        _require(len(self.betas) == 2, f"betas needs two numbers, not {len(self.betas)}")
        for beta in self.betas:
            _within("betas", beta, 0, 1, open_above=True)
        _positive("eps", self.eps)
        _within("weight_decay", self.weight_decay, 0)
        _within("bias_lr", self.bias_lr, 0)
        _within("warmup", self.warmup, 0, self.epochs)
        for milestone in self.milestones:
            _within("milestones", milestone, 0, 1)
        _require(list(self.milestones) == sorted(self.milestones), "milestones must rise, e.g. 0.5 0.75")
        _positive("gamma", self.gamma)
        for name in ("clip_norm", "clip_value"):
            if getattr(self, name) is not None:
                _positive(name, getattr(self, name), " or left out, which means no clipping")
        _within("label_smoothing", self.label_smoothing, 0, 1, open_above=True)
        _whole("crop", self.crop, 0)
        _whole("cutout", self.cutout, 0)
        _whole("crop_to", self.crop_to, 0)
        check_scale(self.scale, self.crop_to, self.crop)
        _within("colour", self.colour, 0)
        _positive("measure_every", self.measure_every)
        for epoch in self.checkpoints:
            _within("checkpoints", epoch, 0, self.epochs)
        for accuracy in self.accuracies:
            _within("stop_at_accuracy and checkpoint_accuracies", accuracy, 0, 1)
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        both = self.clip_norm is not None and self.clip_value is not None
        _require(not both, "clip_norm and clip_value exclude each other; give one")
        _require(not self.nesterov or self.optimizer == "sgd", f"nesterov is for sgd, not {self.optimizer}")
        _require(not self.nesterov or self.momentum > 0, "nesterov needs momentum above 0")
        smooth = self.label_smoothing > 0
        _require(not (smooth and self.direction == "climb"), "label_smoothing has no meaning in a climb; leave it out")

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Every test accuracy that something waits for."""
        stop = () if self.stop_at_accuracy is None else (self.stop_at_accuracy,)
        return (*self.checkpoint_accuracies, *stop)

    @property
    def augments(self) -> bool:
        """Whether training images are varied at random."""
        return bool(self.crop or self.flip or self.cutout or self.crop_to or self.colour)

    @property
    def middle_scale(self) -> int | None:
        """The scale that test images are measured at, halfway between the two; None: their own."""
        return None if self.scale is None else sum(self.scale) // 2

    def reached(self, accuracy: float, target: float) -> bool:
        """Whether a measured ``accuracy`` is at ``target`` or beyond it, in this recipe's direction."""
        return accuracy <= target if self.direction == "climb" else accuracy >= target


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def _one_of(name: str, value: Any, known: Sequence[str]) -> None:
    _require(value in known, f"unknown {name} {value!r}{nearest(str(value), known)}; use one of {', '.join(known)}")


def _within(name: str, value: float, low: float, high: float = math.inf, *, open_above: bool = False) -> None:
    _require(_is_number(value), f"{name} must be a finite number, not {value!r}")
    fits = low <= value < high if open_above else low <= value <= high
    span = f"at least {low:g}" if high == math.inf else f"from {low:g} to {'below ' * open_above}{high:g}"
    _require(fits, f"{name} must be {span}, not {value:g}")


def _positive(name: str, value: float, alternative: str = "") -> None:
    _require(_is_number(value) and value > 0, f"{name} must be above 0{alternative}, not {value!r}")


def _whole(name: str, value: Any, low: int) -> None:
    _require(isinstance(value, int) and value >= low, f"{name} must be a whole number, at least {low}, not {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
