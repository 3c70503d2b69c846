"""The simplest rival of a learned initialisation: one scale for all weights, judged by the same objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from orograph.initialize.lookahead import Lookahead
from orograph.results.learned_scales import Control

GRID = (0.5, 0.7, 1.0, 1.3, 1.5, 2.0)


def judged(
    ahead: Lookahead, roles: Sequence[str], scales: Sequence[float], batches: Sequence[Any], gamma: float
) -> list[Control]:
    """What the start, the best global scale, the geometric mean of ``scales`` and ``scales`` themselves reach.

    ``batches`` are pairs (S, S~), the same for all. The best global scale has the lowest loss ahead of those on the
    grid within the constraint, or the shortest gradient where none is. Two passes forward and one backward of each
    batch for each of nine candidates at most.
    """

    def everywhere(scale: float) -> list[float]:
        return [1.0 if role == "bias" else scale for role in roles]

    found = {scale: _judge(ahead, "one global scale", scale, everywhere(scale), batches) for scale in GRID}
    allowed = [one for one in found.values() if one.norm <= gamma and math.isfinite(one.loss)]
    shortest = min(found.values(), key=lambda one: one.norm if math.isfinite(one.norm) else math.inf)
    best = min(allowed, key=lambda one: one.loss) if allowed else shortest
    start = found[1.0]
    rivals = [Control("as it was", math.nan, start.loss, start.norm), best]
    kept = np.array([scale for scale, role in zip(scales, roles, strict=True) if role != "bias"])
    if len(kept) and (kept > 0).all():
        mean = float(np.exp(np.log(kept).mean()))
        rivals.append(_judge(ahead, "geometric mean of the learned scales", mean, everywhere(mean), batches))
    return [*rivals, _judge(ahead, "learned scales", math.nan, scales, batches)]


def global_scale(controls: Sequence[Control]) -> float:
    """The best global scale among the controls of a learned initialisation."""
    return next(one.scale for one in controls if one.name == "one global scale")


def _judge(ahead: Lookahead, name: str, scale: float, scales: Sequence[float], batches: Sequence[Any]) -> Control:
    losses, norms = [], []
    for part, after in batches:
        slope = ahead.slope(scales, part)
        norms.append(slope.length)
        losses.append(ahead.ahead(slope, after, derivative=False)[0])
    return Control(name, scale, float(np.mean(losses)), float(np.mean(norms)))
