"""Each prescription tried on a copy, and the findings that are left.

A suspicion that needs proof is kept only if its change helps; one that is a fault in any case is kept, with what came
of the change. A proved cause takes the findings that it explains with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from orograph.diagnose.chart import Chart, Edit, Suspicion, quality_of
from orograph.diagnose.order import absorbed, alarming, best_of_each, cures, finding_of
from orograph.diagnose.run import Run
from orograph.diagnose.shadow import train
from orograph.diagnose.signals import Signals
from orograph.diagnose.thresholds import threshold
from orograph.diagnose.unexplained import unexplained
from orograph.results.diagnosis import Finding, Outcome, Trial

_LOSS_TELLS = (
    "W01",
    "W03",
    "W04",
    "W05",
    "W07",
    "D01",
    "D02",
    "D04",
    "I05",
    "O10",
)  # their changes keep the loss as it is
# What may be so on purpose: parts that keep still, inputs, examples and classes that hardly count, penalties, gates.
_LOOKS = ("W03", "W19", "L09", "L12", "L15", "I04", "I05", "I09")
_NO_BETTER = ("no effect", "made worse")
_SCALES = ("D02", "D08")  # of inputs and targets, which many networks adapt to in time
_MOST = 2  # times the length of one run that all proofs together may take
_FASTER = ("O00", "O01", "O03", "I00", "W00", "L00")
_SURE = 2  # times the steps that were asked for, from which on a run that did not learn says something
_LEAST = 20  # steps of a proof, however slow the network is


class Proving:
    """Runs changed copies, each once, and judges suspicions by them."""

    def __init__(
        self,
        chart: Chart,
        probe: Sequence[Any],
        signals: Signals,
        *,
        steps: int,
        wanted: int,
        seconds: float,
        seed: int,
    ) -> None:
        self.chart, self.probe, self.signals, self.seed = chart, probe, signals, seed
        self.steps, self.wanted = max(steps, _LEAST), wanted
        run = chart.run
        if run is not None and run.losses and run.seconds > 0:
            # Half the time of the run for each proof: it has to do as well with fewer steps.
            affordable = int(0.5 * seconds * len(run.losses) / run.seconds)
            self.steps = max(min(self.steps, affordable), _LEAST)
        self._deadline = perf_counter() + _MOST * seconds
        self._runs: dict[str, Run | None] = {}

    def findings(self, suspicions: Sequence[Suspicion]) -> list[Finding]:
        """What is left of the suspicions, root causes first, each with its trial."""
        judged: list[tuple[Suspicion, Trial]] = []
        for one in suspicions:
            if one.edit is not None and any(one.id == other.id and cures(trial) for other, trial in judged):
                continue
            trial = self.judge(one)
            if trial is not None:
                judged.append((one, trial))
        judged = best_of_each(judged)
        certain = [pair for pair in judged if pair[0].needs == "nothing" and alarming(pair[0])]
        proved = [pair for pair in judged if pair[1].outcome == "verified"]
        if not self.chart.trains and not certain and not proved:
            judged = [*judged, *unexplained(self)]
        return [finding_of(self._tempered(one, trial), trial) for one, trial in absorbed(judged)]

    def _tempered(self, one: Suspicion, trial: Trial) -> Suspicion:
        """After a run that time cut short, a setting that is quicker at first is no alarm: many begin slowly. Nor is
        what looks like a fault in a network that answers well, and no better without it."""
        run = self.chart.run
        well = self.chart.trains and quality_of(run) >= threshold("answers_well")
        if one.id in _LOOKS and well and trial.outcome in _NO_BETTER:
            return replace(one, severity="question")
        if one.id == "L01" and self.chart.trains and trial.outcome in _NO_BETTER:  # wrong, and it learns all the same
            return replace(
                one,
                severity="warning",
                cause=f"{one.cause}; it learns all the same, with probabilities that cannot come near 0 and 1",
            )
        short = run is not None and sum(run.taken) < _SURE * self.wanted  # steps of the optimiser, not passes
        vague = run is not None and math.isnan(quality_of(run))  # a loss by itself need not fall: that of a GAN, say
        if (
            not (short or vague)
            or run is None
            or (run.end >= 1.5 * run.start and not run.beside)
            or self.chart.trains
            or one.needs == "nothing"
            or one.id not in _FASTER
        ):
            return one
        limits = "give it more seconds: the run was short" if short else "a loss that is not meant to fall"
        return replace(one, severity="question", limits=f"{one.limits}; {limits}" if one.limits else limits)

    def run(self, edit: Edit) -> Run | None:
        """A run of a changed copy; None where it could not be made, or time is up."""
        if edit.name not in self._runs:
            self._runs[edit.name] = self._tried(edit) if perf_counter() < self._deadline else None
        return self._runs[edit.name]

    def _tried(self, edit: Edit) -> Run | None:
        patient = self.chart.patient
        try:
            with patient.copy(own_step=not (edit.ordinary or patient.bound)) as made:
                edit.apply(made)
                return train(
                    made, patient.batches, self.probe, self.chart.probe.task,
                    steps=self.steps, seed=self.seed, record=False,
                )  # fmt: skip
        except Exception:  # a change that does not fit this network
            return None

    def judge(self, one: Suspicion) -> Trial | None:
        """The trial of a suspicion; None where it is dropped."""
        chart = self.chart
        if one.needs == "harm" and chart.trains:
            return None
        if one.needs == "proof" and chart.trains and one.id.startswith("O") and _well(chart, one):
            return None
        if one.edit is None or (not alarming(one) and chart.trains):
            return Trial() if one.needs != "proof" else None
        run = self.run(one.edit)
        trial = Trial(note="it could not be applied") if run is None else self.compared(run, one.id)
        if run is not None and trial.outcome == "no effect" and one.id in _LOSS_TELLS and one.needs == "nothing":
            trial = self._by_loss(run, trial)
        if one.needs == "proof" and trial.outcome != "verified":
            return None
        return trial

    def compared(self, run: Run, id: str = "O") -> Trial:
        chart = self.chart
        if chart.run is None or not chart.run.losses:
            return self._from_start(run)
        if math.isnan(quality_of(run)) or math.isnan(quality_of(chart.run)):
            return self._by_loss_alone(run)
        gain = chart.gain(run)
        # Beside a run that learns, what halves the rest has helped; of the optimiser's settings more is asked, since
        # healthy ones differ in how fast they are.
        before, after = quality_of(chart.run), quality_of(run)
        sudden = chart.trains and not id.startswith("O") and id not in _SCALES
        halved = sudden and gain >= 0.05 and 1 - after <= 0.5 * (1 - before)
        # Where answers were good by luck before anything was learned, the loss tells.
        user = chart.run
        same = bool(chart.probe.task.form) and not id.startswith("L") and id != "D08"  # the loss, before and after
        lower = same and user is not None and not chart.trains and _lower(chart, run, user, 0.6)
        outcome: Outcome = "no effect"
        if (gain >= threshold("proof_gain") or halved or (lower and gain >= 0)) and chart.improves(run):
            outcome = "verified"
        elif gain <= -threshold("proof_gain"):
            outcome = "made worse"
        return Trial(outcome, "quality of the answers (1 is perfect)", before, after, self.steps)

    def _from_start(self, run: Run) -> Trial:
        """Of what cannot be run as it is, which therefore stays as it begins."""
        if math.isnan(quality_of(run)):
            what, before, after = "loss on the first examples", run.start, run.end
            helped = after < threshold("proof_loss") * before
        else:
            what, before, after = "quality of the answers (1 is perfect)", run.glances[0].quality, quality_of(run)
            helped = after - before >= threshold("proof_gain")
        return Trial("verified" if helped else "no effect", what, before, after, self.steps)

    def _by_loss_alone(self, run: Run) -> Trial:
        """Where answers cannot be rated, the loss has to tell."""
        chart = self.chart
        before, after = chart.run.end if chart.run is not None else math.nan, run.end
        outcome: Outcome = "no effect"
        if chart.gain(run) >= threshold("proof_gain") and chart.improves(run) and math.isfinite(after):
            outcome = "verified"
        return Trial(outcome, "loss on the first examples", before, after, self.steps)

    def _by_loss(self, run: Run, trial: Trial) -> Trial:
        """Of what is a fault in any case: where answers are good already, a loss of half is an effect too."""
        user = self.chart.run
        if user is None or user.stopped is not None or run.stopped is not None:
            return trial
        if not _lower(self.chart, run, user, threshold("proof_loss")):
            return trial
        return Trial("verified", "loss on the first examples", user.end, run.end, self.steps)


def _lower(chart: Chart, run: Run, user: Run, share: float) -> bool:
    """Whether a run's loss is at most this share of the user's, less what the loss adds to both."""
    constant = chart.probe.task.constant
    return user.end - constant > 0 and run.end - constant <= share * (user.end - constant)


def _well(chart: Chart, one: Suspicion) -> bool:
    """Whether a run that learns is no reason to try other settings of the optimiser."""
    return quality_of(chart.run) > 0.5 or one.id == "O02"
