"""Histograms over time as one picture: a strip for each layer, in which steps run to the right and magnitudes up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orograph.results.diagnosis import Histograms

MOST = 24  # layers in one picture
_ROWS = 14  # of one strip


@dataclass(frozen=True)
class Strips:
    """``shares`` (R, S): what share of a layer's entries at a step has a magnitude, NaN in the gaps between strips.

    ``layers`` (R,) names a row's layer, ``low`` and ``high`` (R,) its magnitudes; ``centres`` are the rows of the
    layers' names; ``broken`` are (row, step index) where entries are not finite; ``left_out`` counts layers not shown.
    """

    shares: NDArray[np.float64]
    layers: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    centres: tuple[tuple[float, str], ...]
    broken: tuple[tuple[float, int], ...]
    left_out: int


def strips(result: Histograms) -> Strips:
    """The strips of at most :data:`MOST` layers, evenly chosen, the first layer on top."""
    count = len(result.names)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(int))
    total = result.counts.sum(2) + result.special.sum(2)
    rows: list[NDArray[np.float64]] = []
    names: list[str] = []
    lows: list[float] = []
    highs: list[float] = []
    centres: list[tuple[float, str]] = []
    broken: list[tuple[float, int]] = []
    for k in reversed(chosen.tolist()):
        counts = result.counts[:, k]
        used = np.flatnonzero(counts.sum(0))
        first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, _ROWS)
        at = len(rows)
        width = max(-(-(last - first) // _ROWS), 1)  # bins to a row; of few bins each fills several rows
        for row in range(_ROWS):
            low = first + (row * width if last - first > _ROWS else row * (last - first) // _ROWS)
            high = low + width
            with np.errstate(invalid="ignore", divide="ignore"):
                rows.append(counts[:, low:high].sum(1) / total[:, k])
            names.append(result.names[k])
            lows.append(float(result.edges[min(low, last)]))
            highs.append(float(result.edges[min(high, len(result.edges) - 1)]))
        middle = (at + len(rows) - 1) / 2
        centres.append((middle, result.names[k]))
        broken += [(middle, int(s)) for s in np.flatnonzero(result.special[:, k, 1:].sum(1))]
        rows.append(np.full(len(result.steps), np.nan))
        names.append("")
        lows.append(np.nan)
        highs.append(np.nan)
    return Strips(
        np.array(rows),
        tuple(names),
        np.array(lows),
        np.array(highs),
        tuple(centres),
        tuple(broken),
        count - len(chosen),
    )
