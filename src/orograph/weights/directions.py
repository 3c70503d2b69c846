r"""Random directions and their normalisation (Li et al. 2018).

A direction is Gaussian noise scaled so that each filter f of it is as long as the filter of the weights it moves:

.. math:: d_f \leftarrow d_f \, \|w_f\| / \|d_f\|

A filter is one output channel of a convolution, one row of a linear or attention projection, one token of an
embedding. One-dimensional tensors (biases, norm layers) do not move by default: scaling them entry by entry would turn
noise into a copy of the weights' magnitudes. There is no epsilon: a zero filter simply does not move.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from orograph.basics.errors import UsageError
from orograph.basics.seeds import generator
from orograph.weights.layout import Slot
from orograph.weights.vectors import dot
from orograph.weights.weights import Weights

Normalization = Literal["filter", "layer", "tensor", "none"]
Vectors = Literal["zero", "tensor"]


def random_direction(weights: Weights, *, seed: int, stream: str | int = 0) -> Tensor:
    """(D,) standard normal numbers, drawn on the CPU in float32: one seed, one direction, on every device."""
    noise = torch.randn(len(weights), generator=generator(seed, "direction", stream), dtype=torch.float32)
    return noise.to(weights.vector.device, weights.vector.dtype)


def normalize(
    direction: Tensor, weights: Weights, *, normalization: Normalization = "filter", vectors: Vectors = "zero"
) -> Tensor:
    """A copy of ``direction`` (D,), scaled to the weights.

    ``filter`` scales each filter, ``layer`` (or ``tensor``, the same thing here) each whole parameter tensor,
    ``none`` nothing. ``vectors`` says what one-dimensional tensors do under the first three: stay (``zero``) or be
    scaled as one whole (``tensor``).
    """
    if normalization not in ("filter", "layer", "tensor", "none"):
        raise UsageError(f"unknown normalization {normalization!r}; use filter, layer, tensor or none")
    result = direction.clone()
    if normalization == "none":
        return result
    for slot in weights.layout.slots:
        part = result[slot.start : slot.stop]
        if is_vector(slot):
            if vectors == "zero":
                part.zero_()
                continue
            rows, reference = part.unsqueeze(0), weights.vector[slot.start : slot.stop].unsqueeze(0)
        elif normalization == "filter":
            rows, reference = filters(slot, result), filters(slot, weights.vector)
        else:
            rows, reference = part.unsqueeze(0), weights.vector[slot.start : slot.stop].unsqueeze(0)
        lengths = rows.double().norm(dim=1)
        scale = torch.where(lengths > 0, reference.double().norm(dim=1) / lengths, torch.zeros_like(lengths))
        scaled = (rows.double() * scale.unsqueeze(1)).to(rows.dtype)
        if normalization == "filter" and not is_vector(slot):
            put_filters(slot, result, scaled)
        else:
            part.copy_(scaled[0])
    return result


def random_plane(
    weights: Weights,
    *,
    seed: int,
    normalization: Normalization = "filter",
    vectors: Vectors = "zero",
    orthogonal: bool = True,
) -> tuple[Tensor, Tensor]:
    """Two random directions (D,), the second made orthogonal to the first inside every filter, then rescaled.

    Filters of a single entry cannot be made orthogonal and keep their length; they are why the axes' cosine may
    differ from 0 a little, and why results report it. With ``layer`` or ``none`` the two are orthogonal as wholes of a
    tensor or of the vector.
    """
    first = normalize(
        random_direction(weights, seed=seed, stream=0), weights, normalization=normalization, vectors=vectors
    )
    second = random_direction(weights, seed=seed, stream=1)
    if orthogonal:
        if normalization == "none":
            second = second - first * (dot(second, first) / dot(first, first))
        else:
            for slot in weights.layout.slots:
                _orthogonalize(slot, second, first, per_filter=normalization == "filter" and not is_vector(slot))
    return first, normalize(second, weights, normalization=normalization, vectors=vectors)


def is_vector(slot: Slot) -> bool:
    """Whether the tensor is a bias, a norm layer's weight or otherwise one-dimensional (scalars included)."""
    return slot.kind == "norm" or len(slot.shape) < 2


def filters(slot: Slot, vector: Tensor) -> Tensor:
    """(number of filters, entries of each) of one parameter; complex entries count as two real ones.

    The output channels of a convolution are its axis 0; those of a transposed convolution its axis 1, within groups.
    """
    part = vector[slot.start : slot.stop]
    if slot.size == 0:
        return part.view(0, 0)
    if slot.kind == "transposed convolution":
        inputs, outputs = slot.shape[0], slot.shape[1]
        grouped = part.view(slot.groups, inputs // slot.groups, outputs, -1)
        return grouped.transpose(1, 2).reshape(slot.groups * outputs, -1)
    return part.view(slot.shape[0], -1)


def put_filters(slot: Slot, vector: Tensor, rows: Tensor) -> None:
    """Write ``rows``, shaped as :func:`filters` gives them, back into ``vector``."""
    part = vector[slot.start : slot.stop]
    if slot.kind == "transposed convolution" and slot.size:
        inputs, outputs = slot.shape[0], slot.shape[1]
        grouped = rows.view(slot.groups, outputs, inputs // slot.groups, -1)
        part.copy_(grouped.transpose(1, 2).reshape(-1))
    else:
        part.copy_(rows.reshape(-1))


def _orthogonalize(slot: Slot, second: Tensor, first: Tensor, *, per_filter: bool) -> None:
    if per_filter:
        rows, others = filters(slot, second).double(), filters(slot, first).double()
    else:
        rows = second[slot.start : slot.stop].unsqueeze(0).double()
        others = first[slot.start : slot.stop].unsqueeze(0).double()
    if rows.shape[1] < 2:
        return
    lengths = others.square().sum(dim=1)
    overlap = (rows * others).sum(dim=1)
    share = torch.where(lengths > 0, overlap / lengths, torch.zeros_like(lengths))
    cleared = (rows - others * share.unsqueeze(1)).to(second.dtype)
    if per_filter:
        put_filters(slot, second, cleared)
    else:
        second[slot.start : slot.stop] = cleared[0]
