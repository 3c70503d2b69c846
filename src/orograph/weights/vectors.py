"""Flat vectors in chunks: sums in float64 and differences of networks, without whole copies in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK = 1 << 20  # entries


@dataclass(frozen=True, eq=False)
class Difference:
    """``end - start`` (D,), formed chunk by chunk where it is read: a direction that takes no memory."""

    end: Tensor
    start: Tensor

    def __getitem__(self, part: slice) -> Tensor:
        return self.end[part] - self.start[part]

    def numel(self) -> int:
        """D."""
        return self.end.numel()


@dataclass(frozen=True, eq=False)
class Combination:
    """``sum(coefficient * vector)`` (D,) in float64, formed chunk by chunk where it is read.

    The sum may be far smaller than its terms, as in a difference of networks: float64 has the digits for it.
    """

    terms: tuple[tuple[float, Tensor], ...]

    def __getitem__(self, part: slice) -> Tensor:
        (factor, vector), *others = self.terms
        total = vector[part].double().mul(factor)
        for factor, vector in others:
            total.add_(vector[part], alpha=factor)
        return total

    def numel(self) -> int:
        """D."""
        return self.terms[0][1].numel()


Direction = Tensor | Difference | Combination


def chunks(size: int) -> Iterator[slice]:
    """Slices that cover ``size`` entries."""
    return (slice(start, min(start + _CHUNK, size)) for start in range(0, size, _CHUNK))


def in_chunks(*vectors: Direction) -> Iterator[tuple[slice, list[Tensor]]]:
    """Flat tensors of one length in float64, chunk by chunk: as exact as whole copies, without their memory."""
    for part in chunks(vectors[0].numel()):
        yield part, [vector[part].double() for vector in vectors]


def dot(left: Direction, right: Direction) -> float:
    """Inner product of two flat tensors in float64."""
    return sum((float(torch.dot(x, y)) for _, (x, y) in in_chunks(left, right)), 0.0)


def length_of(terms: Sequence[tuple[float, Direction]]) -> float:
    """Euclidean length of ``sum(coefficient * vector)``, formed and summed in float64."""
    total = 0.0
    for _, parts in in_chunks(*(vector for _, vector in terms)):
        combined = parts[0].mul(terms[0][0])  # a copy, also of what is float64 already
        for (coefficient, _), part in zip(terms[1:], parts[1:], strict=True):
            combined.add_(part, alpha=coefficient)
        total += float(combined.square().sum())
    return math.sqrt(total)


def squared_difference(left: Tensor, right: Tensor) -> float:
    """|left - right|^2 with differences and sums in float64."""
    return sum((float((x - y).square().sum()) for _, (x, y) in in_chunks(left, right)), 0.0)
