"""The write-up's configurations: which net begins how, at which learning rate, and clipped to what.

A standard deviation s of full width becomes s sqrt(1 / width). A ReLU layer of 3x3 kernels and c channels multiplies
the spread of what passes by s sqrt(9 c / 2): fewer channels with the same s would test another initialisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from orograph.studies.vgg_from_scratch.options import VggFromScratch


@dataclass(frozen=True)
class Start:
    """Initial values: ``form`` is a scheme's name with ``{}`` for the number ``std`` (of full width, None for none).

    With ``transplanted`` the outer layers are those of a trained A, and the scheme draws the others.
    """

    form: str
    words: str
    std: float | None = None
    transplanted: bool = False

    def scheme(self, width: float) -> str:
        """The name for :func:`orograph.initialize.apply`, in a net of this width."""
        return self.form if self.std is None else self.form.format(f"{scaled(self.std, width):.6g}")

    @property
    def name(self) -> str:
        """As it stands in tables and figures."""
        return self.words if self.std is None else self.words.format(f"{self.std:g}")


@dataclass(frozen=True)
class Arm:
    """One configuration of one net."""

    net: str
    start: Start
    lr: float
    clip: float | None = None

    @property
    def name(self) -> str:
        """As it stands in tables and tasks."""
        clipped = "" if self.clip is None else f", clipped to {self.clip:g}"
        return f"{self.net}: {self.start.name}, lr {self.lr:g}{clipped}"


GLOROT = Start("glorot-uniform", "Glorot everywhere")
HE = Start("he-normal", "He everywhere")
GRAFTED = Start("glorot-uniform", "ends of a trained A, Glorot rest", transplanted=True)
_ENDS = "ends-glorot({})", "Glorot ends, N(0, {}) between"


def scaled(std: float, width: float) -> float:
    """A full-width standard deviation for a net of this width."""
    return std * math.sqrt(1 / width)


def normal(options: VggFromScratch) -> Start:
    """One normal distribution everywhere."""
    return Start("normal({})", "N(0, {}) everywhere", options.normal)


def grafted_normal(options: VggFromScratch) -> Start:
    """The ends of a trained A, and a normal distribution between."""
    return Start("normal({})", "ends of a trained A, N(0, {}) rest", options.normal, transplanted=True)


def between(std: float) -> Start:
    """Glorot ends with a normal distribution between, document 003's recipe."""
    return Start(*_ENDS, std)


def arms(options: VggFromScratch) -> tuple[Arm, ...]:
    """All configurations, each once."""
    lr, clips = options.train.lr, (None, *options.clips)
    found = [Arm(net, start, lr) for start in (normal(options), GLOROT) for net in ("A", "B", "D")]
    starts = [between(std) for std in (options.small_middle, options.own_middle, options.middle)]
    starts += [HE, GRAFTED, grafted_normal(options)]
    found += [Arm(net, start, lr) for start in starts for net in ("B", "D")]
    found += [Arm(net, between(options.large_middle), lr, clip) for net in ("B", "D") for clip in clips]
    found += [Arm("D", HE, options.high_lr, clip) for clip in clips]
    return tuple(dict.fromkeys(found))
