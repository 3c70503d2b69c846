"""A point in weight space: one flat vector with a layout, its arithmetic, its file, and directions from it."""

from orograph.weights.directions import Normalization, normalize, random_direction, random_plane
from orograph.weights.layout import Layout, Slot, layout_of
from orograph.weights.vectors import Combination, Difference, Direction, chunks, dot, in_chunks, length_of
from orograph.weights.weights import Weights

__all__ = [
    "Combination",
    "Difference",
    "Direction",
    "Layout",
    "Normalization",
    "Slot",
    "Weights",
    "chunks",
    "dot",
    "in_chunks",
    "layout_of",
    "length_of",
    "normalize",
    "random_direction",
    "random_plane",
]
