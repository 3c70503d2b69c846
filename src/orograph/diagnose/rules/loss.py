"""The loss: by which formula outputs and targets are compared, and whether the outputs can get there."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.losses import parts_of
from orograph.diagnose.rules.endings import clipped, last_kind, reach, squashed
from orograph.diagnose.task import flat_outputs, task_of
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence

_USUAL = ("cross-entropy", "binary cross-entropy of logits", "squared error", "absolute error", "Huber loss")


def loss(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the loss."""
    task, outputs = chart.probe.task, chart.probe.outputs
    flat = None if outputs is None else _flat(chart, outputs)
    if task.kind in ("classes", "binary"):
        yield from _probabilities(chart, flat)
    if task.kind == "classes" and flat is not None:
        yield from clipped(chart, flat)
    if task.kind in ("classes", "binary"):
        yield from squashed(chart)
    if task.kind == "numbers":
        yield from reach(chart)
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
    yield from _binary_range(chart)
    yield from _smoothing(chart)
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
        last = last_kind(chart)
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
            else edits.stripped(squashing, "no softmax or sigmoid at the end")
            if (squashing := _squashing(chart))
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


def _binary_range(chart: Chart) -> Iterator[Suspicion]:
    """Binary cross-entropy, which has no minimum for targets below 0 or above 1."""
    outputs, targets = chart.probe.outputs, parts_of(chart.patient.batches[0])[1]
    if outputs is None or not isinstance(targets, Tensor) or outputs.numel() != targets.numel():
        return
    wanted = targets.float().reshape(-1)
    outside = float(((wanted < -1e-6) | (wanted > 1 + 1e-6)).float().mean())
    value = float(F.binary_cross_entropy_with_logits(outputs.detach().float().reshape(-1), wanted))
    if outside > 0 and math.isclose(chart.probe.loss, value, rel_tol=1e-3, abs_tol=1e-6):
        yield Suspicion(
            "L16",
            "binary cross-entropy of targets that are not between 0 and 1",
            "critical",
            0.95,
            f"{outside:.0%} of the targets lie outside: for them the loss falls without bound as outputs grow",
            "code classes as 0 and 1; for other numbers use a squared error",
            "y = (y == positive).float()      # or loss = F.mse_loss(outputs, y)",
            stage=1,
            evidence=(Evidence("share of the targets outside 0 to 1", outside, 0.0, "0"),),
            explains=("L00", "L04", "L13", "A05", "O01", "O00", "D08", "I00"),
            edit=edits.other_loss("squared error", edits.squared_error_of_pairs),
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
    mirrored = chart.probe.loss < 0 and chart.probe.task.form == "" and _of_minus(chart) in _USUAL
    if uphill:  # which is right for a loss that is minus what is to be lowered
        mirrored = negative = False
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


def _of_minus(chart: Chart) -> str:
    """The form of minus the loss."""
    batch = chart.patient.batches[0]
    return task_of(chart.probe.outputs, batch, -chart.probe.loss, [batch]).form


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


def _smoothing(chart: Chart) -> Iterator[Suspicion]:
    form = chart.probe.task.form
    if "smoothing" not in form:
        return
    strength = float(form.rpartition(" ")[2])
    if strength > threshold("smoothing"):
        yield Suspicion(
            "L07",
            f"label smoothing of {strength:.3g}",
            "critical" if strength > 0.9 else "warning",
            0.9,
            "the targets are nearly the same for every class, so there is next to nothing to learn from",
            "use a label smoothing of 0.1 or less",
            "nn.CrossEntropyLoss(label_smoothing=0.1)",
            evidence=(Evidence("label smoothing", strength, threshold("smoothing"), "0 to 0.2"),),
            explains=("O02", "A00", "O00", "I01", "L02", "L01"),
            edit=edits.other_loss("cross-entropy without smoothing", edits.cross_entropy),
        )


def _squashing(chart: Chart) -> list[str]:
    """The paths of softmax and sigmoid layers at the end of the network, if it ends in such."""
    found: list[str] = []
    for one in reversed(chart.probe.layers if last_kind(chart) else []):
        if one.kind in ("Flatten", "Unflatten", "Identity"):
            continue
        if one.kind not in ("Softmax", "Sigmoid"):
            break
        found.append(one.layer.split("#")[0])
    return found
