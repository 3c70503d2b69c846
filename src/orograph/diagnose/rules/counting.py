"""What counts in the loss: which examples and classes it pulls at, and whether it bears confident answers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

import torch
from torch import nn

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Edit, Suspicion
from orograph.diagnose.thresholds import threshold
from orograph.initialize.probing import probing
from orograph.results.diagnosis import Evidence


def counting(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with what counts."""
    yield from _one_class(chart)
    yield from _few(chart)
    yield from _breaking(chart)
    yield from _aside(chart)
    yield from _divided(chart)


_USUAL = {
    "classes": ("cross-entropy", edits.cross_entropy),
    "binary": ("binary cross-entropy of logits", edits.binary_cross_entropy),
    "numbers": ("squared error", edits.squared_error_of_pairs),
}


def usual_loss(chart: Chart, *, alone: bool = False) -> Edit | None:
    """The loss that is usual for the task, where it is another; ``alone`` also where something is added to it."""
    task = chart.probe.task
    if task.kind not in _USUAL or chart.embeds or (task.form == _USUAL[task.kind][0] and not alone):
        return None
    if draws(chart):
        return None  # a policy that is told what its own answers earn is not told the right ones
    return edits.other_loss(*_USUAL[task.kind])


def draws(chart: Chart) -> bool:
    """Whether a loss of classes draws random numbers besides the network's, as a policy draws what it does."""
    patient, task = chart.patient, chart.probe.task
    if task.form or task.kind not in ("classes", "binary") or isinstance(patient.loss.loss, (str, nn.Module)):
        return False
    found = []
    try:
        with patient.copy(own_step=False) as made, torch.no_grad():
            for seed in (0, 1):
                with probing(made.model, norm="running", seed=seed):
                    found.append(float(made.loss(made.model, made.change(patient.batches[0])).detach()))
    except Exception:
        return False
    return found[0] != found[1] and chart.probe.depends.chance == 0


def _one_class(chart: Chart) -> Iterator[Suspicion]:
    counts, task = chart.probe.counts, chart.probe.task
    of_logits = not task.form.startswith("cross-entropy of") and not task.form.startswith(("negative", "log"))
    if (
        task.kind not in ("classes", "binary")
        or not of_logits
        or "of prob" in task.form
        or len(counts.weights) < 2
        or not counts.by_class
    ):
        return
    alone = counts.first > threshold("one_class_pulls") and counts.first_share < 0.7
    left = [label for label, weight in counts.weights.items() if weight < threshold("class_left_out")]
    share = sum(task.shares[label] for label in left if label < len(task.shares))
    # In sequences the mark of what is padded has a class of its own, which is left out by right.
    left_out = share > 0.3 and len(task.target_shape) == 1
    if not (alone or left_out):
        return
    yield Suspicion(
        "L09",
        "the loss hardly counts some classes",
        "critical",
        0.9,
        f"{counts.first:.1%} of the loss's pull belongs to one class, which makes up {counts.first_share:.0%} of the "
        "examples"
        if alone
        else f"examples of class {', '.join(map(str, left[:5]))} ({share:.0%} of all) do not count",
        "look at the class weights and masks of the loss: those of inverse frequency give all classes one part",
        "weights = len(y) / (classes * torch.bincount(y, minlength=classes))\nnn.CrossEntropyLoss(weight=weights)",
        stage=1,
        evidence=(
            Evidence("share of the pull that goes to one class", counts.first, threshold("one_class_pulls")),
            Evidence("smallest weight of a class over the largest", min(counts.weights.values()),
                     threshold("class_left_out"), "above 0.01"),
        ),
        explains=("O00", "I01", "D06", "L02", "O02", "L12"),
        limits="classes that are not meant to count",
        edit=usual_loss(chart),
    )  # fmt: skip


def _few(chart: Chart) -> Iterator[Suspicion]:
    without = chart.probe.counts.without
    if math.isfinite(without) and without > threshold("left_out") - 0.05:
        yield Suspicion(
            "L12",
            "most examples of a batch do not count in the loss",
            "critical",
            0.9,
            f"the gradient of the loss by the outputs of {without:.0%} of the examples is exactly zero",
            "look at masks, weights and indices between the network and the loss, and at what it averages over",
            "loss = criterion(outputs, targets)      # not outputs[0], targets[0]",
            stage=1,
            evidence=(
                Evidence("share of examples without a gradient", without, threshold("left_out") - 0.05, "below 0.5"),
            ),
            explains=("O00", "O02", "L09"),
            limits="losses of margins, once they are kept",
            edit=usual_loss(chart),
        )


def _breaking(chart: Chart) -> Iterator[Suspicion]:
    run = chart.run
    if chart.probe.counts.breaks and (run is None or run.stopped is None):
        yield Suspicion(
            "L13",
            "the loss is no number where the network is confident",
            "warning",
            0.85,
            "with the same outputs, scaled until logits reach 30, the loss is NaN or infinite: a probability rounds to "
            "0 or 1 before its logarithm is taken",
            "use the loss of logits, which cannot overflow, or clamp probabilities before the logarithm",
            "F.binary_cross_entropy_with_logits(logits, y)   # F.cross_entropy(logits, y)",
            stage=1,
            explains=("A05",),
            limits="outputs that cannot become so large",
            edit=usual_loss(chart),
        )


def _aside(chart: Chart) -> Iterator[Suspicion]:
    share = chart.probe.beside
    if not (math.isfinite(share) and share > threshold("beside")):
        return
    # Losses of layers within (a divergence, distances of features) are no fault, and squared error alone does better.
    if chart.probe.task.kind == "other" or chart.reconstructs:
        return
    yield Suspicion(
        "L15",
        "a term of the weights outweighs the outputs in the loss",
        "critical",
        0.9,
        f"gradients that do not come by way of the outputs are {share:.3g} times those that do: a penalty on weights "
        "or activations is far too large",
        "lower the factor of the penalty until it is a hundredth of the loss, or use weight_decay",
        "loss = criterion(outputs, targets) + 1e-5 * penalty",
        stage=1,
        evidence=(Evidence("gradient of other terms over the outputs'", share, threshold("beside"), "below 0.05"),),
        explains=("O05", "I02", "O00", "L00", "O01", "I01", "A00", "O02", "I00", "L04"),
        limits="a loss of several outputs",
        edit=usual_loss(chart, alone=True),
        needs="nothing" if share > 2 * threshold("beside") else "proof",
    )


def _divided(chart: Chart) -> Iterator[Suspicion]:
    """A mean that was divided by the size of the batch, or of the data, once more; of which Adam takes no notice."""
    task, run, optimizer = chart.probe.task, chart.run, chart.patient.optimizer
    if not task.form or not math.isfinite(task.times) or optimizer is None or "betas" in optimizer.param_groups[0]:
        return
    often = run is None or not run.taken or statistics.median(run.taken) >= 1  # else it adds up gradients
    if not (0 < task.times < 0.1 and often):
        return
    yield Suspicion(
        "L03",
        f"the loss is a {1 / task.times:.0f}th of its mean",
        "warning",
        0.85,
        "it was divided by the size of the batch, or of the data, after a mean was taken: gradients, and steps, are as "
        "much smaller",
        "take the mean once",
        "criterion = nn.CrossEntropyLoss()        # its mean, and no division after it",
        stage=1,
        evidence=(Evidence("loss over its mean form", task.times, 0.1, "1"),),
        explains=("O02", "O00", "I01"),
        limits="a learning rate that was chosen for it",
        edit=edits.scaled_loss(1 / task.times),
        needs="nothing" if task.times < 1 / 24 else "proof",
    )
