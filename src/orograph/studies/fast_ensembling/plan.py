"""The tasks of ``fast-ensembling``: runs of three methods, the answers of their members, and their geometry."""

from __future__ import annotations

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


class _Planner(MemberPlanner):
    options: FastEnsembling

    def tasks(self) -> list[Task]:
        options, methods = self.options, self.methods()
        sizes = {method.name: self.collected(method) for method in methods}
        found = []
        for repeat in range(1, options.repeats + 1):
            for run in range(1, options.budgets + 1):
                for method in methods:
                    found += self.member_run(method, repeat, run)
        if options.geometry:
            for repeat in range(1, options.repeats + 1):
                found += self.geometry(repeat, {**sizes, INDEPENDENT: options.budgets})
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

    def geometry(self, repeat: int, sizes: dict[str, int]) -> list[Task]:
        """Of the members of one run of each method, and of the independent networks; ``sizes`` of them."""
        first = {method: [run_name(method, repeat, 1)] for method in (FGE, SNAPSHOTS)}
        first[INDEPENDENT] = [run_name(INDEPENDENT, repeat, run) for run in range(1, self.options.budgets + 1)]
        everyone = [name for names in first.values() for name in names]
        found = [self.members(distances_of(repeat), "member_distances", everyone, "", 1.0)]
        for method, names in first.items():
            if sizes[method] > 1:
                points = _LEG * (sizes[method] - 1) + 1
                found.append(self.way(way_of(method, repeat), names, method, points))
        return found
