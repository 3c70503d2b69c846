"""What the drawings of ensembles and their laws show: curves, limits and words, for paper and for the screen alike.

Only drawings use this; numpy and the stored arrays are all it needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orograph.basics.words import counted
from orograph.figures.palette import size_colour
from orograph.figures.relief import short
from orograph.figures.scales import amount, log_padded, padded
from orograph.results.power_law import MemorySplit, PowerLaw
from orograph.results.predictions import Predictions

Array = NDArray[np.float64]

FEW_NAMES = 12  # at most so many curves are named in a picture

_X_TITLES = {
    "ensemble size": "ensemble size (networks)",
    "width": "width of one network",
    "parameters": "parameters of one network",
}


# ---- the law ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LawCurve:
    """A law on the X places ``x``, evenly spaced in their logarithm, over all points and forecasts.

    ``y`` (X,) with the ends ``low`` and ``high`` of its 95 % interval (NaN without resamples) and ``fitted`` (X,),
    whether the place is between fitted points; ``across`` and ``up`` the limits of the picture, ``gaps`` those of the
    panel of y - c; ``limit_inside``, whether c is near enough to the points to be drawn.
    """

    x: Array
    y: Array
    low: Array
    high: Array
    fitted: NDArray[np.bool_]
    across: tuple[float, float]
    up: tuple[float, float]
    gaps: tuple[float, float]
    limit_inside: bool


def law_curve(law: PowerLaw) -> LawCurve:
    """Where and over which range a law is drawn."""
    places = np.concatenate([law.x, [forecast.x for forecast in law.forecasts]])
    used = law.x[law.fitted]
    x = np.unique(
        np.concatenate([np.geomspace(places.min(), places.max(), 121), [used.min(), used.max()] if used.size else []])
    )
    y, (low, high) = law.predict(x), law.band(x)
    told = [y, law.y, law.y - np.nan_to_num(law.se), law.y + np.nan_to_num(law.se)]
    told += [np.array([f.predicted, *f.interval, f.predicted if f.measured is None else f.measured], dtype=np.float64)
             for f in law.forecasts]  # fmt: skip
    heights = np.concatenate(told)
    heights = heights[np.isfinite(heights)]
    # A limit or a band far from the points would press them against an edge.
    reach = float(np.ptp(heights)) if heights.size else 0.0
    near = bool(heights.size and law.c >= heights.min() - reach)
    if heights.size:
        band = np.clip(np.concatenate([low, high]), heights.min() - reach, heights.max() + reach)
        heights = np.concatenate([heights, band])
    measured = [f.measured for f in law.forecasts if f.measured is not None]
    gaps = np.concatenate([y, law.y, [f.predicted for f in law.forecasts], measured]) - law.c
    return LawCurve(
        x=x,
        y=y,
        low=low,
        high=high,
        fitted=(x >= used.min()) & (x <= used.max()) if used.size else np.zeros(len(x), dtype=bool),
        across=log_padded(places, 0.06),
        up=padded([*heights, law.c] if near else heights),
        gaps=log_padded(gaps, 0.08),
        limit_inside=near,
    )


def x_title(law: PowerLaw) -> str:
    """What the law's axis counts."""
    return _X_TITLES.get(law.axis, short(law.axis))


def loss_title(temperature: str) -> str:
    """Which loss a law is about, with its unit."""
    return "NLL (nats)" if temperature == "none" else "calibrated NLL (nats)"


def law_words(law: PowerLaw) -> str:
    """c, b and a with their intervals, in short."""
    if not np.isfinite(law.c):
        return "no law: a fitted point is not finite"
    spans = law.intervals()
    words = []
    for name, value in (("c", law.c), ("b", law.b), ("a", law.a)):
        low, high = spans[name]
        words.append(f"{name} = {value:.3g}" + (f" [{low:.3g}, {high:.3g}]" if np.isfinite(low) else ""))
    return ", ".join(words)


def law_warnings(law: PowerLaw) -> list[str]:
    """What a reader must know before believing c and a."""
    found = []
    if law.c_at_bound:
        found.append("c is at a bound: these points do not tell the limit")
    if law.untypical:
        found.append(f"{', '.join(law.untypical)} outside the interval: not typical of the pool")
    if np.isfinite(law.a) and law.unusual:
        found.append("An exponent outside [-2, -0.2] is hardly a power law")
    if law.collapsed and law.without_collapsed is None:
        found.append(f"{counted(len(law.collapsed), 'collapsed network')} in it")
    return found


# ---- the memory split ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SizeCurve:
    """Ensembles of networks of one ``size``: (P,) parameters ``used``, ascending, by ``n`` networks.

    ``measured``, ``se`` and ``predicted`` (P,) are NaN where there is none; ``rows`` (P,) are those of the result, and
    ``single`` (P,) says whether the measured value comes from one group of networks.
    """

    size: int
    colour: str
    rows: NDArray[np.int64]
    n: NDArray[np.int64]
    used: NDArray[np.int64]
    measured: Array
    se: Array
    predicted: Array
    single: NDArray[np.bool_]

    @property
    def start(self) -> tuple[float, float] | None:
        """Where its first number stands; None where it has none."""
        first = np.where(np.isfinite(self.measured), self.measured, self.predicted)
        known = np.flatnonzero(np.isfinite(first))
        return (float(self.used[known[0]]), float(first[known[0]])) if known.size else None


def _colour(result: MemorySplit, column: int) -> str:
    return size_colour(column / max(len(result.sizes) - 1, 1))


def size_curves(result: MemorySplit) -> list[SizeCurve]:
    """One curve for each size that some budget can hold."""
    curves = []
    for column, size in enumerate(result.sizes):
        # Budgets in between that hold no further network give the same split again.
        n, first = np.unique(result.n[:, column], return_index=True)
        rows = first[n > 0]
        if rows.size:
            curves.append(
                SizeCurve(
                    size=int(size),
                    colour=_colour(result, column),
                    rows=rows,
                    n=n[n > 0],
                    used=result.used[rows, column],
                    measured=result.measured[rows, column],
                    se=np.nan_to_num(result.se[rows, column]),
                    predicted=result.predicted[rows, column],
                    single=result.groups[rows, column] == 1,
                )
            )
    return curves


@dataclass(frozen=True)
class Stars:
    """The best splits: their ``rows`` in the result, parameters ``x``, loss ``y``, numbers ``n`` and ``colours``."""

    rows: NDArray[np.int64]
    x: NDArray[np.int64]
    y: Array
    n: NDArray[np.int64]
    colours: list[str]


def stars(result: MemorySplit, *, predicted: bool) -> Stars:
    """The best split of each budget, measured or foretold, at the loss that was measured or foretold for it."""
    column = result.predicted_best if predicted else result.best
    rows = np.flatnonzero(column >= 0)
    columns = column[rows]
    values = (result.predicted if predicted else result.measured)[rows, columns]
    colours = [_colour(result, int(found)) for found in columns]
    return Stars(rows, result.used[rows, columns], values, result.n[rows, columns], colours)


def split_limits(result: MemorySplit) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits across and up that hold all curves."""
    heights = np.concatenate([result.predicted, result.measured - np.nan_to_num(result.se),
                              result.measured + np.nan_to_num(result.se)])  # fmt: skip
    # Room below for the numbers under the stars.
    return log_padded(result.used[result.n > 0].astype(np.float64)), log_padded(heights.ravel(), 0.12)


def split_words(result: MemorySplit) -> str:
    """The best split of the largest budget that can be compared with one network of it, in one sentence."""
    rows = np.flatnonzero(result.best >= 0)
    if not rows.size:
        return "no split was measured"
    rows = rows[np.isfinite(result.advantage[rows])] if np.isfinite(result.advantage[rows]).any() else rows
    row = rows[-1]
    size, n = int(result.sizes[result.best[row]]), int(result.best_n[row])
    if n == 1:
        return f"{amount(result.budgets[row])} parameters are best spent on one network"
    words = f"{amount(result.budgets[row])} parameters: {n} networks of {amount(size)}"
    if not np.isfinite(result.advantage[row]):
        return f"{words} are best"
    low, high = result.advantage_interval[row]
    return f"{words}, {result.advantage[row]:.2g} [{low:.2g}, {high:.2g}] nats below one"


# ---- predictions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Errors:
    """Errors of M networks: ``each`` (M,) by itself, ``together`` (M,) of the first n, all fractions.

    NaN where a network has a logit that is not finite (``broken``, (M,)); the ensembles after it are without it.
    ``se`` (M,) binomial standard error of ``together`` over the N examples; ``collapsed`` (M,) learned nothing, and is
    in ``together``; ``reasons`` why, by name; ``up`` the limits of the picture, which collapsed ones may lie above.
    """

    each: Array
    together: Array
    se: Array
    broken: NDArray[np.bool_]
    collapsed: NDArray[np.bool_]
    reasons: dict[str, str]
    up: tuple[float, float]

    @property
    def above(self) -> NDArray[np.bool_]:
        """(M,) whether a collapsed network lies above the picture."""
        return self.collapsed & (self.each > self.up[1])

    def words(self) -> str:
        """The gain in one sentence."""
        learned = self.each[~self.collapsed & ~self.broken]
        if not learned.size:
            return f"{counted(len(self.each), 'network')}, none of which learned anything"
        last = self.together[~self.broken][-1]
        return f"{counted(len(self.each), 'network')}: error {learned.mean():.4f} one by one, {last:.4f} together"


def errors(predictions: Predictions) -> Errors:
    """The error of each network, and of the averaged probabilities of the first n, in float64."""
    each = 1 - predictions.accuracy
    broken = np.isnan(each)
    together = np.full(len(each), np.nan)
    total = np.zeros(predictions.logits.shape[1:])
    for index in np.flatnonzero(~broken):
        logits = predictions.logits[index].astype(np.float64)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        total += odds / odds.sum(1, keepdims=True)
        together[index] = (total.argmax(1) != predictions.labels).mean()
    reasons = predictions.collapsed
    collapsed = np.array([name in reasons for name in predictions.names]) & ~broken
    se = np.sqrt(together * (1 - together) / len(predictions.labels))
    # One network that guesses would press all the others against the lower edge.
    low, high = padded(np.concatenate([each[~collapsed], together - se, together + se]), 0.08)
    return Errors(each, together, se, broken, collapsed, reasons, (max(low, 0.0), high))
