"""Data and loss: what comes in, what is asked for, and by which formula."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.losses import parts_of
from orograph.diagnose.task import flat_outputs
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence

_SQUASHING = (nn.Sigmoid, nn.Tanh, nn.ReLU, nn.Softmax, nn.Hardtanh, nn.ReLU6, nn.Softplus)


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
    few = 0 < inputs.distinct < threshold("few_examples")
    if inputs.seen and (few or inputs.distinct < threshold("distinct_share") * inputs.seen):
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
    task, signal = chart.probe.task, chart.probe.label_signal
    if not math.isfinite(signal):
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
                "nearest neighbours against a constant answer", chart.probe.label_signal, threshold("label_signal")
            ),
            Evidence("quality on new batches", unseen, 0.05, "rising"),
        ),
        explains=("O00", "A00"),
        limits="a task that neighbours do not know, and that takes longer to learn",
    )


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


def loss(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the loss."""
    task, outputs = chart.probe.task, chart.probe.outputs
    flat = None if outputs is None else _flat(chart, outputs)
    if task.kind in ("classes", "binary"):
        yield from _probabilities(chart, flat)
    if task.kind == "classes" and flat is not None:
        yield from _clipped(chart, flat)
    if task.kind == "numbers":
        yield from _reach(chart, flat)
        if "every output with every target" in task.form or _broadcast(chart):
            yield Suspicion(
                "L05",
                "every output is compared with every target",
                "critical",
                0.97,
                f"outputs of shape {task.output_shape} and targets of shape {task.target_shape} are broadcast against "
                "each other, so the best answer is the mean of all targets",
                "give both the same shape",
                "loss = criterion(model(x).squeeze(1), y)",
                explains=("D05", "O02", "O00"),
                edit=edits.other_loss("squared error of pairs", edits.squared_error_of_pairs),
            )
    yield from _reduction(chart)
    yield from _direction(chart)


def _probabilities(chart: Chart, flat: Tensor | None) -> Iterator[Suspicion]:
    task = chart.probe.task
    of_logits = task.form in ("cross-entropy", "binary cross-entropy of logits") or "smoothing" in task.form
    rows = columns = inside = False
    if flat is not None and flat.shape[0] > 1:
        positive = bool((flat >= 0).all())
        rows = positive and flat.shape[1] > 1 and bool(((flat.sum(1) - 1).abs() < 1e-4).all())
        columns = positive and not rows and flat.shape[0] > 2 and _sums_over_batch(chart)
        last = _last_kind(chart)
        inside = last == "Sigmoid" and positive and bool((flat <= 1).all())
    if columns:
        yield Suspicion(
            "L10",
            "softmax runs over the batch instead of the classes",
            "critical",
            0.95,
            "the outputs of one class add up to 1 over the examples",
            "leave softmax to the loss; where it is needed, name the axis of the classes",
            "probabilities = logits.softmax(dim=1)",
            stage=1,
            explains=("W09", "L01", "O00"),
            edit=edits.without(nn.Softmax, "no softmax in the network"),
        )
    elif ((rows or inside) and of_logits) or task.form.endswith(("of softmax", "of sigmoid")):
        what = "sigmoid" if inside or task.form.endswith("of sigmoid") else "softmax"
        fix = (
            edits.other_loss("cross-entropy of logits", edits.cross_entropy)
            if task.form.endswith(("of softmax", "of sigmoid")) and task.kind == "classes"
            else edits.other_loss("log of the probabilities", edits.log_of_probabilities)
            if rows
            else edits.without(nn.Sigmoid, "no sigmoid at the end", last=True)
        )
        yield Suspicion(
            "L01",
            "probabilities go into a loss that expects logits",
            "critical",
            0.97,
            f"the loss applies its own {what}, and the network (or the call) has applied one before: gradients vanish",
            f"return logits, without {what}; apply it only to read off probabilities",
            "return self.head(h)                      # logits\nloss = F.cross_entropy(model(x), y)",
            stage=1,
            evidence=_sums(flat),
            explains=("O02", "I01", "I05", "O00", "L02"),
            limits="log_softmax before cross-entropy, which changes nothing",
            edit=fix,
        )
    elif task.form == "negative log-likelihood" and flat is not None:
        away = float(torch.logsumexp(flat, 1).abs().max())
        if away > 1e-2:
            yield Suspicion(
                "L11",
                "negative log-likelihood of numbers that are no logarithms of probabilities",
                "critical",
                0.95,
                "the loss can be lowered without bound by making all outputs large",
                "use cross-entropy, or log_softmax before this loss",
                "loss = F.cross_entropy(model(x), y)",
                stage=1,
                evidence=(Evidence("largest |logsumexp| of a row", away, 1e-2, "0"),),
                explains=("L04", "O01", "O00"),
                edit=edits.other_loss("cross-entropy", edits.cross_entropy),
            )


def _sums(flat: Tensor | None) -> tuple[Evidence, ...]:
    if flat is None:
        return ()
    return (
        Evidence("smallest output", float(flat.min()), 0.0, "below 0 for logits"),
        Evidence("mean sum of an example's outputs", float(flat.sum(1).mean()), 1.0),
    )


def _clipped(chart: Chart, flat: Tensor) -> Iterator[Suspicion]:
    zeros = float((flat == 0).float().mean())
    some = (flat != 0).any(1)  # rows of zeros alone have another cause
    mixed = float((flat[some] == 0).float().mean()) if bool(some.any()) else 0.0
    positive = bool((flat >= 0).all())
    last = _last_kind(chart)
    if chart.probe.task.form == "cross-entropy of ReLU" or (
        positive and (mixed > threshold("clipped_logits") or last == "ReLU")
    ):
        yield Suspicion(
            "L02",
            "logits are rectified",
            "critical",
            0.93,
            "a ReLU follows the last layer: classes whose logit is zero get no gradient",
            "end the network with a linear layer",
            "return self.head(h)      # no activation after it",
            stage=1,
            evidence=(Evidence("share of exact zeros among the logits", zeros, threshold("clipped_logits"), "0"),),
            explains=("I04", "O00"),
            edit=edits.without(nn.ReLU, "no ReLU at the end", last=True) if last == "ReLU" else None,
        )
    elif last in ("Tanh", "Sigmoid") and chart.probe.task.form == "cross-entropy":
        yield Suspicion(
            "L02",
            f"logits are squashed by {last.lower()}",
            "warning",
            0.8,
            "bounded logits cannot become confident, and their gradients vanish at the ends",
            "end the network with a linear layer",
            "return self.head(h)      # no activation after it",
            stage=1,
            edit=edits.without((nn.Tanh, nn.Sigmoid), "no squashing at the end", last=True),
            needs="proof",
        )


def _reach(chart: Chart, flat: Tensor | None) -> Iterator[Suspicion]:
    last = _last_kind(chart)
    targets = [t for b in chart.patient.batches if isinstance(t := parts_of(b)[1], Tensor) and t.is_floating_point()]
    if last not in ("Sigmoid", "Tanh", "ReLU", "Softmax") or not targets:
        return
    every = torch.cat([t.reshape(-1).float() for t in targets])
    low, high = {"Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0)}.get(last, (0.0, math.inf))
    outside = float(((every < low - 1e-3) | (every > high + 1e-3)).float().mean())
    if outside > 0.05:
        yield Suspicion(
            "L06",
            f"the network ends in {last.lower()} and cannot reach the targets",
            "critical",
            0.95,
            f"outputs lie in [{low:g}, {high:g}], and {outside:.0%} of the targets do not",
            "end the network with a linear layer, or scale the targets into this range",
            "return self.head(h)      # no activation after it",
            stage=1,
            evidence=(Evidence("share of targets out of reach", outside, 0.05, "0"),),
            explains=("I05", "O02", "D08", "I04", "O00"),
            edit=edits.without(_SQUASHING, "no activation at the end", last=True),
        )


def _broadcast(chart: Chart) -> bool:
    task = chart.probe.task
    out, target = task.output_shape, task.target_shape
    return (
        len(out) != len(target)
        and not task.form
        and len(out) > 0
        and len(target) > 0
        and math.prod(out) == math.prod(target)
        and chart.patient.loss.of_outputs is True
        and not isinstance(chart.patient.loss.loss, str)
    )


def _reduction(chart: Chart) -> Iterator[Suspicion]:
    task = chart.probe.task
    if task.form and math.isfinite(task.times) and task.times > threshold("sum_reduction"):
        yield Suspicion(
            "L03",
            "the loss is a sum over the batch",
            "warning",
            0.9,
            f"loss and gradients are {task.times:.0f} times those of a mean: the learning rate means another thing",
            "average the loss, or divide the learning rate by that number",
            "criterion = nn.CrossEntropyLoss()        # reduction='mean'",
            stage=1,
            evidence=(Evidence("loss over its mean form", task.times, threshold("sum_reduction"), "1"),),
            explains=("O01", "O03", "O08", "I02", "O00", "I04"),
            edit=edits.scaled_loss(1 / task.times),
            needs="proof",
        )


def _direction(chart: Chart) -> Iterator[Suspicion]:
    optimizer = chart.patient.optimizer
    uphill = optimizer is not None and any(group.get("maximize") for group in optimizer.param_groups)
    run = chart.run
    opposite = run is not None and run.agreement < -0.5
    negative = chart.probe.loss < 0 and chart.probe.task.form == "" and chart.probe.task.kind in ("classes", "numbers")
    reference = chart.probe.task.notes.get("cross-entropy")
    mirrored = reference is not None and abs(chart.probe.loss + reference) < 2e-3 * abs(reference)
    if (uphill and chart.probe.loss >= 0) or mirrored or opposite or (negative and chart.fails):
        yield Suspicion(
            "L04",
            "training goes uphill",
            "critical",
            0.95 if uphill or mirrored or opposite else 0.6,
            "the optimiser maximises"
            if uphill
            else "the training step follows the gradient of minus the loss"
            if opposite
            else "the loss is minus what it should be, so that lower is worse",
            "minimise the loss: maximize=False, and no minus before it",
            "loss = F.cross_entropy(model(x), y)",
            evidence=(Evidence("loss at the start", chart.probe.loss, 0.0, "above 0"),),
            explains=("O01", "O03", "O08", "O00", "A05"),
            edit=edits.option("maximize", False)
            if uphill
            else edits.ordinary_step()
            if opposite
            else edits.scaled_loss(-1.0),
        )


def _flat(chart: Chart, outputs: Tensor) -> Tensor | None:
    try:
        return flat_outputs(outputs, chart.patient.batches[0], chart.probe.task.kind)
    except Exception:
        return None


def _sums_over_batch(chart: Chart) -> bool:
    outputs = chart.probe.outputs
    if outputs is None or outputs.dim() < 2:
        return False
    return bool(((outputs.detach().float().sum(0) - 1).abs() < 1e-3).all())


def _last_kind(chart: Chart) -> str:
    """The kind of the layer whose output is the network's."""
    outputs, layers = chart.probe.outputs, chart.probe.layers
    if outputs is None or not layers:
        return ""
    last = layers[-1]
    x = outputs.detach().float()
    same = math.isclose(last.mean, float(x.mean()), rel_tol=1e-4, abs_tol=1e-7) and math.isclose(
        last.std, float(x.std(correction=0)), rel_tol=1e-4, abs_tol=1e-7
    )
    return last.kind if same else ""
