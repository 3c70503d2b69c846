r"""Histograms that survive anything, of many tensors at once.

The exponent of a float32 is its bits 23 to 30: shifting them down is the logarithm (base 2, rounded down) of the
absolute value, without a logarithm, and zeros, NaN and infinities have exponents of their own. So one shift and one
count over all tensors end to end make all their histograms, in bins of a factor of two that are the same at every step
and on every worker: they merge by addition. Magnitudes outside, subnormal numbers among them, are counted in the
outermost bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LOW, HIGH = -40, 20  # 2^-40 = 9e-13 to 2^20 = 1e6
BINS = HIGH - LOW
EDGES: NDArray[np.float64] = np.arange(LOW, HIGH + 1) * np.log10(2.0)
_BIAS = 127
_ZERO, _NAN, _PLUS, _MINUS = 512, 513, 514, 515  # places of what is told apart, behind those of sign and exponent
_PLACES = 516


@torch.no_grad()
def histograms(tensors: Sequence[Tensor]) -> Tensor:
    """(L, 516) counts of each of L tensors by sign and exponent, on their device; :func:`sorted_out` reads them."""
    flat = [tensor.detach().reshape(-1).float() for tensor in tensors]
    joined = torch.cat(flat)
    keys = joined.view(torch.int32).bitwise_right_shift(23).bitwise_and_(511)
    keys[joined == 0] = _ZERO
    odd = (keys == 255) | (keys == 511)
    if bool(odd.any()):
        keys[torch.isnan(joined)] = _NAN
        keys[joined == float("inf")] = _PLUS
        keys[joined == float("-inf")] = _MINUS
    offsets = [torch.full((len(one),), _PLACES * k, dtype=torch.int32) for k, one in enumerate(flat)]
    keys += torch.cat(offsets).to(keys.device)
    return torch.bincount(keys, minlength=_PLACES * len(flat)).reshape(len(flat), _PLACES)


def sorted_out(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(L, BINS) counts of finite non-zero magnitudes, and (L, 4) of zeros, NaN, +infinity and -infinity."""
    both = counts[:, :256] + counts[:, 256:512]
    first, last = _BIAS + LOW, _BIAS + HIGH
    bins = both[:, first:last].copy()
    bins[:, 0] += both[:, :first].sum(1)
    bins[:, -1] += both[:, last:].sum(1)
    return bins, counts[:, 512:].copy()


def histogram(values: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(BINS,) and (4,) of one tensor."""
    bins, special = sorted_out(histograms([values]).cpu().numpy())
    return bins[0], special[0]


def quantile(counts: NDArray[np.int64], share: float) -> float:
    """The magnitude below which ``share`` of the values lie, by interpolation in the logarithm; NaN for none."""
    total = int(counts.sum())
    if not total:
        return float("nan")
    cumulated = np.concatenate([[0.0], np.cumsum(counts) / total])
    index = min(max(int(np.searchsorted(cumulated, share, side="left")), 1), BINS) - 1
    span = cumulated[index + 1] - cumulated[index]
    part = (share - cumulated[index]) / span if span > 0 else 0.0
    return float(10 ** (EDGES[index] + part * np.log10(2.0)))
