"""Loss and error along a path of low loss between two networks, with the straight line beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from orograph.results.alignment import Alignment
from orograph.results.points import Anchor, Barrier, policy_remarks
from orograph.results.result import Result, record
from orograph.results.run import Run

Quantity = Literal["train_loss", "train_regularized", "train_error", "test_loss", "test_error"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


@record
@dataclass(frozen=True)
class Summary:
    """One quantity along a path: at its ends, its extremes with the t of the maximum, and its mean by arc length."""

    start: float
    end: float
    minimum: float
    maximum: float
    at: float
    mean: float
    arc_mean: float


@record
@dataclass(frozen=True, eq=False)
class Profile:
    """What was measured at n points of a path, batch norm re-estimated at each of them, ends included.

    Attributes
    ----------
    t : (n,) from 0 to 1; steps : (n - 1,) weight-space lengths between consecutive points; norm : (n,) length of the
        weights
    train_loss, test_loss : (n,) nats per example; train_error, test_error : (n,) fractions, or None without labels
    train_regularized : (n,) train loss with the L2 term (1/2) sum(decay w^2) of training: the published figure
    train_loss_stale, test_loss_stale, test_error_stale : (n,) the same with the first network's own batch-norm
        statistics kept all along, which fakes a barrier; None without batch norm
    pair_loss, pair_error : (n,) of the averaged probabilities of the first network and the one at t; None where not
        asked for
    train_barrier, test_barrier : the highest rise of the loss above the chord of the ends, refined between points
    """

    t: NDArray[np.float64]
    steps: NDArray[np.float64]
    norm: NDArray[np.float64]
    train_loss: NDArray[np.float64]
    train_regularized: NDArray[np.float64]
    test_loss: NDArray[np.float64]
    train_error: NDArray[np.float64] | None = None
    test_error: NDArray[np.float64] | None = None
    train_loss_stale: NDArray[np.float64] | None = None
    test_loss_stale: NDArray[np.float64] | None = None
    test_error_stale: NDArray[np.float64] | None = None
    pair_loss: NDArray[np.float64] | None = None
    pair_error: NDArray[np.float64] | None = None
    train_barrier: Barrier | None = None
    test_barrier: Barrier | None = None

    @property
    def length(self) -> float:
        """Length of the path in weight space, as the sum of its chords."""
        return float(self.steps.sum())

    @property
    def arc(self) -> NDArray[np.float64]:
        """(n,) the length of the path up to each point."""
        return np.concatenate([[0.0], np.cumsum(self.steps)])

    def summary_of(self, quantity: Quantity) -> Summary | None:
        """The quantity's summary; None where it was not measured. The maximum is over the grid of points."""
        values = getattr(self, quantity)
        if values is None:
            return None
        top = int(np.where(np.isfinite(values), values, np.inf).argmax())
        between, whole = (values[1:] + values[:-1]) / 2, self.steps.sum()
        arc_mean = float((between * self.steps).sum() / whole) if whole else float(values[0])
        return Summary(
            start=float(values[0]),
            end=float(values[-1]),
            minimum=float(values.min()),
            maximum=float(values[top]),
            at=float(self.t[top]),
            mean=float(np.trapezoid(values, self.t) / (self.t[-1] - self.t[0])),
            arc_mean=arc_mean,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Path(Result):
    """A trained curve between two networks and what was found on it.

    Attributes
    ----------
    kind : "bezier" or "polychain"; bends : free control points of each segment; segments : more than one where the
        curve passes through given networks
    chord : distance of the ends in weight space
    names : names of the two networks; anchors : the networks themselves, with their own batch-norm statistics too
    profile : along the curve; line : along the straight line between its ends
    naive_line : before alignment, the line to the second network as it was given; None where nothing was aligned
    control : (P, D) the control points in order, ends included, in the layout of the networks; None where they were
        left out
    legs : lengths of the straight pieces between control points. The training objective, uniform in t, is the average
        by arc length only where the legs of a polychain are equally long
    decay : strength of the L2 term on the points of the curve; None where it differs between parameters
    training : the record of training the bends; alignment : of the second network, where it was permuted first
    goal : the barrier of the train loss that more bends were added for, where one was given
    curve : the curve itself, a :class:`orograph.connect.Curve` (not saved; ``Curve.of`` makes it again)
    """

    kind: str
    bends: int
    segments: int
    names: tuple[str, str]
    anchors: tuple[Anchor, ...]
    profile: Profile
    line: Profile | None
    legs: tuple[float, ...]
    chord: float
    decay: float | None
    naive_line: Profile | None = None
    control: NDArray[Any] | None = None
    training: Run | None = None
    alignment: Alignment | None = None
    batchnorm: str = "frozen"
    goal: float | None = None
    curve: Any = field(default=None, repr=False, metadata={"saved": False, "compared": False})

    title: ClassVar[str] = "path"

    @property
    def t(self) -> NDArray[np.float64]:
        """(n,) places on the curve, 0 to 1."""
        return self.profile.t

    @property
    def train_loss(self) -> NDArray[np.float64]:
        """(n,) nats per example, without the L2 term."""
        return self.profile.train_loss

    @property
    def test_loss(self) -> NDArray[np.float64]:
        """(n,) nats per example."""
        return self.profile.test_loss

    @property
    def test_error(self) -> NDArray[np.float64] | None:
        """(n,) fractions, or None without labels."""
        return self.profile.test_error

    @property
    def barrier(self) -> Barrier | None:
        """The barrier of the train loss along the curve."""
        return self.profile.train_barrier

    @property
    def length(self) -> float:
        """Length of the curve in weight space."""
        return self.profile.length

    @property
    def stretch(self) -> float:
        """Length of the curve over the distance of its ends."""
        return self.length / self.chord if self.chord else float("nan")

    def summary(self) -> str:
        what = "straight line" if not self.bends else f"{self.kind} with {self.bends} bend{'s' * (self.bends > 1)}"
        lines = [f"{what} from {' to '.join(self.names)}: length {self.length:.4g}, {self.stretch:.3f} of the chord"]
        pieces = [(what, self.profile), ("straight line", self.line), ("line before alignment", self.naive_line)]
        for name, profile in pieces:
            if profile is None:
                continue
            lines.append(f"{name}: {_extremes(profile)}")
            if profile.train_barrier is not None:
                lines.append(f"{name}, train loss: {profile.train_barrier}")
        if len(self.legs) > 1 and self.kind == "polychain":
            lines.append(f"longest leg over shortest: {max(self.legs) / min(self.legs):.3f}")
        if self.profile.test_loss_stale is not None:
            stale, fresh = float(self.profile.test_loss_stale.max()), float(self.test_loss.max())
            lines.append(
                f"with stale batch-norm statistics its test loss would reach {stale:.4g} in place of {fresh:.4g}"
            )
        if self.alignment is not None:
            lines += self.alignment.summary().split("\n")
        return "\n".join([*lines, *policy_remarks(self.anchors)])

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types but the control points, with the curve's main figures at the top."""
        from orograph.basics.keys import plain

        found = super(Path, replace(self, control=None)).to_dict()
        for name in ("t", "train_loss", "test_loss", "test_error", "length", "stretch"):
            found[name] = plain(getattr(self, name))
        return found


def _extremes(profile: Profile) -> str:
    found = []
    for quantity in ("train_loss", "test_loss", "test_error"):
        summary = profile.summary_of(quantity)
        if summary is not None:
            words = quantity.replace("_", " ")
            ends = f"{summary.start:.4g} and {summary.end:.4g} at the ends"
            found.append(f"{words} {ends}, at most {summary.maximum:.4g} at t = {summary.at:.2f}")
    return "; ".join(found)
