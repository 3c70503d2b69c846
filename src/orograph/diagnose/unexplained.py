"""Where a network does not train and no rule names the cause: one part after another is changed, to see which cures."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Edit, Suspicion
from orograph.diagnose.order import cures
from orograph.diagnose.rules.counting import usual_loss
from orograph.diagnose.rules.targets import no_signal, unrelated
from orograph.diagnose.run import Run
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Trial

if TYPE_CHECKING:
    from orograph.diagnose.proving import Proving


def unexplained(proving: Proving) -> list[tuple[Suspicion, Trial]]:
    """No rule applies, or none helps: change one part at a time and see which change cures."""
    if no_signal(proving.chart) and proving.signals.overfit.learns:  # other weights would only learn by heart
        one = _not_cured(proving)
        return [(one, (proving.judge(one) if one.edit else None) or Trial(note="no change of the training helps"))]
    ways = [
        ("O00", "the optimiser or the training step", edits.trusted_optimizer()),
        ("I00", "the initial weights", edits.redrawn()),
        ("I00", "initial weights and optimiser together", edits.both(edits.redrawn(), edits.trusted_optimizer())),
    ]
    if (loss := usual_loss(proving.chart)) is not None:
        ways.insert(0, ("L00", "the loss", loss))
        ways.append(("L00", "loss and optimiser together", edits.both(loss, edits.trusted_optimizer())))
    if proving.chart.patient.step is not None:
        ways.insert(0, ("W00", "the training step", edits.ordinary_step()))
    for id, what, edit in ways:
        run = proving.run(edit)
        if run is not None and (trial := proving.compared(run)).outcome == "verified":
            return [(cured(id, what, edit, _certain(proving.chart, id, what, trial, run)), trial)]
    return [(_not_cured(proving), Trial(note="no single change cured it"))]


def _certain(chart: Chart, id: str, what: str, trial: Trial, other: Run) -> bool:
    """Whether a cure without a rule alarms. That other weights or another optimiser learn faster does so only
    beside a run that broke down, as deep networks begin slowly; the same optimiser with the ordinary step, or with
    the usual loss, says more."""
    run = chart.run
    if chart.broke:
        return True
    if run is None or "together" in what or not (trial.before < threshold("not_learned") and cures(trial)):
        return False
    if id == "W00":  # not if it steps less often, or warms up
        rates = [rate for rate in run.lr if math.isfinite(rate)]
        steady = bool(rates) and min(rates) > 0.5 * max(rates)
        return steady and statistics.median(run.taken) == 1
    shares = chart.probe.task.shares
    in_use = sum(share > 0 for share in shares) > 0.5 * len(shares)  # else outputs may be no logits
    seen = run.glances and other.glances
    return id == "L00" and in_use and not (seen and in_order(chart, run.glances[-1].rank, other.glances[-1].rank))


def _not_cured(proving: Proving) -> Suspicion:
    overfits = proving.signals.overfit.learns
    if overfits and no_signal(proving.chart):
        run = proving.chart.run
        return unrelated(proving.chart, float("nan") if run is None else run.unseen)
    if not overfits:
        return Suspicion(
            "A00",
            "the network cannot learn even a few examples by heart",
            "critical",
            0.6,
            "neither other weights nor a trusted optimiser make it fit 32 examples: the signal or the gradient "
            "does not get through the network, or the loss asks for something else",
            "make it fit one batch first: take layers out until it does",
            stage=3,
            needs="harm",
        )
    return Suspicion(
        "O00",
        "it does not learn in so few steps, for a reason that was not found",
        "question",
        0.4,
        "the network can learn a few examples by heart, and learns nothing from all of them in this time",
        "train longer, or on fewer examples, and look at the loss curve",
        stage=3,
    )


def in_order(chart: Chart, own: float, usual: float) -> bool:
    """Whether a loss of its own brings answers in the order of the targets as well as the usual loss does: then they
    mean something else than the targets themselves, a logarithm or a distance, and that is no fault."""
    return not chart.probe.task.form and abs(own) >= threshold("in_order") * abs(usual)


def cured(id: str, what: str, edit: Edit, certain: bool) -> Suspicion:
    """What no rule names: a change by which it learns."""
    return Suspicion(
        id,
        f"{what} {'keep' if 'weights' in what or 'together' in what else 'keeps'} it from learning",
        "critical" if certain else "question",
        0.7,
        f"with everything else as it is, it learns as soon as this is changed: {edit.name}",
        f"begin from this: {edit.name}, and go back to your own setting step by step",
        stage=3,
        edit=edit,
        needs="proof",
    )
