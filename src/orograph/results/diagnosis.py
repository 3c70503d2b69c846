"""Why a network does not train: findings in the order of root causes, each with its evidence and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from orograph.basics.words import columns, counted
from orograph.results.result import Result, record
from orograph.results.signals import LossCurve, RateRange, Signal

Severity = Literal["critical", "warning", "question", "info"]
Outcome = Literal["verified", "no effect", "made worse", "not tried"]
Verdict = Literal["trains", "does not train", "unclear", "not run"]
_EVIDENCE = ("what", "measured", "threshold", "usual")


@record
@dataclass(frozen=True)
class Evidence:
    """One number behind a finding: ``what`` was measured, its ``value``, the ``threshold`` it crossed (NaN: none) and
    what is ``usual`` in networks that train."""

    what: str
    value: float
    threshold: float = float("nan")
    usual: str = ""

    def __str__(self) -> str:
        limit = "" if np.isnan(self.threshold) else f" (threshold {self.threshold:.3g})"
        return f"{self.what}: {self.value:.4g}{limit}{f'; usual: {self.usual}' if self.usual else ''}"

    @property
    def row(self) -> tuple[str, str, str, str]:
        """What it is, measured, threshold (empty for none) and usual: the row of a table in plain text."""
        return self.what, f"{self.value:.4g}", "" if np.isnan(self.threshold) else f"{self.threshold:.3g}", self.usual


@record
@dataclass(frozen=True)
class Trial:
    """A prescription tried on a copy: ``measure`` ``before`` and ``after`` it, over so many ``steps`` with the same
    seeds and batches."""

    outcome: Outcome = "not tried"
    measure: str = ""
    before: float = float("nan")
    after: float = float("nan")
    steps: int = 0
    note: str = ""

    @property
    def named(self) -> str:
        """The measure without what stands in brackets behind it."""
        return self.measure.partition(" (")[0]

    @property
    def scale(self) -> str:
        """What the numbers of the measure mean, where its name does not say it."""
        if not self.measure.startswith("quality"):
            return ""
        broke = ", -1: the run broke down" if -1.0 in (self.before, self.after) else ""
        return f"0: no better than a constant answer, 1: perfect{broke}"

    def __str__(self) -> str:
        if self.outcome == "not tried":
            return f"not tried{f': {self.note}' if self.note else ''}"
        scale = f"; {self.scale}" if self.scale else ""
        return (
            f"{self.outcome}: {self.named} {self.before:.4g} without, {self.after:.4g} with it "
            f"({self.steps} steps{scale})"
        )


@record
@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be.

    ``id`` is stable (W wiring, D data, L loss, I initialisation, A architecture, O optimisation); ``confidence`` lies
    in [0, 1]; ``stage`` is 0 (wiring) to 3 (proof) and ``step`` the training step; ``where`` a module or parameter;
    ``explains`` the ids of findings that this one accounts for; ``code`` what to change; ``limits`` what would make
    the finding wrong.
    """

    id: str
    title: str
    severity: Severity
    confidence: float
    cause: str
    prescription: str
    stage: int = 0
    step: int = 0
    where: str = ""
    code: str = ""
    evidence: tuple[Evidence, ...] = ()
    explains: tuple[str, ...] = ()
    trial: Trial = field(default_factory=Trial)
    limits: str = ""

    @property
    def verified(self) -> Outcome:
        """What came of trying the prescription on a copy."""
        return self.trial.outcome

    @property
    def alarms(self) -> bool:
        """Whether it says that something is wrong: critical or a warning."""
        return self.severity in ("critical", "warning")

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        lines = [f"{self.id} {self.severity} ({self.confidence:.0%}): {self.title}{place}", f"  cause: {self.cause}"]
        if self.evidence:
            told = columns(_EVIDENCE, [one.row for one in self.evidence], right=("measured", "threshold"))
            lines += [f"    {line}" for line in told]
        lines.append(f"  do: {self.prescription}")
        lines += [f"      {line}" for line in self.code.splitlines()]
        lines.append(f"  tried on a copy: {self.trial}")
        if self.explains:
            lines.append(f"  explains: {', '.join(self.explains)}")
        return "\n".join(lines)


@record
@dataclass(frozen=True)
class StageRecord:
    """A stage of the examination: what it did, and its seconds of wall time; ``note`` where it was skipped, and why."""

    name: str
    seconds: float
    note: str = ""


@record
@dataclass(frozen=True)
class LayerReading:
    """A layer's outputs on one batch, in the order in which layers run.

    ``mean, std, rms, largest`` over all entries; ``zeros`` the share of exact zeros; ``dead`` the share of units that
    are zero on the whole batch; ``saturated`` the share of entries at the flat ends of a sigmoid or tanh; ``between``
    the share of standard deviation that lies between examples; ``not_finite`` how many entries; ``gradient_rms`` that
    of the loss by the outputs (NaN where there is none).
    """

    layer: str
    kind: str
    mean: float
    std: float
    rms: float
    largest: float
    zeros: float
    dead: float
    saturated: float
    between: float
    not_finite: int
    gradient_rms: float = float("nan")


@record
@dataclass(frozen=True)
class ParameterReading:
    """A parameter and its gradient: norms, standard deviation over that of He's initialisation (NaN for no kernel), and
    in training the median share by which a step changes it."""

    parameter: str
    size: int
    norm: float
    std: float
    he_ratio: float
    gradient_norm: float
    gradient_zeros: float
    not_finite: int
    update_ratio: float = float("nan")


@dataclass(frozen=True, eq=False, kw_only=True)
class Histograms(Result):
    """Distributions over time, for heat maps.

    Attributes
    ----------
    names : (L,) of layers or parameters; steps : (S,)
    edges : (B + 1,) of the logarithm (base 10) of absolute values
    counts : (S, L, B) finite values other than 0 in each bin
    special : (S, L, 4) how many are zero, NaN, +infinity and -infinity
    """

    names: tuple[str, ...]
    steps: NDArray[np.int64]
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    special: NDArray[np.int64]

    title: ClassVar[str] = "histograms"

    def summary(self) -> str:
        bad = int(self.special[:, :, 1:].sum())
        return f"magnitudes of {counted(len(self.names), 'tensor')} at {counted(len(self.steps), 'step')}" + (
            f", {bad:,} values not finite" if bad else ""
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Diagnosis(Result):
    """What the doctor, or a monitor, found.

    Attributes
    ----------
    findings : root causes first
    verdict : whether the network trains as it is, by the shadow run
    stages : what was done, and how long it took
    task : what kind of targets and loss there are, in words
    loss : (T,) losses of the shadow run, step by step
    layers, parameters : on the first batch, before training; update ratios from the shadow run
    activations, gradients : histograms over the steps of the shadow run; None where there was none
    signals : measurements that are no findings by themselves; rates : the learning-rate range test, where it was made
    """

    findings: tuple[Finding, ...]
    verdict: Verdict
    stages: tuple[StageRecord, ...] = ()
    task: str = ""
    loss: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    layers: tuple[LayerReading, ...] = ()
    parameters: tuple[ParameterReading, ...] = ()
    activations: Histograms | None = None
    gradients: Histograms | None = None
    signals: tuple[Signal, ...] = ()
    rates: RateRange | None = None

    title: ClassVar[str] = "diagnosis"

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings that are critical or warnings."""
        return tuple(finding for finding in self.findings if finding.alarms)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong as far as was seen."""
        return not self.alarms and self.verdict in ("trains", "unclear", "not run")

    @property
    def curve(self) -> LossCurve:
        """The losses of the shadow run, to be drawn."""
        return LossCurve(losses=self.loss, provenance=self.provenance)

    def summary(self) -> str:
        seconds = sum(stage.seconds for stage in self.stages)
        if not self.findings:
            what = {"trains": "the network trains", "not run": "nothing was found without training"}.get(
                self.verdict, f"in these steps it was not seen to train ({self.verdict})"
            )
            return f"healthy: {what}; nothing to report ({seconds:.1f} s)"
        head = f"{counted(len(self.findings), 'finding')}; the network {_WORDS[self.verdict]} ({seconds:.1f} s)"
        return "\n".join([head, *(str(finding) for finding in self.findings)])


_WORDS = {
    "trains": "trains as it is",
    "does not train": "does not train as it is",
    "unclear": "was not seen to train in a short run",
    "not run": "was not run",
}
