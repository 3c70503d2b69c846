"""Histograms over time as one picture: a strip for each layer, in which steps run to the right and magnitudes up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orograph.figures.relief import decades
from orograph.figures.scales import power
from orograph.results.diagnosis import Histograms

MOST = 24  # layers in one picture
_ROWS = 14  # of one strip
_LABEL = 12.0  # pixels that a magnitude's words are high


@dataclass(frozen=True)
class Strips:
    """``shares`` (R, S): what share of a layer's entries at a step has a magnitude, NaN in the gaps between strips.

    ``layers`` (R,) names a row's layer, ``low`` and ``high`` (R,) its magnitudes; ``centres`` are the rows of the
    layers' names, ``scale`` (row, words) round magnitudes; ``broken`` are (row, step index) where entries are not
    finite; ``left_out`` counts layers not shown.
    """

    shares: NDArray[np.float64]
    layers: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    centres: tuple[tuple[float, str], ...]
    scale: tuple[tuple[float, str], ...]
    broken: tuple[tuple[float, int], ...]
    left_out: int

    @property
    def note(self) -> str:
        """How many layers are shown, where some are not."""
        shown = len(self.centres)
        return f"{shown} of {shown + self.left_out} layers, evenly chosen" if self.left_out else ""


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
    scale: list[tuple[float, str]] = []
    broken: list[tuple[float, int]] = []
    for k in reversed(chosen.tolist()):
        counts = result.counts[:, k]
        used = np.flatnonzero(counts.sum(0))
        first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, _ROWS)
        at = len(rows)
        width = max(-(-(last - first) // _ROWS), 1)  # bins to a row; of few bins each fills several rows
        for row in range(_ROWS):
            begin = first + (row * width if last - first > _ROWS else row * (last - first) // _ROWS)
            end = begin + width
            with np.errstate(invalid="ignore", divide="ignore"):
                rows.append(counts[:, begin:end].sum(1) / total[:, k])
            names.append(result.names[k])
            lows.append(float(result.edges[min(begin, last)]))
            highs.append(float(result.edges[min(end, len(result.edges) - 1)]))
        middle = (at + len(rows) - 1) / 2
        if len(used):
            bins = width * _ROWS if last - first > _ROWS else last - first
            low, high = result.edges[[first, last]]
            slope = _ROWS / (bins * (result.edges[1] - result.edges[0]))
            scale += [(at - 0.5 + slope * (np.log10(value) - low), power(value)) for value in _round(low, high)]
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
        tuple(_apart(scale, (_ROWS + 1) * _LABEL / strip_height(len(chosen)))),
        tuple(broken),
        count - len(chosen),
    )


def strip_height(count: int) -> float:
    """How many pixels high each of so many strips is best drawn, for its words to be read."""
    return min(max(360.0 / max(count, 1), 34.0), 180.0)


def _round(low: float, high: float, most: int = 4) -> list[float]:
    """A few round magnitudes between two logarithms (base 10): powers of ten, or 1, 2 and 5 where it is less than one
    decade; those of several strips lie in one pattern."""
    found = decades(low, high, (1,))
    stride = -(-len(found) // most) or 1
    even = [value for value in found if round(np.log10(value)) % stride == 0]
    found = even if len(even) > 1 else found[:: max(len(found) - 1, 1)]
    return found if len(found) > 1 else decades(low, high)[-most:]


def _apart(scale: list[tuple[float, str]], gap: float) -> list[tuple[float, str]]:
    """The words that have room, those in the middle of a strip first, so that each strip gets some."""
    kept: list[tuple[float, str]] = []
    for row, words in sorted(scale, key=lambda one: abs(one[0] % (_ROWS + 1) - _ROWS / 2)):
        if all(abs(row - other) >= gap for other, _ in kept):
            kept.append((float(row), words))
    return sorted(kept)
