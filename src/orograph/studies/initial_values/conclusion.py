"""The result of ``initial-values``: claims with verdicts, and the sections of its report."""

from __future__ import annotations

import numpy as np

from orograph.execute import Outcome
from orograph.results import Distances, Line, StudyResult, Surface, Table
from orograph.studies.conclusion import Conclusion, last
from orograph.studies.initial_values import claims
from orograph.studies.initial_values.options import InitialValues
from orograph.studies.initial_values.plan import moments, replica_names
from orograph.studies.subject import Subject

_ARM = ("A", "B", "C")
_HOW_TO_READ_A_LINE = (
    "Between alpha = 0 and 1 the weights go straight from one network to the other; a bump in the loss there is a "
    "barrier, a flat stretch means one basin. Outside they run on beyond both ends."
)
_HOW_TO_READ_A_PLANE = (
    "Each point is a network whose weights are A + u (B - A) + v (C - A). Bright is high accuracy. The axes are drawn "
    "at a right angle for simplicity, so angles and distances are not those of weight space."
)
_HOW_TO_READ_A_TRUE_PLANE = (
    "Each point is a network on the plane through A, B and C; axes are lengths in weight space, so angles and "
    "distances in this picture are true. Bright is high accuracy."
)
_HOW_TO_READ_AN_ABYSS = (
    "Accuracy and loss of network A as it was trained the wrong way: accuracy should fall to 0, which takes more "
    "knowledge than guessing. The loss is the abyss's own, so it falls too."
)


def conclude(options: InitialValues, subject: Subject, outcome: Outcome) -> StudyResult:
    """Read every part's results, decide the claims and write the report's sections in words."""
    return _Conclusion(options, subject, outcome).result()


class _Conclusion(Conclusion):
    study = "initial-values"
    citations = ("elasticdl179", "goodfellow2015", "frankle2020", "li2018", "antognini2018")

    def __init__(self, options: InitialValues, subject: Subject, outcome: Outcome) -> None:
        super().__init__(options, subject, outcome)
        self.names = replica_names(options)

    def write(self) -> None:
        self.replicas()
        if self.options.lines:
            self.different_starts()
        if self.options.same_start:
            self.same_start()
        if self.options.branches:
            self.branches()
        if self.options.abyss:
            self.abyss()
        if self.options.neighbourhoods:
            self.neighbourhoods()

    # -- sections ------------------------------------------------------------------------------------------------

    def replicas(self) -> None:
        runs = [self.run(f"replica {name}") for name in self.names]
        start, end = (self.find(f"distances at the {when}", Distances) for when in ("start", "end"))
        both = self.find("distances from start to end", Distances)
        own = [float(both.matrix[2 * i, 2 * i + 1]) for i in range(len(runs))]
        self.claims.append(claims.equal_accuracy(runs))
        self.claims.append(claims.equal_distances(start, end))
        self.claims.append(claims.start_to_end(own, end))
        rows = tuple(
            (run.name, last(run.test_accuracy), last(run.test_loss), last(run.train_loss), way, float(norm))
            for run, way, norm in zip(runs, own, end.norms, strict=True)
        )
        columns = (
            "replica",
            "test accuracy",
            "test loss (nats)",
            "train loss (nats)",
            "start to end",
            "norm at the end",
        )
        epochs = f"{runs[0].epochs[-1]:g} epoch{'' if runs[0].epochs[-1] == 1 else 's'}"
        self.section(
            "Replicas from different initial values",
            f"{len(runs)} networks of {self.subject.parameters:,} parameters, each with its own initial values and "
            f"data order, trained for {epochs} on {self.subject.train_examples:,} examples.",
            ["replica A"],
            ["Accuracy and loss of replica A as it was trained; the other replicas are in the table."],
            (Table("Replicas at the end of training", columns, rows, "Distances are Euclidean, in weight space."),),
        )
        self.section(
            "How far apart",
            f"At the start the replicas are {start.pairs.mean():.4g} apart on average, at the end "
            f"{end.pairs.mean():.4g}; each has moved {np.mean(own):.4g} from its own start.",
            ["distances at the start", "distances at the end"],
            ["Each cell is the Euclidean distance between two networks; equal colours mean equally far."] * 2,
        )

    def different_starts(self) -> None:
        lines = self.lines("line", [("A", name) for name in self.names[1:]], " ")
        self.claims.append(
            claims.barrier_separates(
                "different-starts",
                "A barrier separates networks from different starts: they stand on different mountains.",
                "accuracy falls towards 0.1 between every pair (figure; no number given)",
                lines,
            )
        )
        panels = [*lines, *self.maybe("plane")]
        text = self.plane_text("plane", "Between A and the others the accuracy was measured on straight lines")
        self.section("Between different starts", text, panels, self.readings(panels), (self.barriers(lines),))

    def same_start(self) -> None:
        lines = self.lines("same start: line", _arm_pairs(), " ")
        self.claims.append(
            claims.barrier_separates(
                "same-start",
                "A barrier separates networks of the same start trained in another data order.",
                "A, B, C are on different mountains, though the ravines are not as deep (figure)",
                lines,
            )
        )
        if self.options.lines:
            different = self.lines("line", [("A", name) for name in self.names[1:]], " ")
            self.claims.append(claims.shallower(different, lines))
        panels = [*lines, *self.maybe("same start: plane")]
        text = self.plane_text(
            "same start: plane", "A, B and C begin with the same weights and see the data in other orders"
        )
        tables = (self.barriers(lines), self.arm_table(["replica A", "same start B", "same start C"]))
        self.section("Same start, other data order", text, panels, self.readings(panels), tables)

    def branches(self) -> None:
        trunk = self.run("trunk")
        reached = last(trunk.test_accuracy)
        published = {0.2: "accuracy inside the triangle similar or a little higher", 1.0: "still similar"}
        for epoch in moments(self.options):
            part = f"branches {epoch:g}"
            lines = self.lines(f"{part}: line", _arm_pairs(), " ")
            words = f"{epoch:g} epoch{'' if epoch == 1 else 's'}"
            self.claims.append(
                claims.no_barrier(
                    f"branches-{epoch:g}",
                    f"No barrier separates branches of a common, partly trained start after {words}.",
                    published.get(epoch, "the area inside still has good accuracy, A, B, C are the highest"),
                    lines,
                )
            )
            panels = [*lines, *self.maybe(f"{part}: plane")]
            text = self.plane_text(
                f"{part}: plane",
                f"Three branches of one network, taken at the first measurement at or above a test accuracy of "
                f"{self.options.branch_accuracy:g} (it was {reached:.3f}), and trained on in other data orders for "
                f"{words}",
            )
            self.section(f"Branches after {words}", text, panels, self.readings(panels), (self.barriers(lines),))

    def abyss(self) -> None:
        runs = [self.run(f"abyss {name}") for name in _ARM]
        lines = self.lines("abyss: line", _arm_pairs(), " ")
        self.claims.append(claims.many_abysses(runs, lines))
        panels = ["abyss A", *lines, *self.maybe("abyss: plane")]
        self.section(
            "The abyss",
            "Three networks from different starts trained the other way, with the loss -log(1 - p) of the true class, "
            "towards the lowest accuracy. The loss in these pictures is that one.",
            panels,
            self.readings(panels),
            (self.arm_table([f"abyss {name}" for name in _ARM]), self.barriers(lines)),
        )

    def neighbourhoods(self) -> None:
        panels = ["neighbourhood of A", "neighbourhood of B", "trajectory of A"]
        reading = (
            "Random directions, each filter of them as long as the network's own; one unit moves every filter by its "
            "own length. A wide bowl means that the loss stands large changes."
        )
        path = (
            "The way of training on the two axes along which it spread most. Contours belong to points of this plane; "
            "the true loss of each checkpoint is in its label, and off-plane says how far from the plane it lies."
        )
        self.section(
            "Surroundings of single networks",
            "Scaling the weights of a network with batch norm or ReLU can change distances and widths without changing "
            "what it computes, so pictures in raw weights can fool. Filter normalisation takes that freedom away.",
            panels,
            [reading, reading, path],
        )

    # -- pieces --------------------------------------------------------------------------------------------------

    def readings(self, panels: list[str]) -> list[str]:
        plane = _HOW_TO_READ_A_PLANE if self.options.frame == "oblique" else _HOW_TO_READ_A_TRUE_PLANE
        found = []
        for name in panels:
            kind = self.result_of(name)
            is_plane, is_line = isinstance(kind, Surface), isinstance(kind, Line)
            found.append(plane if is_plane else _HOW_TO_READ_A_LINE if is_line else _HOW_TO_READ_AN_ABYSS)
        return found

    def plane_text(self, name: str, opening: str) -> str:
        if not self.options.planes:
            return f"{opening}."
        plane = self.find(name, Surface)
        row, column = plane.best
        beats = "which beats all three" if plane.best_beats_anchors else "no better than the three themselves"
        return (
            f"{opening}. The best accuracy on the drawn patch of the plane is {plane.best_value:.4f} at "
            f"({plane.alpha[column]:.2f}, {plane.beta[row]:.2f}), {beats} beyond two standard errors."
        )

    def barriers(self, lines: dict[str, Line]) -> Table:
        columns = ("pair", "distance", "loss barrier (nats)", "standard error", "at t", "error barrier", "at t (error)")
        rows = []
        for line in lines.values():
            wall = line.barrier
            assert wall is not None
            error = "" if wall.error_height is None else wall.error_height
            rows.append(("-".join(line.names), line.length, wall.height, wall.se, wall.at, error, wall.error_at))
        return Table("Barriers", columns, tuple(rows), "The loss barrier's maximum is refined between grid points.")

    def arm_table(self, tasks: list[str]) -> Table:
        runs = [self.run(task) for task in tasks]
        rows = tuple(
            (name, last(run.test_accuracy), last(run.test_loss), float(run.distance_from_start[-1]))
            for name, run in zip(_ARM, runs, strict=True)
        )
        climbs = runs[0].recipe["direction"] == "climb"
        loss = "abyss loss, -log(1 - p) (nats)" if climbs else "test loss (nats)"
        return Table("The three networks", ("network", "test accuracy", loss, "start to end"), rows)

    def maybe(self, name: str) -> list[str]:
        return [name] if self.options.planes else []

    def lines(self, part: str, pairs: list[tuple[str, str]], gap: str) -> dict[str, Line]:
        names = [f"{part}{gap}{a}-{b}" for a, b in pairs]
        return {name: self.find(name, Line) for name in names}

    def what(self) -> str:
        return f"{len(self.names)} replicas of {self.options.model} on {self.options.data}"

    def finding(self) -> str:
        verdicts = self.verdicts
        parts = []
        different = {
            "reproduced": "networks from different starts stand on different mountains",
            "not reproduced": "no barrier lies between networks from different starts",
            "inconclusive": "whether networks from different starts are separated stays open",
        }
        if "different-starts" in verdicts:
            parts.append(different[verdicts["different-starts"]])
        branches = [verdict for name, verdict in verdicts.items() if name.startswith("branches-")]
        if branches:
            if set(branches) == {"reproduced"}:
                parts.append("branches of a partly trained start share one")
            elif "not reproduced" in branches:
                parts.append("branches of a partly trained start part as well")
            else:
                parts.append("whether branches of a partly trained start stay together is not decided everywhere")
        sentence = "; ".join(parts)
        return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""

    def notes(self) -> tuple[str, ...]:
        found = []
        if self.options.branches:
            trunk = self.run("trunk")
            reached = last(trunk.test_accuracy)
            if reached < self.options.branch_accuracy:
                found.append(
                    f"The common start never reached accuracy {self.options.branch_accuracy:g}: it ended at "
                    f"{reached:.3f}, so the branches start from there."
                )
        examples = self.options.map_examples
        if examples is not None and examples < self.subject.test_examples:
            found.append(
                f"Planes were measured on the first {examples:,} of {self.subject.test_examples:,} test examples; "
                "lines, barriers and tables on all of them."
            )
        if self.options.precision == "bf16":
            found.append("Pictures were measured in bf16, barriers in float32.")
        return tuple(found)


def _arm_pairs() -> list[tuple[str, str]]:
    return [("A", "B"), ("A", "C"), ("B", "C")]
