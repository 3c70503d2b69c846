"""The tasks of ``fast-ensembling``: runs of three methods, the answers of their members, and their geometry."""

from __future__ import annotations

import math

from orograph.execute import Task
from orograph.studies.fast_ensembling.options import FastEnsembling
from orograph.studies.members.planning import MemberPlanner, Method, run_name
from orograph.studies.subject import Subject

INDEPENDENT, SNAPSHOTS, FGE = "independent", "snapshots", "fge"
METHODS = (INDEPENDENT, SNAPSHOTS, FGE)
_LEG = 10  # points of a leg


def plan(options: FastEnsembling, subject: Subject) -> list[Task]:
    """All tasks of the parts that are switched on, each after those it needs."""
    return _Planner(options, subject).tasks()


def distances_of(repeat: int) -> str:
    """The task that measures distances between members of a repetition."""
    return f"distances {repeat}"


def way_of(method: str, repeat: int) -> str:
    """The task of the straight legs through members."""
    return f"legs through {method} {repeat}"


def fge_members(options: FastEnsembling) -> int:
    """About how many networks a run of fast geometric ensembling collects; exactly, for cycles of whole epochs."""
    return math.floor((1 - options.fge_start) * options.train.epochs / options.fge_cycle + 0.5 + 1e-9)


class _Planner(MemberPlanner):
    options: FastEnsembling

    def tasks(self) -> list[Task]:
        options = self.options
        found = []
        for repeat in range(1, options.repeats + 1):
            for run in range(1, options.budgets + 1):
                for method in self.methods():
                    found += self.member_run(method, repeat, run)
        if options.geometry:
            for repeat in range(1, options.repeats + 1):
                found += self.geometry(repeat)
        return found

    def methods(self) -> tuple[Method, ...]:
        options = self.options
        triangles = {
            "name": "fge",
            "cycle": options.fge_cycle,
            "high": options.fge_high,
            "low": options.fge_low,
            "start": options.fge_start,
        }
        cosines = {"name": "snapshot", "cycles": options.snapshots, "lr": options.snapshot_lr}
        return (
            Method(INDEPENDENT, options.train),
            Method(SNAPSHOTS, options.train, cosines),
            Method(FGE, options.train, triangles),
        )

    def geometry(self, repeat: int) -> list[Task]:
        """Of the members of one run of each method, and of the independent networks."""
        first = {method: [run_name(method, repeat, 1)] for method in (FGE, SNAPSHOTS)}
        first[INDEPENDENT] = [run_name(INDEPENDENT, repeat, run) for run in range(1, self.options.budgets + 1)]
        everyone = [name for names in first.values() for name in names]
        found = [self.members(distances_of(repeat), "member_distances", everyone, "", 1.0)]
        legs = {FGE: fge_members(self.options) - 1, SNAPSHOTS: self.options.snapshots - 1}
        legs[INDEPENDENT] = self.options.budgets - 1
        for method, names in first.items():
            if legs[method]:
                found.append(self.way(way_of(method, repeat), names, method, _LEG * legs[method] + 1))
        return found
