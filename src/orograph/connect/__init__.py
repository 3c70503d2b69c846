"""Paths and permutations between minima: curves of low loss, and aligned units."""

from orograph.connect.align import align, find_groups, permuted_copy
from orograph.connect.curves import Curve
from orograph.connect.path import path
from orograph.connect.pictures import plane, polyline

__all__ = ["Curve", "align", "find_groups", "path", "permuted_copy", "plane", "polyline"]
