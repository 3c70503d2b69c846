r"""Families of curves between two networks, all linear in their control points (Garipov et al. 2018).

With control points :math:`\theta_0 = w_1, \ldots, \theta_K = w_2`, of which the inner
ones (the *bends*) are free,

.. math:: \phi(t) = \sum_k c_k(t)\, \theta_k, \qquad \sum_k c_k(t) = 1, \qquad c_0(0) = c_K(1) = 1

- K = 1 is the straight line
- ``bezier``: :math:`c_k(t) = \binom{K}{k} t^k (1 - t)^{K - k}`
- ``polychain`` of K legs: :math:`c_k(t) = \max(0, 1 - |t K - k|)`

A curve is uniform in t, not in arc length: a Bezier curve's speed changes along it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import comb
from torch import Tensor

from orograph.basics.errors import UsageError, nearest
from orograph.weights import Combination, Weights, dot, length_of

Family = Literal["bezier", "polychain"]
FAMILIES: tuple[Family, ...] = ("bezier", "polychain")


def coefficients(kind: str, bends: int, t: ArrayLike, segments: int = 1) -> NDArray[np.float64]:
    """(…, P) the share of each of the P = segments (bends + 1) + 1 control points at each ``t`` in [0, 1].

    A curve of several segments is one after the other of them, each over an equal stretch of t.
    """
    ts = np.asarray(t, dtype=np.float64)
    if not (np.isfinite(ts).all() and ts.min(initial=0.0) >= 0.0 and ts.max(initial=1.0) <= 1.0):
        raise UsageError("a curve runs from t = 0 to t = 1")
    legs = bends + 1
    if kind == "polychain":
        return np.maximum(0.0, 1.0 - np.abs(ts[..., None] * (legs * segments) - np.arange(legs * segments + 1)))
    if kind != "bezier":
        raise UsageError(f"unknown kind of curve {kind!r}{nearest(kind, FAMILIES)}; use {' or '.join(FAMILIES)}")
    segment = np.minimum(ts * segments, segments - 1).astype(np.int64)
    k = np.arange(legs * segments + 1) - legs * segment[..., None]  # place among the segment's own points
    local = (ts * segments - segment)[..., None]
    inside = (k >= 0) & (k <= legs)
    k = np.where(inside, k, 0)
    found: NDArray[np.float64] = np.where(inside, comb(legs, k) * local**k * (1.0 - local) ** (legs - k), 0.0)
    return found


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve through weight space: its family, its control points in order (ends and way-points included), and how
    many segments they form. With no bends it is a polyline."""

    kind: str
    points: tuple[Weights, ...]
    segments: int = 1

    @classmethod
    def straight(cls, through: Sequence[Weights], kind: Family = "bezier", bends: int = 1) -> Curve:
        """Straight lines through two networks or more as a curve with ``bends`` free points, evenly spaced, on each:
        where training begins."""
        if bends < 0 or bends != int(bends):
            raise UsageError(f"bends is a whole number from 0, not {bends}")
        shares = np.linspace(0.0, 1.0, bends + 2)[1:-1]
        points = [through[0]]
        for a, b in pairwise(through):
            points += [a.with_vector(torch.lerp(a.vector, b.vector, float(share))) for share in shares]
            points.append(b)
        return cls(kind, tuple(points), len(through) - 1)

    @classmethod
    def of(cls, kind: str, control: NDArray[np.floating], like: Weights, segments: int = 1) -> Curve:
        """The curve of a saved result's ``control`` points (P, D), for networks ``like`` this one."""
        if control.ndim != 2 or control.shape[1] != len(like):
            raise UsageError(f"control points have shape {control.shape}, the network {len(like)} coordinates")
        vectors = torch.from_numpy(np.array(control)).to(like.vector.device, like.vector.dtype)
        return cls(kind, tuple(like.with_vector(vector) for vector in vectors), segments)

    @property
    def bends(self) -> int:
        """How many control points of each segment are free."""
        return (len(self.points) - 1) // self.segments - 1

    @property
    def free(self) -> list[int]:
        """Places of the free control points."""
        return [k for k in range(len(self.points)) if k % (self.bends + 1)]

    def shares(self, t: ArrayLike) -> NDArray[np.float64]:
        """(…, P) the coefficient of each control point at each ``t``."""
        return coefficients(self.kind, self.bends, t, self.segments)

    def at(self, t: float) -> Weights:
        """The network at ``t``: exactly the ends at 0 and 1, with the first one's buffers in between."""
        if t in (0.0, 1.0):
            return self.points[0 if t == 0.0 else -1]
        vector = combined(self.shares(t), [point.vector for point in self.points])
        return self.points[0].with_vector(vector)

    def with_free(self, vectors: Tensor) -> Curve:
        """The same curve with other free points (F, D)."""
        points = list(self.points)
        home = points[0].vector
        for place, vector in zip(self.free, vectors, strict=True):
            points[place] = points[0].with_vector(vector.to(home.device, home.dtype))
        return Curve(self.kind, tuple(points), self.segments)

    def with_another_bend(self) -> Curve:
        """About the same curve with one more bend in each segment: exactly the same for Bezier curves (degree
        elevation); a polychain is sampled at its new corners."""
        legs, more = self.bends + 1, self.bends + 2
        points = [self.points[0]]
        for segment in range(self.segments):
            own = self.points[segment * legs : (segment + 1) * legs + 1]
            for k in range(1, more):
                if self.kind == "bezier":
                    vector = torch.lerp(own[k].vector, own[k - 1].vector, k / more) if k <= legs else own[-1].vector
                else:
                    shares = coefficients("polychain", self.bends, k / more)
                    vector = combined(shares, [point.vector for point in own])
                points.append(own[0].with_vector(vector))
            points.append(own[-1])
        return Curve(self.kind, tuple(points), self.segments)

    def lengths(self, ts: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """(n - 1,) Euclidean distances between consecutive points, from differences in float64.

        They are lengths of chords, which come short of the arc by a share of about (curvature x step)^2 / 24.
        """
        shares = np.diff(self.shares(np.asarray(ts, dtype=np.float64)), axis=0)[:, 1:]
        # The shares of a step sum to 0, so only differences from the first point count.
        ways = [Combination(((1.0, p.vector), (-1.0, self.points[0].vector))) for p in self.points[1:]]
        gram = np.array([[dot(one, other) for other in ways] for one in ways])
        squares = np.einsum("ij,jk,ik->i", shares, gram, shares)
        return np.asarray(np.sqrt(np.maximum(squares, 0.0)))

    def legs(self) -> list[float]:
        """Lengths of the straight pieces between consecutive control points."""
        return [length_of([(1.0, b.vector), (-1.0, a.vector)]) for a, b in pairwise(self.points)]


def combined(shares: NDArray[np.float64], vectors: Sequence[Tensor]) -> Tensor:
    """``sum(share * vector)`` (D,)."""
    total = vectors[0] * float(shares[0])
    for share, vector in zip(shares[1:], vectors[1:], strict=True):
        total.add_(vector, alpha=float(share))
    return total
