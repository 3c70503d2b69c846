"""What tests of a training say that are no findings by themselves: single numbers, the losses of a run, and the range
of learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.basics.words import counted
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
class LossCurve(Result):
    """``losses`` (T,) of a run, step by step; NaN or infinite where it broke down."""

    losses: NDArray[np.float64]

    title: ClassVar[str] = "losses"

    @property
    def broken(self) -> int | None:
        """The first step whose loss is not finite, None for none."""
        bad = np.flatnonzero(~np.isfinite(self.losses))
        return int(bad[0]) if len(bad) else None

    @property
    def broken_words(self) -> str:
        """Where the loss ceases to be finite, empty where it does not."""
        if self.broken is None:
            return ""
        what = "NaN" if np.isnan(self.losses[self.broken]) else "infinite"
        return f"{what} {'from' if not np.isfinite(self.losses[self.broken :]).any() else 'in'} step {self.broken}"

    def summary(self) -> str:
        finite = np.flatnonzero(np.isfinite(self.losses))
        words = [counted(len(self.losses), "step")]
        if len(finite):
            first, last = self.losses[finite[0]], self.losses[finite[-1]]
            later = f", {last:.4g} in step {finite[-1]}" if len(finite) > 1 else ""
            words.append(f"loss {first:.4g} at first{later}")
        return "; ".join([*words, self.broken_words] if self.broken_words else words)


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

    @property
    def ceiling(self) -> float:
        """A little above the first level of the loss: one curve that explodes would flatten all that lies below."""
        first = self.losses[:, : max(len(self.rates) // 4, 1)]
        finite, early = self.losses[np.isfinite(self.losses)], first[np.isfinite(first)]
        if not early.size:
            return math.inf
        level = float(early.max())
        return level + max(0.3 * (level - float(finite.min())), 0.05 * abs(level))

    def compared(self) -> Comparison:
        """The losses up to :attr:`ceiling` as curves, the suggestions as points, the rate in use as an upright line."""
        top = self.ceiling
        shown = np.where(self.losses <= top, self.losses, np.nan)
        cut = bool((self.losses[np.isfinite(self.losses)] > top).any())
        curves = {f"order {n}": Series(self.rates, row[None]) for n, row in enumerate(shown, start=1)}
        marks = {"in use": self.lr} if math.isfinite(self.lr) and self.lr > 0 else {}
        for name, rate in (("valley", self.valley), ("steepest", self.steepest), ("lowest / 10", self.tenth)):
            if not (math.isfinite(rate) and rate > 0):
                continue
            heights = [float(np.interp(math.log(rate), np.log(self.rates), row)) for row in shown]
            height = next(filter(math.isfinite, heights), math.nan)
            if math.isnan(height):  # no curve is drawn there
                marks[name] = rate
            else:
                curves[name] = Series(np.array([rate]), np.array([[height]]), joined=False)
        return Comparison(
            across="learning rate",
            quantities=("smoothed loss" + (f", cut above {top:.3g}" if cut else ""),),
            series=curves,
            logarithmic=("learning rate",),
            marks=marks,
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
