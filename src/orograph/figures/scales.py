"""Limits, ticks and tick words of drawn axes. Only drawings use this."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orograph.figures.relief import decades, even_levels

Array = NDArray[np.float64]


def amount(value: float) -> str:
    """A number as a tick writes it: 0.05, 16, 20k, 1.5M, 1e+20."""
    if abs(value) >= 1e12:
        return f"{value:.3g}"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit * (10 if name == "k" and value % 1000 else 1):
            return f"{value / unit:.3g}{name}"
    return f"{value:.4g}"


def log_ticks(limits: tuple[float, float], most: int = 9) -> list[float]:
    """Round numbers between the limits of a logarithmic axis, at most so many of them."""
    low, high = (float(np.log10(limit)) for limit in limits)
    found: list[float] = []
    for factors in ((1, 2, 3, 4, 6, 8), (1, 2, 5), (1, 3), (1,)):
        found = decades(low, high, factors)
        if len(found) <= most:
            break
    if len(found) < 3:  # a short way on a logarithmic axis is nearly an even one
        found = [float(level) for level in even_levels(*limits, most - 2) if limits[0] <= level <= limits[1]]
    return found[:: -(-len(found) // most)]


def power(value: float) -> str:
    """A power of ten, or 2 or 5 times one, in few signs: 1e-6, 0.01, 1, 200, 1e4."""
    return (
        f"{value:g}"
        if 0.009 < value < 9_999
        else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    )


def spans_decades(values: Array, decades: float = 3) -> bool:
    """Whether the finite values are positive and span more than so many decades."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and np.log10(finite.max()) - np.log10(finite.min()) > decades)


def whole(values: NDArray[np.float64], most: int = 12) -> list[float] | None:
    """Ticks at the values themselves where they are a few whole numbers, between which nothing is; else None."""
    each = np.unique(values)
    return each.tolist() if len(each) <= most and bool((each == np.round(each)).all()) else None


def every(count: int, most: int) -> list[int]:
    """At most so many of ``count`` places, evenly spaced."""
    return list(range(0, count, -(-count // most) or 1))


def padded(values: Sequence[float] | Array, share: float = 0.06) -> tuple[float, float]:
    """Limits a little beyond all finite ``values``; 0 and 1 where there are none."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = share * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room


def log_padded(values: Sequence[float] | Array, share: float = 0.06) -> tuple[float, float]:
    """The same on a logarithmic axis, for the positive values."""
    positive = np.asarray(values, dtype=np.float64)
    positive = positive[np.isfinite(positive) & (positive > 0)]
    low, high = padded(np.log10(positive), share) if positive.size else (0.0, 1.0)
    return float(10 ** max(low, -307.0)), float(10 ** min(high, 308.0))
