"""What verbs return: frozen records of arrays with units and provenance. Nothing here imports torch."""

from orograph.results.alignment import Alignment, FrozenAxis
from orograph.results.distances import Distances
from orograph.results.line import Line
from orograph.results.path import Path, Profile, Summary
from orograph.results.points import Anchor, Barrier, Economy
from orograph.results.provenance import Cost, Provenance
from orograph.results.result import Result, load
from orograph.results.run import Checkpoint, Run
from orograph.results.study import Claim, Panel, Section, StudyResult, Table, Verdict
from orograph.results.surface import ProjectedPath, Surface
from orograph.results.trajectory import Trajectory, random_walk_shares

__all__ = [
    "Alignment",
    "Anchor",
    "Barrier",
    "Checkpoint",
    "Claim",
    "Cost",
    "Distances",
    "Economy",
    "FrozenAxis",
    "Line",
    "Panel",
    "Path",
    "Profile",
    "ProjectedPath",
    "Provenance",
    "Result",
    "Run",
    "Section",
    "StudyResult",
    "Summary",
    "Surface",
    "Table",
    "Trajectory",
    "Verdict",
    "load",
    "random_walk_shares",
]
