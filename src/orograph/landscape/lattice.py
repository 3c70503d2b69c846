"""Places on the lattice that a picture's cells form: a coarse one inside it, and what lies next to a cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_NEAREST = 8


def coarse_lattice(shape: Sequence[int]) -> list[int]:
    """Flat indices of about sqrt(n) + 2 places, evenly spread, on each axis of n, its two ends among them."""
    axes = [np.unique(np.linspace(0, n - 1, round(n**0.5) + 2).round().astype(int)) for n in shape]
    return [int(i) for i in np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), tuple(shape)).ravel()]


def nearest_on(shape: Sequence[int], index: int, among: Sequence[int]) -> list[int]:
    """The up to eight of the flat indices ``among`` that lie next to ``index``, the nearest first, in steps."""
    here = np.array(np.unravel_index(index, tuple(shape)))
    places = np.stack(np.unravel_index(np.asarray(among), tuple(shape)), axis=1)
    order = np.square(places - here).sum(1).argsort(kind="stable")
    return [int(among[i]) for i in order[:_NEAREST]]
