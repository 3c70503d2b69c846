r"""Frames of planes: which two directions, and where the given networks lie in them.

With b = B - A and c = C - A the *oblique* frame of ElasticDL issue 179 is :math:`M(u, v) = A + u b + v c`; its picture
shows neither the angles nor the distances of weight space. The *orthonormal* frame has
:math:`e_1 = b / \|b\|`, :math:`r = c - \langle c, e_1 \rangle e_1`, :math:`e_2 = r / \|r\|`, and its axes are lengths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orograph.basics.errors import UsageError
from orograph.results import ProjectedPath
from orograph.weights import Combination, Difference, Direction, Weights, dot, length_of

_COLLINEAR = 1e-6


@dataclass(frozen=True)
class Frame:
    """Two directions (D,) around a centre, and the coordinates of the given networks in them."""

    first: Direction
    second: Direction
    places: tuple[tuple[float, float], ...]

    @property
    def gram(self) -> tuple[float, float, float]:
        """Squared lengths of both directions and their inner product, in float64."""
        return dot(self.first, self.first), dot(self.second, self.second), dot(self.first, self.second)

    @property
    def lengths(self) -> tuple[float, float]:
        """Weight-space lengths of one unit along each axis."""
        return math.sqrt(self.gram[0]), math.sqrt(self.gram[1])

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the axes; NaN where one of them is zero."""
        one, two, product = self.gram
        return product / math.sqrt(one * two) if one * two else math.nan


def oblique(a: Weights, b: Weights, c: Weights) -> Frame:
    """The frame with A, B, C at (0, 0), (1, 0), (0, 1). Raises UsageError where they lie on one line."""
    first, second = Difference(b.vector, a.vector), Difference(c.vector, a.vector)
    _across(first, second)
    return Frame(first, second, ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))


def orthonormal(a: Weights, b: Weights, c: Weights) -> Frame:
    """The frame with A at (0, 0), B at (|b|, 0), C above the first axis; axis values are weight-space lengths."""
    sides = [Combination(((1.0, corner.vector), (-1.0, a.vector))) for corner in (b, c)]
    overlap, height = _across(*sides)
    length = math.sqrt(dot(sides[0], sides[0]))
    lean = overlap / length  # r = c - lean * b
    first = Combination(((1 / length, b.vector), (-1 / length, a.vector)))
    second = Combination(((1 / height, c.vector), (-lean / height, b.vector), ((lean - 1) / height, a.vector)))
    return Frame(first, second, ((0.0, 0.0), (length, 0.0), (overlap, height)))


def _across(first: Direction, second: Direction) -> tuple[float, float]:
    """<c, e1> and |r|."""
    length, other = math.sqrt(dot(first, first)), math.sqrt(dot(second, second))
    if not length or not other:
        raise UsageError("two of the three networks are the same point; a plane needs three different ones")
    overlap = dot(first, second) / length
    height = length_of([(1.0, second), (-overlap / length, first)])
    if height < _COLLINEAR * other:
        raise UsageError("the three networks lie on one line; choose others, or draw the line")
    return overlap, height


def to_orthonormal(u: float, v: float, b_length: float, overlap: float, height: float) -> tuple[float, float]:
    """Oblique coordinates as orthonormal ones: x = u |b| + v <c, e1>, y = v |r|."""
    return u * b_length + v * overlap, v * height


def to_oblique(x: float, y: float, b_length: float, overlap: float, height: float) -> tuple[float, float]:
    """Orthonormal coordinates as oblique ones: v = y / |r|, u = (x - v <c, e1>) / |b|."""
    v = y / height
    return (x - v * overlap) / b_length, v


def project(
    frame: Frame, center: Weights, path: Sequence[Weights], epochs: Sequence[float], losses: Sequence[float], name: str
) -> ProjectedPath:
    """A trajectory in the frame's coefficients (least squares), with each checkpoint's distance from the plane."""
    one, two, product = frame.gram
    gram = np.array([[one, product], [product, two]])
    when, height_of = np.array(epochs, dtype=np.float64), np.array(losses, dtype=np.float64)
    places, heights = [], []
    for point in path:
        moved = point.vector.to(center.vector.device) - center.vector
        sides = np.array([dot(moved, frame.first), dot(moved, frame.second)])
        place = np.linalg.solve(gram, sides)
        places.append(place)
        heights.append(length_of([(1.0, moved), (-float(place[0]), frame.first), (-float(place[1]), frame.second)]))
    return ProjectedPath(name, when, np.array(places), np.array(heights), height_of)
