"""The tasks of ``mode-connectivity``: endpoints, curves between them, planes and legs through them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from orograph.basics.seeds import derive
from orograph.execute import Task
from orograph.studies.mode_connectivity.options import ModeConnectivity
from orograph.studies.planning import Planner, Point, resolved
from orograph.studies.subject import Subject

_MODULE = "mode_connectivity.tasks"
_REFINEMENT = 12  # further points that finding the top of a barrier takes
_LETTERS = "AB"


def plan(options: ModeConnectivity, subject: Subject) -> list[Task]:
    """All tasks of the parts that are switched on, each after those it needs."""
    return _Planner(options, subject).tasks()


def endpoint(letter: str, pair: int) -> str:
    """What a network is called: A1, B1, A2 …"""
    return f"{letter}{pair}"


class _Planner(Planner):
    options: ModeConnectivity

    def tasks(self) -> list[Task]:
        options = self.options
        found, curves = [], []
        for pair in range(1, options.pairs + 1):
            for letter in _LETTERS:
                name = endpoint(letter, pair)
                found.append(self.train(f"network {name}", name, options.train, self.streams("network", name)))
            curves += self.curves(pair)
        found += curves
        if options.planes:
            found += self.planes()
        if options.polyline and options.pairs > 1:
            found.append(self.polyline())
        return found

    def curves(self, pair: int) -> list[Task]:
        """Every curve of a pair; the straight line is measured with the first of them."""
        options = self.options
        ends = [(f"network {endpoint(letter, pair)}", "final") for letter in _LETTERS]
        names = [endpoint(letter, pair) for letter in _LETTERS]
        found = [self.path(f"pair {pair}: bezier", ends, names, line=True)]
        if options.polychain:
            found.append(self.path(f"pair {pair}: polychain", ends, names, kind="polychain"))
        if options.align:
            curve = f"pair {pair}: aligned bezier"
            found.append(self.path(curve, ends, names, align=options.method, line=True))
            found.append(self.alignment(f"pair {pair}: alignment", curve, ends, names))
        if options.permuted:
            copied = [names[0], f"{names[0]} permuted"]
            found.append(self.path(f"pair {pair}: permuted copy", [ends[0]], copied, permuted=True, line=True))
        return found

    def path(
        self,
        task: str,
        ends: list[tuple[str, str]],
        names: list[str],
        *,
        kind: str = "bezier",
        align: str = "",
        permuted: bool = False,
        line: bool = False,
    ) -> Task:
        options = self.options
        recipe = resolved(options.curve, self.subject)
        arguments = {
            **self.connecting(ends, names),
            "kind": kind,
            "bends": options.bends,
            "align": align,
            "permuted": permuted,
            "line": line,
            "recipe": asdict(recipe),
            "points": options.points,
            "seed": derive(options.seed, task),
        }
        measured = (2 if line else 1) * (options.points + _REFINEMENT) * self.point()
        needs = [end[0] for end in ends]
        return self.task(task, f"{_MODULE}:connect", arguments, needs, self.training(recipe) + measured)

    def alignment(self, task: str, curve: str, ends: list[tuple[str, str]], names: list[str]) -> Task:
        arguments = {
            **self.connecting(ends, names),
            "method": self.options.method,
            "seed": derive(self.options.seed, curve),  # so that it is the alignment that the curve was given
        }
        return self.task(task, f"{_MODULE}:align_pair", arguments, [end[0] for end in ends], 150 * self.cell(None))

    def planes(self) -> list[Task]:
        """Through three independent optima, and through the first pair and the bend of each of its curves."""
        found = []
        curves = ["pair 1: bezier", *(["pair 1: polychain"] if self.options.polychain else [])]
        ends = [(f"network {endpoint(letter, 1)}", "final") for letter in _LETTERS]
        names = [endpoint(letter, 1) for letter in _LETTERS]
        cells = self.options.plane_points**2
        for curve in curves:
            arguments = {
                **self.connecting(ends, [*names, "bend"]),
                "curve": curve,
                "resolution": self.options.plane_points,
                "decay": self.options.curve.weight_decay,
            }
            needs = [curve, *(end[0] for end in ends)]
            found.append(self.task(f"plane of {curve}", f"{_MODULE}:draw_bend", arguments, needs, cells * self.point()))
        if self.options.pairs > 1:
            three: list[Point] = [*ends, (f"network {endpoint('A', 2)}", "final")]
            arguments = {
                **self.connecting(three, [*names, endpoint("A", 2)]),
                "points": three,
                "frame": "orthonormal",
                "span": None,
                "resolution": self.options.plane_points,
                "paths": [],
            }
            needs = [point[0] for point in three]
            found.append(
                self.task("plane of three optima", "tasks:draw_plane", arguments, needs, cells * self.cell(None))
            )
        return found

    def polyline(self) -> Task:
        names = [endpoint(letter, pair) for pair in range(1, self.options.pairs + 1) for letter in _LETTERS]
        ends: list[Point] = [(f"network {name}", "final") for name in names]
        legs = 10 * (len(names) - 1) + 1
        needs = [end[0] for end in ends]
        return self.task("polyline", f"{_MODULE}:draw_legs", self.connecting(ends, names), needs, legs * self.point())

    def connecting(self, points: Any, names: list[str]) -> dict[str, Any]:
        """The arguments that all these tasks share."""
        examples = self.options.train_examples
        return {
            **self.base,
            "points_at": points,
            "names": names,
            "objective": self.objective("cross_entropy", None),
            "train_examples": None if examples is None or examples >= self.subject.train_examples else examples,
        }

    def point(self) -> float:
        """Examples passed forward at one point of a path: train, test and statistics."""
        train = self.subject.train_examples if self.options.train_examples is None else self.options.train_examples
        return self.cell(None) + min(train, self.subject.train_examples)
