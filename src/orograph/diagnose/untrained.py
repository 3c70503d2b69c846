"""Whether a weight looks as if it was drawn and never trained.

Initialisations draw independent entries, uniform within a bound or normal, with a standard deviation that follows from the
layer's fans (or is one of the fixed ones in use). Training breaks one of these: it moves entries beyond the bound, and
makes rows unequal.
"""

from __future__ import annotations

import math

import torch

from orograph.initialize.slots import Slot

_FIXED = (0.01, 0.02, 0.05, 0.1, 1.0)
_LEAST = 200  # numbers, below which a distribution is not told from another


@torch.no_grad()
def looks_untrained(slot: Slot) -> bool:
    """Whether the entries of a kernel are distributed as an initialisation draws them. False where that cannot be told."""
    parts = slot.parts
    values = slot.parameter.detach().reshape(-1).double()
    if not parts or values.numel() < _LEAST:
        return False
    std = float(values.std(correction=0))
    if std == 0:
        return True
    fan_in, fan_out = parts[0].fan_in, parts[0].fan_out
    usual = [
        math.sqrt(2 / fan_in),
        math.sqrt(2 / fan_out),
        math.sqrt(1 / fan_in),
        math.sqrt(2 / (fan_in + fan_out)),
        math.sqrt(1 / (3 * fan_in)),
        *_FIXED,
    ]
    tolerance = 4 / math.sqrt(2 * values.numel()) + 0.005
    if not any(abs(std / one - 1) < tolerance for one in usual) and not _orthogonal(slot):
        return False
    bound = float(values.abs().max())
    fourth = float(((values - values.mean()) / std).pow(4).mean())
    spread = 4 * math.sqrt(24 / values.numel())
    uniform = bound <= math.sqrt(3) * std * (1 + tolerance) and abs(fourth - 1.8) < max(spread / 2, 0.1)
    normal = abs(fourth - 3) < max(spread, 0.15)
    return uniform or normal


def _orthogonal(slot: Slot) -> bool:
    matrix = slot.parameter.detach().reshape(len(slot.parameter), -1).double()
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    scale = float(gram.diagonal().mean())
    return scale > 0 and bool((gram / scale - torch.eye(len(gram), dtype=gram.dtype)).abs().max() < 1e-3)
