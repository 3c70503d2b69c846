"""A point in weight space: one flat vector with a layout, its arithmetic, its file, and directions from it."""

from orograph.weights.directions import Normalization, normalize, random_direction, random_plane
from orograph.weights.layout import Layout, Slot, layout_of
from orograph.weights.weights import Weights, dot

__all__ = [
    "Layout",
    "Normalization",
    "Slot",
    "Weights",
    "dot",
    "layout_of",
    "normalize",
    "random_direction",
    "random_plane",
]
