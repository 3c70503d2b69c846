"""Targets: whether they say anything, and something that the inputs know but do not hold, on a usable scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from orograph.diagnose import edits
from orograph.diagnose.batches import with_targets
from orograph.diagnose.chart import Chart, Edit, Suspicion
from orograph.diagnose.inputs_and_targets import given_away, ignored
from orograph.diagnose.knowing import Known, known
from orograph.diagnose.thresholds import threshold
from orograph.objective.criterion import IGNORED
from orograph.results.diagnosis import Evidence


def targets(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the targets."""
    yield from _alike(chart)
    yield from _few_classes(chart)
    yield from _left_out(chart)
    yield from _given_away(chart)
    yield from _signal(chart)
    yield from _scale(chart)


def _alike(chart: Chart) -> Iterator[Suspicion]:
    task, inputs = chart.probe.task, chart.probe.inputs
    most = max(task.shares, default=0.0)
    each = max(math.prod(task.target_shape[1:]), 1)  # labels of an example: pixels, say, most of them background
    few = task.kind == "classes" and each == 1 and task.entropy < 0.15 * math.log(max(task.classes, 2))
    # Nearly one class, and too few labels of the others to learn from.
    others = (1 - most) * inputs.seen * each
    alone = most > 0.999 or few or (most > threshold("one_class") and others < threshold("few_others"))
    # One of two classes may be rare: where it is told apart, that is no fault. One that drowns many others is odd.
    rare = sum(share > 0 for share in task.shares) == 2 and chart.quality >= threshold("trained")
    if task.kind in ("classes", "binary") and task.shares and alone:
        yield Suspicion(
            "D06",
            "all labels are (almost) the same",
            "critical" if most > 0.999 else "question" if rare else "warning",
            0.95 if most > 0.999 else 0.7,
            f"{most:.1%} of the examples have one and the same label, so a constant answer is (almost) perfect",
            "look at the labels that the dataset returns, and at what filters it",
            "print(torch.bincount(y))",
            evidence=(
                Evidence("share of the most frequent label", most, threshold("one_class")),
                Evidence("other labels", others, threshold("few_others"), "hundreds"),
            ),
            limits="a rare class that is told apart all the same",
            explains=("D05", "D04", "O00", "I02"),
        )


def _few_classes(chart: Chart) -> Iterator[Suspicion]:
    """Outputs for classes that no example has, of a network for few enough classes to expect all of them."""
    task, inputs = chart.probe.task, chart.probe.inputs
    if task.kind != "classes" or len(task.target_shape) != 1 or not 3 <= task.classes <= 100:
        return
    used = sum(share > 0 for share in task.shares)
    if 1 < used <= threshold("classes_used") * task.classes and inputs.seen >= 20 * task.classes:
        yield Suspicion(
            "D06",
            f"only {used} of {task.classes} classes occur",
            "question"
            if chart.embeds or chart.quality >= threshold("trained")
            else "warning",  # spare outputs do no harm
            0.7,
            f"the network has outputs for {task.classes} classes, and the labels of {inputs.seen} examples {used}: "
            "labels were merged, cut off or filtered",
            "look at how labels are read and mapped to numbers",
            "print(torch.bincount(y))",
            evidence=(
                Evidence("classes that occur", used, threshold("classes_used") * task.classes, str(task.classes)),
            ),
            explains=("D05", "O00"),
            limits="a network that is to learn further classes later",
        )


def _left_out(chart: Chart) -> Iterator[Suspicion]:
    left_out = ignored(chart.patient.batches[: chart.patient.epoch])
    if left_out > threshold("left_out"):
        yield Suspicion(
            "D07",
            "nearly all targets are left out of the loss",
            "critical",
            0.9,
            f"{left_out:.1%} of the targets carry the index {IGNORED}, which cross-entropy ignores: a batch of nothing "
            "else has the loss NaN, and the others teach little",
            "look at where labels are set to that index (padding, masks, failed look-ups)",
            f"print((y == {IGNORED}).float().mean())",
            evidence=(Evidence("share of targets that are ignored", left_out, threshold("left_out"), "below 0.85"),),
            explains=("A05", "D06", "O00", "I06", "O01", "A00"),
        )


def _given_away(chart: Chart) -> Iterator[Suspicion]:
    where = given_away(chart.patient.batches[: chart.patient.epoch], chart.probe.task)
    if where:
        yield Suspicion(
            "D10",
            "the targets stand among the inputs",
            "warning",
            0.85,
            f"{where}: the network has to learn nothing but to copy, and will have nothing to copy when it is used",
            "take the target out of the inputs; for a language model, move the targets by one place",
            "x, y = tokens[:, :-1], tokens[:, 1:]      # or table.drop(columns=target)",
            explains=("O00",),
            limits="a task of copying",
        )


def no_signal(chart: Chart) -> bool:
    """Whether neighbours in the inputs know nothing of each other's targets."""
    return _nothing_known(chart, chart.probe.known)


def _nothing_known(chart: Chart, found: Known) -> bool:
    task, signal = chart.probe.task, found.signal
    if not math.isfinite(signal) or found.surprise > threshold("surprise"):
        return False
    if task.kind == "numbers":
        return signal < threshold("number_signal")
    most = max(task.shares) if task.shares else 0.5
    # In units of what is to be gained over the most frequent class: 2 of 10 for ten classes.
    return (signal * most - most) / max(1 - most, 1e-9) < (threshold("label_signal") - 1) / 9


def _signal(chart: Chart) -> Iterator[Suspicion]:
    run = chart.run
    if run is None or run.stopped is not None or not math.isfinite(run.unseen):
        return
    if no_signal(chart) and run.unseen < 0.05 and (chart.quality > 0.05 or chart.learned > 0.05):
        yield unrelated(chart, run.unseen)


def unrelated(chart: Chart, unseen: float) -> Suspicion:
    """The targets have nothing to do with the inputs."""
    return Suspicion(
        "D05",
        "the targets have nothing to do with the inputs",
        "warning",
        0.8,
        "the network learns examples by heart and nothing on new ones, and neighbours in the inputs do not share their "
        "targets: inputs and targets were probably shuffled against each other",
        "look at some examples with their targets; shuffle both together",
        "for x, y in islice(dataset, 10): show(x, y)",
        stage=2,
        evidence=(
            Evidence(
                "nearest neighbours against a constant answer", chart.probe.known.signal, threshold("label_signal")
            ),
            Evidence(
                "correlation of theirs or linear guesses with the truth, in deviations of chance",
                chart.probe.known.surprise,
                threshold("surprise"),
                "above 20",
            ),
            Evidence("quality on new batches", unseen, 0.05, "rising"),
        ),
        explains=("O00", "A00"),
        limits="a task that neighbours do not know, and that takes longer to learn",
        edit=_moved_back(chart),
    )


def _moved_back(chart: Chart) -> Edit | None:
    """Targets moved within their batch, if neighbours in the inputs share their targets then."""
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        f"targets moved by {by} within the batch": partial(torch.roll, shifts=by, dims=0) for by in (-1, 1, -2, 2)
    }
    changes["targets of a batch turned round"] = partial(torch.flip, dims=(0,))
    for name, change in changes.items():
        edit = edits.other_targets(name, change)
        batches = [with_targets(batch, change) for batch in chart.patient.batches[: chart.patient.epoch]]
        if not _nothing_known(chart, known(batches, chart.probe.task)):
            return edit
    return None


def _scale(chart: Chart) -> Iterator[Suspicion]:
    task = chart.probe.task
    if task.kind != "numbers" or not math.isfinite(task.spread) or task.spread <= 0:
        return
    far = max(task.spread, abs(task.offset))
    if far > threshold("target_scale") or task.spread < 1 / threshold("target_scale") ** 2:
        yield Suspicion(
            "D08",
            "the targets are on a scale that the network has to find first",
            "warning",
            0.75,
            f"targets have mean {task.offset:.3g} and standard deviation {task.spread:.3g}, outputs begin near 0 and 1",
            "standardise the targets, and undo it when predicting",
            f"y = (y - {task.offset:.4g}) / {task.spread:.4g}",
            evidence=(Evidence("standard deviation or offset of the targets", far, threshold("target_scale"), "1"),),
            explains=("O01", "O02", "I02", "O03", "O08", "O00"),
            edit=edits.rescaled_targets(task.offset, task.spread),
            needs="proof",
        )
