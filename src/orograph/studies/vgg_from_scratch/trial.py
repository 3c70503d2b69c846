"""What one training of the study left: how it came out, and what its layers looked like at the start and early on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from orograph.results.result import Result

Ending = Literal["learns", "one class", "diverged", "between"]
# Of a layer: its outputs, the largest entry of its gradient, the dead units of the activation behind it, and the
# share of its outputs' spread that lies between images.
QUANTITIES = ("std of outputs", "largest gradient", "dead units (share)", "r, between images")


@dataclass(frozen=True, eq=False, kw_only=True)
class FromScratch(Result):
    """One net trained from one start.

    Attributes
    ----------
    name : the configuration; scheme : the scheme that drew what was not transplanted, with its real numbers
    layers : (L,) names of the layers with weights, in the order in which they run
    drawn : (L,) standard deviation of each layer's weights before the first step
    copied : names of the layers that were transplanted
    start, early : (4, L) :data:`QUANTITIES` before the first step and after some; NaN where that was not reached
    accuracy, most : of the test images, and the share of their most frequent class
    top, ratio : largest share of one predicted class, and r of the logits, on the test images
    diverged : whether the loss or the weights were no longer finite; then the four figures above are of no network
    """

    name: str
    scheme: str
    layers: tuple[str, ...]
    drawn: NDArray[np.float64]
    copied: tuple[str, ...]
    start: NDArray[np.float64]
    early: NDArray[np.float64]
    accuracy: float
    most: float
    top: float
    ratio: float
    diverged: bool

    title: ClassVar[str] = "trial"

    def learns(self, margin: float) -> bool:
        """Whether it makes up for a share ``margin`` of what calling the most frequent class leaves wrong."""
        return not self.diverged and self.accuracy > self.most + margin * (1 - self.most)

    def ending(self, margin: float, one_class: float) -> Ending:
        """How it came out, in a word; ``one_class`` is the share of one answer from which all counts as one."""
        if self.diverged:
            return "diverged"
        if self.learns(margin):
            return "learns"
        return "one class" if self.top >= one_class else "between"

    @property
    def floor(self) -> float:
        """The smallest over layers of the largest entry of a weight's gradient, before the first step."""
        return float(np.nanmin(self.start[1])) if np.isfinite(self.start[1]).any() else float("nan")

    def summary(self) -> str:
        if self.diverged:
            return f"{self.name}: diverged"
        return f"{self.name}: test accuracy {self.accuracy:.4f}, {self.top:.0%} of the answers one class"
