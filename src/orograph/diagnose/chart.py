"""All that is known of a patient, and what a suspicion is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from orograph.diagnose.losses import parts_of
from orograph.diagnose.patient import Copy, Patient
from orograph.diagnose.probe import Probe
from orograph.diagnose.run import Run
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence, Severity

Needs = Literal["nothing", "harm", "proof"]
_ORDER = "WDLIAO"


@dataclass(frozen=True)
class Edit:
    """A change to a copy: ``apply`` makes it, ``ordinary`` leaves the user's own step out (which it replaces)."""

    name: str
    apply: Callable[[Copy], None]
    ordinary: bool = False


@dataclass
class Suspicion:
    """A finding before it is proved.

    ``needs``: "nothing", where it is a fault whatever comes of it; "harm", where it counts only if the network does not
    train; "proof", where it counts only if the edit helps. ``explains``: what it accounts for.
    """

    id: str
    title: str
    severity: Severity
    confidence: float
    cause: str
    prescription: str
    code: str = ""
    where: str = ""
    stage: int = 0
    step: int = 0
    evidence: tuple[Evidence, ...] = ()
    explains: tuple[str, ...] = ()
    limits: str = ""
    edit: Edit | None = None
    needs: Needs = "nothing"

    @property
    def rank(self) -> int:
        """Root causes first: wiring, data, loss, initialisation, architecture, optimisation."""
        return _ORDER.index(self.id[0])


@dataclass
class Chart:
    """What is known: the patient, the probe before training and the shadow run (None before it)."""

    patient: Patient
    probe: Probe
    run: Run | None = None

    @property
    def reconstructs(self) -> bool:
        """Whether targets are as many numbers as inputs, as an autoencoder has them; or outputs are, and the loss does
        without the targets."""
        inputs, targets = parts_of(self.patient.batches[0])
        if not isinstance(inputs, Tensor):
            return False
        if isinstance(targets, Tensor) and targets.is_floating_point() and targets.numel() == inputs.numel():
            return True
        outputs, task = self.probe.outputs, self.probe.task
        return task.kind == "other" and outputs is not None and outputs.numel() == inputs.numel()

    @property
    def embeds(self) -> bool:
        """Whether outputs seem to be no answers but places in a space, of which labels tell who belongs to whom: they
        are more than the labels in use, and the loss is not one of classes."""
        task = self.probe.task
        return task.kind == "classes" and not task.form and not self.probe.counts.weights and 0.0 in task.shares

    @property
    def learned(self) -> float:
        """The share of the baseline's loss (else of the first) that was gone at the end of the shadow run."""
        return _learned(self, self.run)

    @property
    def quality(self) -> float:
        """How good the answers on the probe were at the end, 0 to 1; -1 where the run broke down."""
        return quality_of(self.run)

    @property
    def trains(self) -> bool:
        """Whether the shadow run learned something that a constant answer does not know."""
        return self.works(self.run)

    @property
    def fails(self) -> bool:
        """Whether it broke down or learned nothing at all."""
        run = self.run
        if run is None:
            return False
        if run.stopped is not None:
            return True
        if _exploded(self, run):
            return True
        low = threshold("not_learned")
        return not self.works(run) and quality_of(run) < low and _learned(self, run) < low

    @property
    def broke(self) -> bool:
        """Whether numbers ceased to be finite, or the loss ended far above where it began."""
        return self.run is not None and (self.run.stopped is not None or _exploded(self, self.run))

    def works(self, run: Run | None) -> bool:
        """The same of any run on the same probe."""
        if run is None or run.stopped is not None or _exploded(self, run):
            return False
        enough, first = threshold("learned"), run.glances[0].quality if run.glances else math.nan
        # Answers that were as good before it are no success, but for a network that came trained.
        rose = not quality_of(run) < first + threshold("not_learned") or self._came_trained(run, first)
        # Of few examples a share is right by luck; then the loss has to have moved, too.
        moved = quality_of(run) >= 3 * enough or not self.probe.task.form or _learned(self, run) > 0.01
        if quality_of(run) >= enough and rose and moved:
            return True
        # A loss of no known form may fall without any answer getting better; or answers mean something else by it.
        ordered = bool(run.glances) and run.glances[-1].rank >= threshold("trained")
        known = bool(self.probe.task.form) or not quality_of(run) < threshold("not_learned") or ordered
        constant = self.probe.task.constant
        # The first examples may be easier than the rest; to be below a constant's loss from the start is no success.
        share = (run.end - constant) / (run.start - constant) if run.start != constant else math.nan
        fell = share <= 1 - threshold("not_learned") or _learned(self, run) >= threshold("trained")
        return known and fell and _learned(self, run) >= enough

    def _came_trained(self, run: Run, first: float) -> bool:
        """Whether the answers were good before, and not by luck: a network that was drawn has a constant's loss."""
        task = self.probe.task
        known = bool(task.form) and math.isfinite(task.baseline) and task.baseline > 0
        return first >= threshold("trained") and not (known and run.start - task.constant > 0.8 * task.baseline)

    def improves(self, run: Run) -> bool:
        """Whether a changed run learned; beside one that broke down, a beginning is enough."""
        low = threshold("not_learned")
        broke = self.broke and run.stopped is None
        return self.works(run) or (broke and (quality_of(run) >= low or _learned(self, run) >= low))

    def gain(self, run: Run) -> float:
        """How much better a run came out than the user's, in quality (0 to 1)."""
        return max(_score(self, run), -1.0) - max(_score(self, self.run), -1.0)


def _exploded(chart: Chart, run: Run) -> bool:
    """Whether the loss ends far above where it began, whatever the answers are worth; an adversary may raise it."""
    if run.beside and math.isnan(quality_of(run)):
        return False
    baseline = chart.probe.task.baseline
    constant = chart.probe.task.constant
    level = max(abs(run.start - constant), baseline if math.isfinite(baseline) else 0.0)
    return run.end - constant > threshold("exploded") * level


def quality_of(run: Run | None) -> float:
    """The quality at the end of a run, -1 where it broke down; NaN for none."""
    if run is None or not run.glances:
        return float("nan")
    return -1.0 if run.stopped is not None else run.glances[-1].quality


def _score(chart: Chart, run: Run | None) -> float:
    if run is not None and _exploded(chart, run):
        return -1.0
    quality = quality_of(run)
    return quality if math.isfinite(quality) else _learned(chart, run)


def _learned(chart: Chart, run: Run | None) -> float:
    if run is None or not run.glances:
        return float("nan")
    if run.stopped is not None:
        return -1.0
    baseline = chart.probe.task.baseline
    constant = chart.probe.task.constant
    before = baseline if math.isfinite(baseline) and baseline > 0 else run.start - constant
    if not (math.isfinite(before) and before != 0):
        return float("nan")
    return (before - (run.end - constant)) / abs(before)
