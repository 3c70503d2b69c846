r"""Matching units by what they do: correlations of activations over training examples (Li et al. 2016).

Unit i of the first network and unit j of the second are matched where the correlation

.. math:: \rho_{ij} = \frac{E[x_i y_j] - E[x_i] E[y_j]}{\sigma_i \sigma_j}

over examples and positions is high, summed over the places where a group shows; a unit that never changes has
correlation 0. Where units are rows of others that permute as well (heads, and the entries inside them), two of them
agree as well as their columns can be matched. Sums run in float64. Cost: one forward pass of each network over the
examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from orograph.basics.seeds import reseed
from orograph.connect.groups import Group, Groups, Place, unfolded
from orograph.connect.matching import Match
from orograph.connect.tracing import overhear
from orograph.data import Examples
from orograph.objective.example import inputs_of
from orograph.objective.workspace import Workspace
from orograph.weights import Weights

_MOST_TAPS = 4  # of a group; concatenated channels show in every later layer
_MOST_COLUMNS = 16_384  # of a batch at one tap
_BATCH = 64


def match_activations(
    groups: Groups, model: nn.Module, a: Weights, b: Weights, examples: Any, *, count: int = 1024
) -> tuple[Match, int]:
    """A match by activations on up to ``count`` examples, and how many there were."""
    chosen = {group.name: _chosen(group) for group in groups.groups}
    sums = {id(place): _Correlation() for places in chosen.values() for place in places}
    wanted: dict[int, list[Place]] = {}
    for place in (place for places in chosen.values() for place in places):
        wanted.setdefault(place.number, []).append(place)
    workspace = Workspace(model, a.layout, a.vector.device, a.layout.dtype)
    seen = 0
    with workspace:
        for inputs, size in _batches(examples, count, a.vector.device, a.layout.dtype):
            heard: list[dict[int, Tensor]] = []
            for weights in (a, b):
                workspace.put(weights)
                reseed(0)
                found: dict[int, Tensor] = {}

                def keep(number: int, tensor: Tensor, found: dict[int, Tensor] = found) -> None:
                    found.update({id(place): _columns(tensor, place) for place in wanted[number]})

                overhear(model, inputs, wanted, keep)
                heard.append(found)
            for key, own in heard[0].items():
                sums[key].add(own, heard[1][key])
            seen += size
    orders, before, after = {}, [], []
    for group in groups.groups:
        table = np.zeros((group.size, group.size))
        for place in chosen[group.name]:
            table += _agreement(sums[id(place)].table(), group.size)
        units = np.arange(group.size)
        _, order = linear_sum_assignment(table, maximize=True)
        if table[units, order].sum() <= np.trace(table):
            order = units
        orders[group.name] = order
        before.append(float(np.trace(table)))
        after.append(float(table[units, order].sum()))
    return Match(orders, np.array(before), np.array(after)), seen


def _agreement(table: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """(size, size) from correlations of all columns (size m, size m) of units: the best matching of two units' own."""
    columns = len(table) // size
    if columns == 1:
        return table
    blocks = table.reshape(size, columns, size, columns).transpose(0, 2, 1, 3)
    found = np.zeros((size, size))
    for i, j in np.ndindex(size, size):
        found[i, j] = blocks[i, j][linear_sum_assignment(blocks[i, j], maximize=True)].sum()
    return found


class _Correlation:
    """Streaming sums of two sets of units; shifted by the first batch's means, for the digits' sake."""

    def __init__(self) -> None:
        self.count = 0
        self.shift: tuple[Tensor, Tensor] | None = None
        self.sums: list[Any] = [0.0] * 5

    def add(self, own: Tensor, other: Tensor) -> None:
        if self.shift is None:
            self.shift = own.mean(1, keepdim=True), other.mean(1, keepdim=True)
        x, y = own - self.shift[0], other - self.shift[1]
        parts = (x.double().sum(1), y.double().sum(1), x.double().square().sum(1), y.double().square().sum(1), x @ y.T)
        self.sums = [total + part.double() for total, part in zip(self.sums, parts, strict=True)]
        self.count += own.shape[1]

    def table(self) -> NDArray[np.float64]:
        x, y, xx, yy, xy = (total / self.count for total in self.sums)
        spread = torch.sqrt(torch.outer((xx - x * x).clamp_min(0), (yy - y * y).clamp_min(0)))
        cross = xy - torch.outer(x, y)
        found: NDArray[np.float64] = torch.where(spread > 0, cross / spread, torch.zeros_like(cross)).cpu().numpy()
        return found


def _chosen(group: Group) -> list[Place]:
    """A few of the group's taps, evenly from first to last."""
    count = min(len(group.taps), _MOST_TAPS)
    return [group.taps[round(i)] for i in np.linspace(0, len(group.taps) - 1, count)] if count else []


def _columns(tensor: Tensor, place: Place) -> Tensor:
    """(units, samples) of what a place shows; with a joint place's columns as units of their own."""
    table = unfolded(tensor.detach(), place)
    if place.joint:
        table = table.reshape(place.positions.numel(), -1)
    return table[:, :: max(table.shape[1] // _MOST_COLUMNS, 1)].float()


def _batches(examples: Any, count: int, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[Any, int]]:
    """The inputs of up to ``count`` examples in batches, with their sizes."""
    if isinstance(examples, Examples):
        chosen = examples.head(count)
        for start in range(0, len(chosen), _BATCH):
            part = chosen.take(range(start, min(start + _BATCH, len(chosen))))
            yield inputs_of(part, _BATCH, device, dtype), len(part)
    elif isinstance(examples, Tensor):
        for start in range(0, min(count, len(examples)), _BATCH):
            rows = examples[start : min(start + _BATCH, count)]
            yield inputs_of(rows, _BATCH, device, dtype), len(rows)
    else:
        yield inputs_of(examples, count, device, dtype), count
