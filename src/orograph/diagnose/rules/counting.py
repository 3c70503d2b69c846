"""What counts in the loss: which examples and classes it pulls at, and whether it bears confident answers."""

from __future__ import annotations

import math
from collections.abc import Iterator

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Edit, Suspicion
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence


def counting(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with what counts."""
    yield from _one_class(chart)
    yield from _few(chart)
    yield from _breaking(chart)


def usual_loss(chart: Chart) -> Edit | None:
    """The loss that is usual for the task, where the user has another."""
    task = chart.probe.task
    if task.kind == "classes" and task.form != "cross-entropy":
        return edits.other_loss("cross-entropy", edits.cross_entropy)
    if task.kind == "binary" and task.form != "binary cross-entropy of logits":
        return edits.other_loss("binary cross-entropy of logits", edits.binary_cross_entropy)
    if task.kind == "numbers" and task.form != "squared error":
        return edits.other_loss("squared error of pairs", edits.squared_error_of_pairs)
    return None


def _one_class(chart: Chart) -> Iterator[Suspicion]:
    counts, task = chart.probe.counts, chart.probe.task
    of_logits = not task.form.startswith("cross-entropy of") and not task.form.startswith(("negative", "log"))
    if task.kind != "classes" or not of_logits or len(counts.weights) < 2 or not counts.by_class:
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
