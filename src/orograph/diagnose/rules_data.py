"""Data: what comes in and what is asked for, in which order and on which scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from orograph.diagnose import edits
from orograph.diagnose.batches import with_targets
from orograph.diagnose.chart import Chart, Edit, Suspicion
from orograph.diagnose.inputs_and_targets import Known, ignored, known
from orograph.diagnose.thresholds import threshold
from orograph.objective.criterion import IGNORED
from orograph.results.diagnosis import Evidence


def data(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the data."""
    inputs, task = chart.probe.inputs, chart.probe.task
    if inputs.not_finite or inputs.bad_targets:
        what = "inputs" if inputs.not_finite else "targets"
        yield Suspicion(
            "D01",
            f"the {what} hold NaN or infinity",
            "critical",
            0.99,
            f"some {what} are no numbers, and everything that meets them becomes NaN",
            "find and repair or drop these examples",
            "assert torch.isfinite(x).all()",
            where=f"batch {inputs.bad_batch}" if inputs.not_finite else "",
            evidence=(Evidence("entries that are not finite", inputs.not_finite or inputs.bad_targets, 0.0, "0"),),
            explains=("O01", "O03", "O08", "O00"),
            edit=edits.repaired(),
        )
    if math.isfinite(inputs.between) and inputs.between < 1e-3:
        yield Suspicion(
            "D03",
            "all inputs are the same",
            "critical",
            0.95,
            "the inputs do not differ between examples, so there is nothing to learn from",
            "look at what the dataset returns",
            "x, y = next(iter(loader)); print(x.std(0))",
            evidence=(Evidence("standard deviation over examples, over that of all numbers", inputs.between, 1e-3),),
            explains=("D05", "I01", "O00", "D02"),
        )
    yield from _scale(chart)
    if math.isfinite(chart.probe.batch_entropy) and chart.probe.batch_entropy < threshold("batch_entropy"):
        yield Suspicion(
            "D04",
            "batches hold like targets: the data are not shuffled",
            "warning",
            0.9,
            "examples come sorted: each batch pulls the network towards the targets that it holds",
            "shuffle the training data",
            "DataLoader(dataset, batch_size=…, shuffle=True)",
            evidence=(
                Evidence("entropy or variance of a batch's targets over shuffled ones'", chart.probe.batch_entropy,
                         threshold("batch_entropy"), "1"),
            ),
            explains=("O01", "O03", "O04", "O00"),
            limits="a stream that is sorted on purpose",
            edit=edits.shuffled(chart.patient.batches),
        )  # fmt: skip
    most = max(task.shares, default=0.0)
    alone = most > 0.999 or (task.kind == "classes" and task.entropy < 0.15 * math.log(max(task.classes, 2)))
    # Nearly one class, and too few examples of the others to learn from.
    others = (1 - most) * inputs.seen
    alone = alone or (most > threshold("one_class") and others < threshold("few_others"))
    if task.kind in ("classes", "binary") and task.shares and alone:
        yield Suspicion(
            "D06",
            "all labels are (almost) the same",
            "critical" if most > 0.999 else "warning",
            0.95 if most > 0.999 else 0.7,
            f"{most:.1%} of the examples have one and the same label, so a constant answer is (almost) perfect",
            "look at the labels that the dataset returns, and at what filters it",
            "print(torch.bincount(y))",
            evidence=(Evidence("share of the most frequent label", most, 0.999),),
            explains=("D05", "D04", "O00", "I02"),
        )
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
    few = 0 < inputs.distinct < threshold("few_examples")
    if inputs.seen and (
        few or (not chart.patient.repeats and inputs.distinct < threshold("distinct_share") * inputs.seen)
    ):
        yield Suspicion(
            "D09",
            f"only {inputs.distinct} different examples ever come",
            "warning",
            0.85,
            f"of {inputs.seen} examples in one pass over the loader {inputs.distinct} differ: the rest are repetitions"
            if not few
            else "the loader holds so few examples that a network learns them by heart and nothing else",
            "look at the sampler and at what the dataset does with its index",
            "print(len({x.numpy().tobytes() for batch, _ in loader for x in batch}))",
            evidence=(Evidence("different examples over all in one pass", inputs.distinct / inputs.seen,
                               threshold("distinct_share"), "1"),),
            explains=("D06",) if few else (),
            limits="overfitting a few examples on purpose, or inputs that repeat by nature (few categories)",
        )  # fmt: skip
    yield from _signal(chart)
    yield from _targets(chart)


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
                "their correlation with the truth, in deviations of chance",
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
    inputs = chart.probe.inputs
    if not math.isfinite(inputs.std):
        return
    offset = abs(inputs.mean) / inputs.std if inputs.std > 0 else 0.0
    large = inputs.largest > threshold("input_largest") or offset > threshold("input_offset")
    tiny = inputs.std < threshold("input_tiny")
    if not (large or tiny):
        return
    yield Suspicion(
        "D02",
        f"inputs are {'large or far from zero' if large else 'very small'}",
        "warning" if chart.trains else "critical",
        0.8,
        f"inputs have mean {inputs.mean:.3g} and standard deviation {inputs.std:.3g}; initialisations and rates "
        "are made for 0 and 1",
        "standardise the inputs with the training set's mean and standard deviation",
        f"x = (x - {inputs.mean:.4g}) / {inputs.std:.4g}",
        evidence=(
            Evidence("largest absolute input", inputs.largest, threshold("input_largest"), "below 5"),
            Evidence("mean over standard deviation", offset, threshold("input_offset"), "below 1"),
            Evidence("standard deviation", inputs.std, threshold("input_tiny"), "about 1"),
        ),
        explains=("I01", "I02", "I04", "I05", "O01", "O02", "O03", "O08", "O00"),
        edit=edits.standardised(inputs.mean, max(inputs.std, 1e-12)),
        needs="nothing" if inputs.largest > threshold("input_huge") and not _normed_first(chart) else "proof",
    )


def _normed_first(chart: Chart) -> bool:
    """Whether a norm layer stands between the inputs and the first weights."""
    for reading in chart.probe.layers:
        if "Norm" in reading.kind:
            return True
        if reading.kind not in ("Flatten", "Identity", "Unflatten", "Dropout"):
            return False
    return False


def _targets(chart: Chart) -> Iterator[Suspicion]:
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
