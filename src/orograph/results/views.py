"""How often a classifier is wrong under a test protocol: one look at each image, or the average of many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.basics.errors import UsageError
from orograph.results.result import Result
from orograph.results.scores import Estimate

TOP = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class Views(Result):
    """Errors of one network over N examples, whose class scores are averaged over several views of each image.

    Errors of different protocols, scales or crops are not comparable: the same network gains several points from the
    better ones. ``protocol_name`` says all that belongs to a figure.

    Attributes
    ----------
    protocol : "centre-crop", "ten-crop", "multi-crop" or "dense"
    scales : lengths of the shorter side in pixels; crop : side of the crops in pixels, None for whole images
    views : passes through the network for each example
    classes : number of classes K
    top1 : share of the examples whose class is not strictly above all others, with its standard error
    top5 : share of those with 5 or more other classes that reach their class; NaN for 5 classes or fewer, where no
        answer could be wrong
    rank : (N,) number of other classes that reach the example's own, 0 (right) to K - 1; a tie is one that reaches it,
        and so is a score that is no number
    """

    protocol: str
    scales: tuple[int, ...]
    crop: int | None
    views: int
    classes: int
    top1: Estimate
    top5: Estimate
    rank: NDArray[np.int64]

    title: ClassVar[str] = "views"

    @property
    def protocol_name(self) -> str:
        """Protocol, crop and scales in words: ``ten-crop of 224 at scales 256, 384``."""
        crop = "" if self.crop is None else f" of {self.crop}"
        return f"{self.protocol}{crop} at scale{'s' * (len(self.scales) > 1)} {', '.join(map(str, self.scales))}"

    def better_than(self, other: Views) -> Estimate:
        """The other's top-1 error minus this one's on the same examples; the standard error is that of the pairs.

        Raises UsageError where the examples are not the same.
        """
        same = self.provenance.fingerprint == other.provenance.fingerprint
        if len(self.rank) != len(other.rank) or not same:
            raise UsageError("errors are compared in pairs on the same examples, and these are of different ones")
        return share((other.rank > 0).astype(np.float64) - (self.rank > 0))

    def summary(self) -> str:
        top5 = f"top-5 error {self.top5}" if self.classes > TOP else f"no top-5 error of {self.classes} classes"
        return (
            f"{self.protocol_name}: top-1 error {self.top1}, {top5} ({len(self.rank):,} examples, {self.views} "
            f"view{'s' * (self.views > 1)} of each)"
        )


def errors_of(rank: NDArray[np.int64], classes: int) -> tuple[Estimate, Estimate]:
    """Top-1 and top-5 error from the ranks (N,) of :class:`Views`."""
    top5 = share(rank >= TOP) if classes > TOP else Estimate(math.nan, math.nan)
    return share(rank > 0), top5


def share(values: NDArray[np.bool_] | NDArray[np.float64]) -> Estimate:
    """The mean of (N,) values and its standard error, s / sqrt(N); NaN for a single one."""
    wide = values.astype(np.float64)
    se = float(wide.std(ddof=1) / math.sqrt(len(wide))) if len(wide) > 1 else math.nan
    return Estimate(float(wide.mean()), se)
