"""One reading of many tensors: histograms and sums, in a few operations however many tensors there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orograph.diagnose.histogram import histograms, sorted_out
from orograph.results.diagnosis import LayerReading

SAMPLE = 4096  # entries of a tensor that are looked at, evenly spread
_RECTIFIED = ("ReLU", "ReLU6")


@dataclass
class Read:
    """One tensor at one reading; ``norm`` is that of the whole tensor, judged by the sample."""

    counts: NDArray[np.int64]
    special: NDArray[np.int64]
    size: int
    mean: float
    std: float
    norm: float
    largest: float
    dead: float = 0.0
    saturated: float = 0.0

    @property
    def nan(self) -> int:
        """NaN in the sample."""
        return int(self.special[1])

    @property
    def bad(self) -> int:
        """Entries of the sample that are not finite."""
        return int(self.special[1:].sum())

    @property
    def zeros(self) -> float:
        """The share of exact zeros."""
        return float(self.special[0]) / max(int(self.counts.sum() + self.special.sum()), 1)

    def as_layer(self, name: str, kind: str) -> LayerReading:
        """As a layer's reading."""
        rms = math.hypot(self.mean, self.std)
        nan = float("nan")
        return LayerReading(
            name, kind, self.mean, self.std, rms, self.largest, self.zeros, self.dead, self.saturated, nan, self.bad
        )


def values_of(tensor: Tensor) -> Tensor:
    """Whatever a tensor stores as one row of real numbers: of a sparse one the entries that it has, of a complex one
    real and imaginary parts."""
    tensor = tensor.detach()
    if tensor.layout == torch.sparse_coo:
        tensor = tensor.coalesce().values()
    elif tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor.reshape(-1)


def sample(tensor: Tensor) -> Tensor:
    """A copy of at most :data:`SAMPLE` entries, evenly spread."""
    flat = values_of(tensor)
    stride = max(-(-flat.numel() // SAMPLE), 1)
    # An odd stride, or else samples of images would fall into a few columns.
    return flat[:: stride + (stride > 1 and stride % 2 == 0)].float().clone()


def dead_share(tensor: Tensor, kind: str) -> Tensor | None:
    """The share of a rectified layer's units that are zero on the whole batch; None for other layers."""
    if kind not in _RECTIFIED or tensor.dim() < 2:
        return None
    unit = 1 if tensor.dim() >= 4 else tensor.dim() - 1
    highest = tensor.detach().amax([axis for axis in range(tensor.dim()) if axis != unit])
    return (highest == 0).float().mean()


@torch.no_grad()
def read(samples: Sequence[Tensor], sizes: Sequence[int], kinds: Sequence[str], dead: Sequence[Any]) -> list[Read]:
    """Readings of some samples, none empty, of tensors with so many entries; fetched from the device at once."""
    if not samples:
        return []
    samples = [one.to(samples[0].device) for one in samples]  # a network may lie on several
    counts, special = sorted_out(histograms(samples).cpu().numpy())
    lengths = [len(one) for one in samples]
    joined = torch.nan_to_num(torch.cat(samples), 0.0, 0.0, 0.0)
    values = joined.cpu().numpy().astype(np.float64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    counted = np.asarray(lengths, np.float64)
    mean = np.add.reduceat(values, starts) / counted
    square = np.add.reduceat(values * values, starts) / counted
    largest = np.maximum.reduceat(np.abs(values), starts)
    shares = [0.0 if one is None else one for one in dead]
    found = []
    for k, kind in enumerate(kinds):
        part = values[starts[k] : starts[k] + lengths[k]]
        flat = 0.0
        if kind == "Sigmoid":
            flat = float(((part < 0.02) | (part > 0.98)).mean())
        elif kind == "Tanh":
            flat = float((np.abs(part) > 0.98).mean())
        std = math.sqrt(max(square[k] - mean[k] ** 2, 0.0))
        found.append(
            Read(
                counts[k],
                special[k],
                sizes[k],
                float(mean[k]),
                std,
                math.sqrt(square[k] * sizes[k]),
                float(largest[k]),
                float(shares[k]),
                flat,
            )
        )
    return found
