"""What tests of a training say that are no findings by themselves: single numbers, and the range of learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.comparison import Comparison, Series
from orograph.results.result import Result, record


@record
@dataclass(frozen=True)
class Signal:
    """One measurement: ``what`` it is, its ``value`` (NaN where it could not be taken), what is ``usual`` in networks
    that train, and a ``reading`` in words."""

    what: str
    value: float
    usual: str = ""
    reading: str = ""

    def __str__(self) -> str:
        usual = f" (usual: {self.usual})" if self.usual else ""
        return f"{self.what}: {self.value:.4g}{usual}{f'; {self.reading}' if self.reading else ''}"


@dataclass(frozen=True, eq=False, kw_only=True)
class RateRange(Result):
    """Losses while the learning rate rises geometrically, from the same weights in several orders of the batches.

    Attributes
    ----------
    rates : (K,); losses : (R, K) for R orders, smoothed, NaN after a run was ended
    lr : the rate in use, NaN for none
    steepest, valley, tenth : where the loss falls fastest, two thirds along its longest fall, and a tenth of the rate
        of the lowest loss, which lies nearest to what is used in practice; each the geometric mean over orders, NaN
        where the range is flat (Smith 2017, "Cyclical learning rates for training neural networks")
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    lr: float = float("nan")
    steepest: float = float("nan")
    valley: float = float("nan")
    tenth: float = float("nan")

    title: ClassVar[str] = "learning-rate range"

    @property
    def flat(self) -> bool:
        """Whether no rate lowered the loss by more than its noise."""
        return math.isnan(self.valley)

    def compared(self) -> Comparison:
        """The losses as curves, with the suggestions and the rate in use as points."""
        curves = {f"order {n}": Series(self.rates, row[None]) for n, row in enumerate(self.losses, start=1)}
        points = {"valley": self.valley, "steepest": self.steepest, "lowest / 10": self.tenth, "in use": self.lr}
        for name, rate in points.items():
            if math.isfinite(rate) and rate > 0:
                height = np.interp(math.log(rate), np.log(self.rates), self.losses[0])
                curves[name] = Series(np.array([rate]), np.array([[height]]), joined=False)
        return Comparison(
            across="learning rate",
            quantities=("training loss, smoothed",),
            series=curves,
            logarithmic=("learning rate",),
            provenance=self.provenance,
        )

    def summary(self) -> str:
        if self.flat:
            return "no learning rate of the range lowers the loss by more than its noise"
        used = f"; in use: {self.lr:.2g}" if math.isfinite(self.lr) else ""
        return (
            f"learning rates: valley {self.valley:.2g}, steepest {self.steepest:.2g}, a tenth of the lowest loss's "
            f"{self.tenth:.2g}{used}"
        )
