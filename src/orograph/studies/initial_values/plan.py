"""The tasks of ``initial-values``: which networks are trained, and which pictures are drawn through them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orograph.basics.seeds import derive
from orograph.execute import Task
from orograph.landscape.points import default_names
from orograph.studies.initial_values.options import InitialValues
from orograph.studies.planning import Planner, Point
from orograph.studies.subject import Subject
from orograph.train.recipe import Recipe

_ARM = ("A", "B", "C")
# Extra checkpoints for drawing trajectories: denser at the start, where the way is longest.
_TRAJECTORY = (0.1, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 33, 41, 50, 70, 100, 150, 200, 300)


def plan(options: InitialValues, subject: Subject) -> list[Task]:
    """All tasks of the parts that are switched on, each after those it needs."""
    return _Planner(options, subject).tasks()


def trajectory_epochs(epochs: float) -> tuple[float, ...]:
    """Epochs at which replicas keep checkpoints for their trajectories."""
    return tuple(float(epoch) for epoch in _TRAJECTORY if epoch < epochs)


def replica_names(options: InitialValues) -> tuple[str, ...]:
    """A, B, C … for the replicas."""
    return default_names(options.replicas)


def moments(options: InitialValues) -> tuple[float, ...]:
    """The epochs at which branches are compared, ascending, each once."""
    return tuple(sorted(set(options.branch_epochs)))


class _Planner(Planner):
    options: InitialValues

    def tasks(self) -> list[Task]:
        options, names = self.options, replica_names(self.options)
        kept = {*options.train.checkpoints, *trajectory_epochs(options.train.epochs)}
        recipe = replace(options.train, checkpoints=tuple(sorted(kept)))
        found = [self.train(f"replica {name}", name, recipe, self.streams("replica", name)) for name in names]
        ends: list[Point] = [(f"replica {name}", "final") for name in names]
        starts: list[Point] = [(f"replica {name}", "start") for name in names]
        found.append(self.distances("distances at the start", starts, names))
        found.append(self.distances("distances at the end", ends, names))
        found.append(
            self.distances(
                "distances from start to end",
                [point for pair in zip(starts, ends, strict=True) for point in pair],
                [f"{name}{when}" for name in names for when in (" start", " end")],
            )
        )
        if options.lines:
            pairs = [("A", name) for name in names[1:]]
            found += [self.line(f"line {a}-{b}", (f"replica {a}", f"replica {b}"), "final", (a, b)) for a, b in pairs]
        if options.planes:
            found.append(self.plane("plane", [f"replica {name}" for name in _ARM], "final"))
        if options.neighbourhoods:
            found += [self.neighbourhood(f"neighbourhood of {name}", name) for name in ("A", "B")]
            found.append(self.trajectory())
        if options.same_start:
            found += self.same_start(recipe)
        if options.branches:
            found += self.branches()
        if options.abyss:
            found += self.abyss(recipe)
        return found

    # -- parts ---------------------------------------------------------------------------------------------------

    def same_start(self, recipe: Recipe) -> list[Task]:
        """A's own start again, with other data orders; A itself is the first of the three."""
        found = []
        for name in _ARM[1:]:
            streams = {**self.streams("replica", "A"), "order": derive(self.options.seed, "same start", name)}
            found.append(self.train(f"same start {name}", f"{name} (start of A)", recipe, streams))
        return found + self.pictures("same start", ["replica A", "same start B", "same start C"], "final")

    def branches(self) -> list[Task]:
        """A trunk that stops at the wished accuracy, and three branches of it that differ in their data order."""
        options, train = self.options, self.options.train
        trunk = replace(
            train,
            schedule="constant",
            warmup=0.0,
            stop_at_accuracy=options.branch_accuracy,
            measure_every=min(0.05, train.measure_every),
        )
        times = moments(options)
        recipe = replace(train, epochs=times[-1], schedule="constant", warmup=0.0, checkpoints=times)
        found = [self.train("trunk", "trunk", trunk, self.streams("trunk", "trunk"))]
        for name in _ARM:
            streams = self.streams("branch", name)
            found.append(self.train(f"branch {name}", name, recipe, streams, start=("trunk", "final")))
        for epoch in times:
            found += self.pictures(f"branches {epoch:g}", [f"branch {name}" for name in _ARM], epoch)
        return found

    def abyss(self, recipe: Recipe) -> list[Task]:
        """Three networks from different starts, trained towards the lowest accuracy."""
        climb = replace(recipe, direction="climb", label_smoothing=0.0)
        found = [self.train(f"abyss {name}", name, climb, self.streams("abyss", name)) for name in _ARM]
        return found + self.pictures("abyss", [f"abyss {name}" for name in _ARM], "final", loss="abyss")

    def pictures(self, part: str, runs: list[str], moment: str | float, loss: str = "cross_entropy") -> list[Task]:
        """Lines between all pairs of three networks, and the plane through them."""
        found = [
            self.line(f"{part}: line {_ARM[i]}-{_ARM[j]}", (runs[i], runs[j]), moment, (_ARM[i], _ARM[j]), loss)
            for i, j in ((0, 1), (0, 2), (1, 2))
        ]
        if self.options.planes:
            found.append(self.plane(f"{part}: plane", runs, moment, loss))
        return found

    # -- single tasks --------------------------------------------------------------------------------------------

    def distances(self, task: str, points: list[Point], names: Any) -> Task:
        arguments = {"points": points, "names": list(names)}
        return self.task(task, "tasks:measure_distances", arguments, [point[0] for point in points], 1.0)

    def line(
        self, task: str, runs: tuple[str, str], moment: str | float, names: tuple[str, str], loss: str = "cross_entropy"
    ) -> Task:
        arguments = {
            **self.base,
            "points": [(run, moment) for run in runs],
            "names": names,
            "span": (-1.0, 2.0),
            "resolution": self.options.line_points,
            "objective": self.objective(loss, None),
        }
        return self.task(task, "tasks:draw_line", arguments, runs, (self.options.line_points + 12) * self.cell(None))

    def plane(self, task: str, runs: list[str], moment: str | float, loss: str = "cross_entropy") -> Task:
        arguments = {
            **self.base,
            "points": [(run, moment) for run in runs],
            "names": list(_ARM),
            # Whole ways belong on the plane of final networks; branches share too little of theirs to show.
            "paths": [(name, run) for name, run in zip(_ARM, runs, strict=True)] if moment == "final" else [],
            "frame": self.options.frame,
            "span": (-0.5, 1.5),
            "resolution": self.options.plane_points,
            "objective": self.objective(loss, self.options.map_examples),
        }
        cells = self.options.plane_points**2
        return self.task(task, "tasks:draw_plane", arguments, runs, cells * self.cell(self.options.map_examples))

    def neighbourhood(self, task: str, name: str) -> Task:
        arguments = {
            **self.base,
            "point": (f"replica {name}", "final"),
            "name": name,
            "normalization": "filter",
            "span": 1.0,
            "resolution": self.options.neighbourhood_points,
            "seed": derive(self.options.seed, "neighbourhood"),
            "objective": self.objective("cross_entropy", self.options.map_examples),
        }
        cells = self.options.neighbourhood_points**2
        needs = (f"replica {name}",)
        return self.task(
            task, "tasks:draw_neighbourhood", arguments, needs, cells * self.cell(self.options.map_examples)
        )

    def trajectory(self) -> Task:
        arguments = {
            **self.base,
            "run": "replica A",
            "resolution": self.options.neighbourhood_points,
            "objective": self.objective("cross_entropy", self.options.map_examples),
        }
        cells = self.options.neighbourhood_points**2
        effort = cells * self.cell(self.options.map_examples)
        return self.task("trajectory of A", "tasks:draw_trajectory", arguments, ("replica A",), effort)
