"""What a run of training steps did, step by step and at a few glances."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from orograph.diagnose.glances import Glance
from orograph.diagnose.producer import Producer
from orograph.diagnose.recording import Series

ENOUGH = 3  #: new batches on which answers say something
_WINDOW = 10  # steps, where training losses stand in for the probe's


@dataclass
class Run:
    """What a run of steps did.

    Lists have one entry for each step: ``losses``; ``raw`` and ``given``, the norms of the fresh gradient and of what
    the optimiser got; ``cosine`` between the two (over the watched parameters); ``taken``, how often it stepped.
    ``updates``: for each parameter the relative change of every step; ``silent``: parameters that never had a
    gradient other than zero; ``missing``: those that had none at all.
    """

    losses: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    given: list[float] = field(default_factory=list)
    cosine: list[float] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    stale: list[float] = field(default_factory=list)  # cosine of what is not fresh with what was given before
    forgot: int = 0  # steps before which the optimiser's state was gone again
    others: int = 0  # optimisers with a state that stepped besides the given one
    beside: int = 0  # steps of any optimiser but the given one
    meddled: list[float] = field(default_factory=list)  # share of the numbers that changed between two steps
    lost: dict[str, int] = field(default_factory=dict)  # first steps in which a gradient came and was gone
    glances: list[Glance] = field(default_factory=list)
    updates: dict[str, list[float]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    norms: dict[str, tuple[float, float]] = field(default_factory=dict)
    resets: int = 0  # how often the weights were found where they began, after a step had moved them
    backwards: int = 0  # calls of backward() in steps
    moved: set[str] = field(default_factory=set)  # parameters that something changed, frozen ones too
    frozen_norms: set[str] = field(default_factory=set)  # norm layers that normalised by running statistics in a step
    evaluating: float = 0.0  # share of steps in which the whole network was in evaluation mode
    lr: list[float] = field(default_factory=list)
    overflown: str = ""  # the parameter that an optimiser's step broke, though it and its gradient were finite
    stopped: int | None = None  # the step at which loss or weights were no longer finite
    producer: Producer | None = None
    error: str = ""
    unwatched: str = ""  # why something could not be recorded
    seconds: float = 0.0
    fresh: list[float] = field(default_factory=list)  # quality on batches of the first epoch just before their step
    series: Series = field(default_factory=Series)
    agreement: float = float("nan")  # cosine of the first step's gradient with that of the loss as it was given

    @property
    def changes(self) -> list[float]:
        """The median over parameters of the relative change, for each step that the optimiser took."""
        rows = zip_longest(*self.updates.values(), fillvalue=float("nan"))
        known = [[one for one in row if math.isfinite(one)] for row in rows]
        return [statistics.median(row) if row else float("inf") for row in known]

    @property
    def start(self) -> float:
        """The probe's loss at the start, that of the first steps where it cannot be looked at."""
        seen = [glance.loss for glance in self.glances[:1] if not math.isnan(glance.loss)]
        return seen[0] if seen else _mean(self.losses[:_WINDOW])

    @property
    def end(self) -> float:
        """The probe's loss at the end; infinite where the run broke down."""
        if self.stopped is not None or not self.glances:
            return float("inf")
        last = self.glances[-1].loss
        return _mean(self.losses[-_WINDOW:]) if math.isnan(last) else last

    @property
    def unseen(self) -> float:
        """Mean quality on batches that were new, in the second half of the first epoch; NaN for too few."""
        return sum(self.fresh) / len(self.fresh) if len(self.fresh) >= ENOUGH else float("nan")

    @property
    def best(self) -> float:
        """The lowest loss of the probe on the way."""
        return min((g.loss for g in self.glances if math.isfinite(g.loss)), default=float("nan"))


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses) if losses else float("nan")
