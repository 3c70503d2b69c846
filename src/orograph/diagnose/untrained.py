"""Whether a weight looks as if it was drawn and never trained.

Initialisations draw independent entries, uniform within a bound or normal, with a standard deviation that follows from
the layer's fans (or is one of the fixed ones in use). Training breaks one of these: it moves entries beyond the bound,
or makes one singular value stand out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from orograph.initialize.slots import Slot

_FIXED = (0.01, 0.02, 0.05, 0.1, 1.0)
_LEAST = 200  # numbers, below which a distribution is not told from another


@torch.no_grad()
def looks_untrained(slot: Slot) -> bool:
    """Whether a kernel's entries are distributed as an initialisation draws them; False where that cannot be told."""
    parts = slot.parts
    values = slot.parameter.detach().reshape(-1).double()
    if not parts or values.numel() < _LEAST:
        return False
    std = float(values.std(correction=0))
    if std == 0:
        return True
    fan_in, fan_out = parts[0].fan_in, parts[0].fan_out
    variances = (2 / fan_in, 2 / fan_out, 1 / fan_in, 2 / (fan_in + fan_out), 1 / (3 * fan_in))
    usual = [*(math.sqrt(one) for one in variances), *_FIXED]
    if _orthogonal(slot):
        return True
    matrix = slot.parameter.detach().reshape(len(slot.parameter), -1)
    if not unshaped(matrix):
        return False
    bound = float(values.abs().max())
    fourth = float(((values - values.mean()) / std).pow(4).mean())
    tolerance = 3 / math.sqrt(values.numel())
    # The largest of n uniform numbers misses the bound by about 1 / n of it; trained ones go beyond.
    edges = [math.sqrt(3) * one for one in usual]
    flat = any(edge * (1 - 6 / values.numel()) <= bound <= edge * (1 + 1e-5) for edge in edges)
    bell = any(abs(std / one - 1) < tolerance for one in usual)
    return (flat and abs(fourth - 1.8) < 2 * tolerance) or (bell and abs(fourth - 3) < 7 * tolerance)


def unshaped(matrix: Tensor) -> bool:
    """Whether no singular value of a matrix stands out, as of independent entries or an orthogonal matrix."""
    values = matrix.detach().double().cpu()
    edge = float(values.std(correction=0)) * (math.sqrt(values.shape[0]) + math.sqrt(values.shape[1]))
    return float(torch.linalg.matrix_norm(values, 2)) < 1.1 * edge


def rotates(slot: Slot) -> bool:
    """Whether a weight is a square orthogonal matrix, which loses nothing: frozen ones are chosen, not forgotten."""
    shape = slot.parameter.shape
    return len(shape) == 2 and shape[0] == shape[1] and _orthogonal(slot)


def _orthogonal(slot: Slot) -> bool:
    matrix = slot.parameter.detach().reshape(len(slot.parameter), -1).double()
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    scale = float(gram.diagonal().mean())
    return scale > 0 and bool((gram / scale - torch.eye(len(gram), dtype=gram.dtype)).abs().max() < 1e-3)
