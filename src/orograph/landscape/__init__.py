"""Distances, lines, planes, neighbourhoods and trajectories: pictures of the country between networks."""

from orograph.landscape.barrier import barrier
from orograph.landscape.distances import distances
from orograph.landscape.line import line
from orograph.landscape.neighbourhood import neighbourhood
from orograph.landscape.plane import plane
from orograph.landscape.points import as_weights
from orograph.landscape.trajectory import trajectory

__all__ = ["as_weights", "barrier", "distances", "line", "neighbourhood", "plane", "trajectory"]
