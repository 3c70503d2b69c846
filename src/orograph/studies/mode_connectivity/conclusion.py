"""The result of ``mode-connectivity``: claims with verdicts, and the sections of its report."""

from __future__ import annotations

from collections.abc import Sequence

from orograph.execute import Outcome
from orograph.results import Alignment, Path, Profile, Routes, StudyResult, Table
from orograph.studies.conclusion import Conclusion, last
from orograph.studies.mode_connectivity import claims
from orograph.studies.mode_connectivity.options import ModeConnectivity
from orograph.studies.mode_connectivity.plan import endpoint
from orograph.studies.subject import Subject

_HOW_TO_READ_ROUTES = (
    "From one network to the other along each way. Where the straight line rises and a curve does not, the two minima "
    "are joined, though not by a line. The last panel averages the predictions of the first network and the one at t."
)
_HOW_TO_READ_A_PLANE = (
    "The plane through both networks and the bend of the curve, in true lengths; the colour is the train loss with the "
    "L2 term of training. See whether the curve goes round a height that lies on the straight line."
)
_HOW_TO_READ_THREE = "The plane through three independent networks, in true lengths: see whether low ground joins them."
_HOW_TO_READ_LEGS = "Straight legs through all networks in turn; a hump on each leg is the barrier between neighbours."
_HOW_TO_READ_ALIGNMENT = (
    "The barrier of the same straight line: as the networks are, with the units of the second put in the first one's "
    "order, and with the activations' spread mended, which averaging takes away."
)


def conclude(options: ModeConnectivity, subject: Subject, outcome: Outcome) -> StudyResult:
    """Read every path, decide the claims and write the report's sections in words."""
    return _Conclusion(options, subject, outcome).result()


class _Conclusion(Conclusion):
    study = "mode-connectivity"
    citations = ("garipov2018", "ainsworth2023", "jordan2023", "frankle2020")
    options: ModeConnectivity

    def write(self) -> None:
        self.networks()
        self.connected()
        if self.options.planes:
            self.planes()
        if self.options.align:
            self.aligned()
        if self.options.permuted:
            self.permuted()
        if self.options.polyline and self.options.pairs > 1:
            self.polyline()

    def what(self) -> str:
        return f"{self.options.pairs} pairs of {self.options.model} on {self.options.data}"

    def finding(self) -> str:
        joined = {
            "reproduced": "Independent minima are joined by curves without a barrier",
            "not reproduced": "Curves between independent minima keep a barrier",
            "inconclusive": "Whether curves without a barrier join independent minima stays open",
        }
        line = {
            "reproduced": ", though the straight line has one",
            "not reproduced": ", and so does the straight line",
            "inconclusive": "",
        }
        bent, straight = (self.verdicts[claim] for claim in ("bezier-no-barrier", "line-barrier"))
        return joined[bent] + (line[straight] if bent == "reproduced" else "") + "."

    def notes(self) -> tuple[str, ...]:
        found = []
        examples = self.options.train_examples
        if examples is not None and examples < self.subject.train_examples:
            found.append(
                f"Train losses along paths were measured on the first {examples:,} of {self.subject.train_examples:,} "
                "training examples, without augmentation."
            )
        if self.subject.has_batchnorm and self.options.batchnorm in (None, "recalibrate"):
            found.append(
                "Batch-norm statistics were re-estimated at every point, ends included, so the ends differ "
                "from the networks' own figures."
            )
        return tuple(found)

    # -- sections ------------------------------------------------------------------------------------------------

    def networks(self) -> None:
        names = [endpoint(letter, pair) for pair in self.pairs for letter in "AB"]
        runs = [self.run(f"network {name}") for name in names]
        columns = ("network", "test accuracy", "test loss (nats)", "train loss (nats)", "distance from its start")
        rows = tuple(
            (name, last(r.test_accuracy), last(r.test_loss), last(r.train_loss), last(r.distance_from_start))
            for name, r in zip(names, runs, strict=True)
        )
        self.section(
            "The networks",
            f"{len(names)} networks of {self.subject.parameters:,} parameters, each from initial values and a data "
            f"order of its own, trained for {self.options.train.epochs:g} epochs on {self.subject.train_examples:,} "
            "examples.",
            tables=(Table("Networks at the end of training", columns, rows),),
        )

    def connected(self) -> None:
        curves = {"bezier": self.paths("bezier")}
        if self.options.polychain:
            curves["polychain"] = self.paths("polychain")
        lines = self.lines(curves["bezier"])
        self.claims.append(claims.line_has_barrier(lines))
        self.claims += [claims.curve_has_none(kind, _profiles(paths)) for kind, paths in curves.items()]
        if self.options.polychain:
            both = (_profiles(paths) for paths in curves.values())
            self.claims.append(claims.family_does_not_matter(*both))
        panels = []
        for index, pair in enumerate(self.pairs):
            others = {kind: paths[index] for kind, paths in curves.items() if kind != "bezier"}
            self.shown[f"pair {pair}: ways"] = Routes.of(curves["bezier"][index], **others)
            panels.append(f"pair {pair}: ways")
        stretch = [path.stretch for path in curves["bezier"]]
        self.section(
            "Line and curves",
            f"Between the two networks of each pair: the straight line, and curves with {self.options.bends} free "
            f"point{'s' * (self.options.bends > 1)}, trained for {self.options.curve.epochs:g} epochs. The Bezier "
            f"curves are {min(stretch):.3f} to {max(stretch):.3f} times as long as the straight line.",
            panels,
            [_HOW_TO_READ_ROUTES] * len(panels),
            (self.table("Along the ways", {"straight line": lines, **{k: _profiles(p) for k, p in curves.items()}}),),
        )  # fmt: skip

    def planes(self) -> None:
        panels = ["plane of pair 1: bezier"]
        readings = [_HOW_TO_READ_A_PLANE]
        if self.options.polychain:
            panels.append("plane of pair 1: polychain")
            readings.append(_HOW_TO_READ_A_PLANE)
        if self.options.pairs > 1:
            panels.append("plane of three optima")
            readings.append(_HOW_TO_READ_THREE)
        self.section("The country that the curves go through", "Planes of weight space.", panels, readings)

    def aligned(self) -> None:
        paths = self.paths("aligned bezier")
        self.claims.append(claims.alignment_lowers_the_line(paths))
        found = [self.find(f"pair {pair}: alignment", Alignment) for pair in self.pairs]
        coverage = found[0].coverage
        columns = ("pair", "units moved", "distance before", "distance after", *found[0].barriers)
        rows = []
        for pair, one in zip(self.pairs, found, strict=True):
            heights = (barrier.height for barrier in one.barriers.values())
            rows.append((pair, int(one.moved.sum()), one.distance_before, one.distance_after, *heights))
        ways = {
            "line before alignment": [path.naive_line for path in paths if path.naive_line is not None],
            "line after alignment": self.lines(paths),
            "curve after alignment": _profiles(paths),
        }
        panels = ["pair 1: alignment", "pair 1: aligned bezier"]
        self.section(
            "The same units in one order",
            "A network computes the same function however its hidden units are ordered. The units of the second "
            f"network are permuted to match the first ({100 * coverage:.2f} % of the parameters lie in tensors that "
            f"permute); the function stays, to {max(one.largest_change for one in found):.0e} of the largest output.",
            panels,
            [_HOW_TO_READ_ALIGNMENT, _HOW_TO_READ_ROUTES],
            (
                Table("Alignment", columns, tuple(rows), "Barriers of the test loss on the straight line, in nats."),
                self.table("Along the ways", ways),
            ),
        )  # fmt: skip

    def permuted(self) -> None:
        paths = self.paths("permuted copy")
        self.claims.append(claims.copy_is_connected(_profiles(paths), self.lines(paths)))
        self.section(
            "A network and its permuted copy",
            "Both ends are one function, at two places of weight space that no training run went between. The line "
            "between them has a barrier all the same; a curve has to go round it.",
            ["pair 1: permuted copy"],
            [_HOW_TO_READ_ROUTES],
            (self.table("Along the ways", {"straight line": self.lines(paths), "bezier": _profiles(paths)}),),
        )

    def polyline(self) -> None:
        self.section("Through all of them", "Straight legs, nothing trained.", ["polyline"], [_HOW_TO_READ_LEGS])

    # -- pieces --------------------------------------------------------------------------------------------------

    @property
    def pairs(self) -> range:
        return range(1, self.options.pairs + 1)

    def paths(self, what: str) -> list[Path]:
        return [self.find(f"pair {pair}: {what}", Path) for pair in self.pairs]

    def lines(self, paths: Sequence[Path]) -> list[Profile]:
        return [path.line for path in paths if path.line is not None]

    def table(self, title: str, ways: dict[str, list[Profile]]) -> Table:
        """The published table's figures for every pair, beside the loss without the L2 term."""
        columns = (
            "pair", "way", "regularised train loss, least", "most", "train loss, most", "test error, least", "most",
            "barrier, train loss (nats)", "barrier, test error", "length",
        )  # fmt: skip
        rows = []
        for index, pair in enumerate(self.pairs):
            for name, profiles in ways.items():
                profile = profiles[index]
                whole, loss = profile.summary_of("train_regularized"), profile.summary_of("train_loss")
                error, wall, rise = profile.summary_of("test_error"), profile.train_barrier, profile.test_barrier
                assert whole is not None
                assert loss is not None
                rows.append(
                    (
                        pair, name, whole.minimum, whole.maximum, loss.maximum,
                        None if error is None else error.minimum, None if error is None else error.maximum,
                        None if wall is None else wall.height, None if rise is None else rise.error_height,
                        profile.length,
                    )
                )  # fmt: skip
        caption = (
            "Least and most over the points; the L2 term shrinks towards the middle, and with it the regularised loss."
        )
        return Table(title, columns, tuple(rows), caption)


def _profiles(paths: Sequence[Path]) -> list[Profile]:
    return [path.profile for path in paths]
