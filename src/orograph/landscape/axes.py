"""Axes of pictures: evenly spaced coefficients that hold the centre and the given models exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orograph.basics.errors import UsageError

_ROUNDING = 1e-9  # of the span: closer than this is the same value, written with a rounding error
_MOST = 100_001


def axis(span: tuple[float, float], resolution: int, through: Sequence[float]) -> NDArray[np.float64]:
    """(n,) evenly spaced values from ``span[0]`` to ``span[1]`` that contain each value of ``through`` exactly.

    ``n`` is the smallest number of points, at least ``resolution``, for which the values lie on the lattice: on (-1, 2)
    with 0 and 1 that asks for n - 1 divisible by 3. Values outside the span are left out.

    Raises
    ------
    UsageError
        The span is empty, the resolution below 2, or no lattice of reasonable size fits.
    """
    low, high = map(float, span)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"a span runs from a smaller to a larger finite number, not from {low:g} to {high:g}")
    if resolution < 2:
        raise UsageError(f"a resolution of {resolution} is too small; use at least 2 points")
    wanted = [value for value in through if low <= value <= high]
    for count in range(resolution, min(resolution + 2000, _MOST)):
        places = [(value - low) / (high - low) * (count - 1) for value in wanted]
        if all(abs(place - round(place)) < _ROUNDING * count for place in places):
            values: NDArray[np.float64] = np.linspace(low, high, count).astype(np.float64)
            for value, place in zip(wanted, places, strict=True):
                values[round(place)] = value
            return values
    if resolution > _MOST - 2000:
        raise UsageError(f"{resolution:,} points are too many; use at most {_MOST - 2001:,}")
    points = " and ".join(f"{value:g}" for value in wanted)
    raise UsageError(f"no even spacing from {low:g} to {high:g} contains {points}; choose rounder ends")


def centred_axis(span: tuple[float, float], resolution: int) -> NDArray[np.float64]:
    """About ``resolution`` multiples of one step that cover ``span`` and contain 0 exactly."""
    low, high = map(float, span)
    if not low <= 0 <= high or low == high:
        raise UsageError(f"the span {low:g} to {high:g} must contain the centre, 0")
    if resolution < 2:
        raise UsageError(f"a resolution of {resolution} is too small; use at least 2 points")
    step = (high - low) / (resolution - 1)
    first, last = math.floor(low / step + _ROUNDING), math.ceil(high / step - _ROUNDING)
    return np.arange(first, last + 1, dtype=np.float64) * step


def given_axis(values: ArrayLike, through: Sequence[float], name: str = "alphas") -> NDArray[np.float64]:
    """The caller's own coefficients, ascending, with ``through`` values inside their range made exact.

    Raises UsageError where a value of ``through`` lies inside the range but on no point, with a resolution that works.
    """
    found = np.array(values, dtype=np.float64).reshape(-1)
    if not len(found) or not np.isfinite(found).all() or (np.diff(found) <= 0).any():
        raise UsageError(f"{name} must be finite and ascending")
    span = max(float(found[-1] - found[0]), 1.0)
    for value in through:
        if not found[0] <= value <= found[-1]:
            continue
        place = int(np.abs(found - value).argmin())
        if abs(found[place] - value) > _ROUNDING * span:
            better = len(axis((found[0], found[-1]), len(found), through))
            raise UsageError(
                f"{name} do not contain {value:g}, so a given network would be missed; "
                f"use {better} points from {found[0]:g} to {found[-1]:g}"
            )
        found[place] = value
    return found
