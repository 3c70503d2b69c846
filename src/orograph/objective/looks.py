"""Which views of an image a network is shown under a test protocol, and what it makes of all of them together.

Source: K. Simonyan and A. Zisserman, Very deep convolutional networks for large-scale image recognition (ICLR 2015),
section 3.2; see :mod:`orograph.objective.views` for the equations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from orograph.basics.errors import ModelError
from orograph.data import rescaled
from orograph.data.scaling import grid_places, window
from orograph.objective.criterion import logits_of

Protocol = Literal["centre-crop", "ten-crop", "multi-crop", "dense"]
VIEWS: dict[str, int] = {"centre-crop": 1, "ten-crop": 10, "multi-crop": 50, "dense": 2}
# Grids of crops from corner to corner: one of 2 x 2 is the corners, one of a single crop is the centre.
_GRIDS: dict[str, tuple[int, ...]] = {"centre-crop": (1,), "ten-crop": (2, 1), "multi-crop": (5,)}


@dataclass(frozen=True)
class Looks:
    """Which views of an image a network is shown: a protocol, scales Q and the side of crops (None: whole images)."""

    protocol: Protocol
    scales: tuple[int, ...]
    crop: int | None

    @property
    def count(self) -> int:
        """The number of views of an image."""
        return VIEWS[self.protocol] * len(self.scales)

    def of(self, images: Tensor) -> Iterator[Tensor]:
        """The views of (n, channels, height, width) images one after the other, each for all images at once."""
        for scale in self.scales:
            larger = rescaled(images, scale)
            for view in self._windows(larger):
                yield view
                if self.protocol != "centre-crop":
                    yield view.flip(3)

    def _windows(self, images: Tensor) -> list[Tensor]:
        if self.crop is None:
            return [images]
        height, width = images.shape[2:]
        places = [place for steps in _GRIDS[self.protocol] for place in grid_places(height, width, self.crop, steps)]
        return [window(images, place, self.crop) for place in places]


def log_probabilities(network: Callable[[Tensor], Any], images: Tensor, looks: Looks) -> Tensor:
    """(n, classes) logarithms of the class probabilities averaged over all views, float64 on the CPU.

    Logarithms, for a probability that is too small for a float64 would tie with the others of its kind.
    """
    total: Tensor | None = None
    for view in looks.of(images):
        found = torch.log_softmax(_class_scores(network, view, looks.protocol).cpu().double(), 1)
        total = found if total is None else torch.logaddexp(total, found)
    assert total is not None
    return total - math.log(looks.count)


def _class_scores(network: Callable[[Tensor], Any], view: Tensor, protocol: Protocol) -> Tensor:
    """(n, classes) logits; a map of them is averaged over its positions."""
    size = "x".join(map(str, view.shape[2:]))
    try:
        output = logits_of(network(view))
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        remedy = (
            "dense needs a fully convolutional network; for others use centre-crop, ten-crop or multi-crop with crop="
            if protocol == "dense"
            else "give crop="
        )
        raise ModelError(
            f"the network fails on images of {size} pixels ({reason}); {remedy} the size it was built for"
        ) from error
    if output.dim() < 2 or len(output) != len(view):
        raise ModelError(
            f"the network's output for {len(view)} images of {size} pixels has shape {tuple(output.shape)}; "
            "expected (n, classes), or a map (n, classes, rows, columns)"
        )
    return output.flatten(2).mean(2) if output.dim() > 2 else output
