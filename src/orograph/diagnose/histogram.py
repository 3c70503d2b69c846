"""Histograms that survive anything: NaN, infinities and zeros are counted apart, magnitudes go into fixed bins.

The bins are fixed in the logarithm of the absolute value, so that histograms of different steps and workers merge by
addition. Magnitudes outside are counted in the outermost bins.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LOW, HIGH, PER_DECADE = -12.0, 6.0, 4
EDGES: NDArray[np.float64] = np.linspace(LOW, HIGH, int((HIGH - LOW) * PER_DECADE) + 1)
BINS = len(EDGES) - 1


@torch.no_grad()
def histogram(values: Tensor) -> tuple[Tensor, Tensor]:
    """(BINS,) counts of finite non-zero magnitudes, and (4,) counts of zeros, NaN, +infinity, -infinity; on the device.

    A binary search over the edges, because ``torch.histc`` refuses infinities and loses NaN.
    """
    flat = values.detach().reshape(-1)
    if flat.dtype in (torch.float16, torch.bfloat16):
        flat = flat.float()
    special = torch.stack(
        [(flat == 0).sum(), torch.isnan(flat).sum(), (flat == float("inf")).sum(), (flat == float("-inf")).sum()]
    )
    magnitudes = flat.abs()
    kept = magnitudes[torch.isfinite(magnitudes) & (magnitudes > 0)]
    edges = torch.as_tensor(10.0 ** EDGES[1:-1], dtype=kept.dtype, device=kept.device)
    counts = torch.bincount(torch.bucketize(kept, edges, right=True), minlength=BINS)
    return counts, special


def quantile(counts: NDArray[np.int64], share: float) -> float:
    """The magnitude below which ``share`` of the counted values lie, by linear interpolation in the logarithm; NaN for
    none."""
    total = counts.sum()
    if not total:
        return float("nan")
    cumulated = np.concatenate([[0], np.cumsum(counts)]) / total
    # The last bin that begins below the share: empty bins before it do not move the answer.
    index = min(int(np.searchsorted(cumulated, share, side="left")), BINS) - 1
    index = max(index, 0)
    span = cumulated[index + 1] - cumulated[index]
    part = (share - cumulated[index]) / span if span > 0 else 0.0
    return float(10 ** (EDGES[index] + part / PER_DECADE))
