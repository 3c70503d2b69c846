"""Whether pictures are still pictures: neighbouring pixels alike, and not all of them copies of a few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from orograph.diagnose.batches import only_tensor
from orograph.diagnose.losses import parts_of

_LEAST = 6  # pixels on a side
_EXAMPLES = 400
_PAIRS = 5000  # of neighbouring pixels, below which a correlation says little


class Grain(NamedTuple):
    """What pixels have to do with their neighbours; NaN where inputs are no pictures.

    ``across``, ``down``: how much the correlation of two pixels (each about its own mean over the examples) depends on
    whether they are one, two or half a side apart: 0.2 to 0.6 in pictures, 0 in noise. ``doubled``: the share of the
    pixels that vary and are the same as their neighbour in every example. ``tails``: the fourth moment of all pixels
    over the squared second, 3 for normal numbers.
    """

    across: float = math.nan
    down: float = math.nan
    doubled: float = math.nan
    tails: float = math.nan


def grain_of(batches: Sequence[Any]) -> Grain:
    """Of (examples, channels, height, width) floats."""
    found: list[Tensor] = []
    for batch in batches:
        inputs = only_tensor(parts_of(batch)[0])
        if inputs is None or inputs.dim() != 4 or not inputs.is_floating_point() or min(inputs.shape[2:]) < _LEAST:
            return Grain()
        if found and inputs.shape[1:] != found[0].shape[1:]:
            return Grain()
        found.append(inputs.detach().float())
        if sum(map(len, found)) >= _EXAMPLES:
            break
    pixels = torch.cat(found)[:_EXAMPLES]
    if not bool(torch.isfinite(pixels).all()) or pixels.numel() < _PAIRS or len(pixels) < 20:
        return Grain()
    spread = pixels.std(0, correction=0)
    least = 1e-3 * float(spread.max())
    standard = torch.where(spread > least, (pixels - pixels.mean(0)) / spread.clamp_min(1e-30), math.nan)
    alike, doubled = [], []
    for axis in (-1, -2):
        side = pixels.shape[axis]
        alike.append([_correlation(standard, axis, apart) for apart in (1, 2, side // 2)])
        one, other = pixels.narrow(axis, 0, side - 1), pixels.narrow(axis, 1, side - 1)
        varies = one.std(0, correction=0) > 0
        doubled.append(float(((one == other).all(0) & varies).sum()) / max(int(varies.sum()), 1))
    away = pixels - pixels.mean()
    tails = float(away.pow(4).mean() / away.square().mean().square().clamp_min(1e-30))
    return Grain(max(alike[0]) - min(alike[0]), max(alike[1]) - min(alike[1]), min(doubled), tails)


def _correlation(standard: Tensor, axis: int, apart: int) -> float:
    side = standard.shape[axis]
    return float((standard.narrow(axis, 0, side - apart) * standard.narrow(axis, apart, side - apart)).nanmean())
