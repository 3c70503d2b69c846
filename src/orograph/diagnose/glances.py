"""How a network on its way does on the probe examples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from orograph.diagnose.batches import only_tensor
from orograph.diagnose.losses import parts_of
from orograph.diagnose.patient import Copy
from orograph.diagnose.task import Task, flat_outputs, flat_targets
from orograph.initialize.probing import probing

_WAYS = ("quiet", "with gradients", "as in training")


@dataclass(frozen=True)
class Glance:
    """The network on the probe examples at a step, dropout off and batch norm by the batch.

    ``loss``; ``ratio``, how much of the outputs' spread depends on the input; their ``spread`` over examples; ``top``,
    the largest share of one predicted class (NaN for no classes); ``scale``, the standard deviation of all outputs;
    ``quality``, 0 for answers no better than a constant and 1 for perfect ones, whatever the loss (accuracy above the
    most frequent class's, the share of variance explained, else the share of the first loss that is gone); ``rank``,
    of numbers and two classes, how well outputs are in the order of the targets: 1 for perfectly, -1 for the opposite
    one (Spearman's coefficient, the largest of any pair of an output and a target), whatever else they mean.
    """

    step: int
    loss: float
    ratio: float
    spread: float
    top: float
    scale: float
    quality: float = float("nan")
    rank: float = float("nan")


def glance(made: Copy, probe: Sequence[Any], task: Task, step: int) -> Glance:
    """The network on the probe batches as it stands.

    It is looked at with dropout off and without gradients; where the user's network or loss does not work so (it
    differentiates inside, or has further outputs in training), with gradients, or in training mode. Where nothing
    works, all is NaN: that a loss works in training only is no fault.
    """
    for way in _WAYS[_WAYS.index(made.way) :]:
        try:
            with _looking(made, way):
                found = _glanced(made, probe, task, step)
        except Exception:  # noqa: S112  another way may do
            continue
        made.way = way
        return found
    nan = float("nan")
    return Glance(step, nan, nan, nan, nan, nan)


@contextmanager
def _looking(made: Copy, way: str) -> Iterator[None]:
    with probing(made.model, dropout=way == "as in training"), torch.set_grad_enabled(way != "quiet"):
        yield


def _glanced(made: Copy, probe: Sequence[Any], task: Task, step: int) -> Glance:
    losses, rows, plain, wanted = [], list[Tensor](), list[Tensor](), []
    passes: list[tuple[Any, Any]] = []
    handle = made.model.register_forward_hook(lambda model, args, output: passes.append((args, output)))
    try:
        for batch in probe:
            changed = made.change(batch)
            passes.clear()
            losses.append(float(made.loss(made.model, changed)))
            if not passes or task.kind == "other":
                continue
            flat, targets = flat_outputs(passes[-1][1], changed, task.kind), flat_targets(changed, task.kind)
            if flat is not None and len(flat) == len(targets):
                rows.append(flat)
                wanted.append(targets)
                plain.append(_asked_plainly(made, changed, passes[-1][0], task, flat))
    finally:
        handle.remove()
    loss = sum(losses) / len(losses)
    if not rows:
        nan = float("nan")
        return Glance(step, loss, nan, nan, nan, nan)
    targets = torch.cat(wanted)
    outputs = max((torch.cat(rows), torch.cat(plain)), key=lambda one: quality(one, targets, task))
    found = quality(outputs, targets, task), rank(outputs, targets, task)
    return Glance(step, loss, *outputs_spread(outputs, task), *found)


def _asked_plainly(made: Copy, batch: Any, given: Any, task: Task, otherwise: Tensor) -> Tensor:
    """The answers for the inputs of the batch themselves, where the loss gave the network something else of their shape
    (mixed, shifted or noisy examples, whose targets are others); ``otherwise`` where it gave it just these."""
    inputs = only_tensor(parts_of(batch)[0])
    got = given[0] if len(given) == 1 else None
    if made.loss.of_outputs or inputs is None or not isinstance(got, Tensor) or got.shape != inputs.shape:
        return otherwise
    if got.dtype != inputs.dtype or torch.equal(got, inputs):
        return otherwise
    try:
        flat = flat_outputs(made.model(inputs), batch, task.kind)
    except Exception:  # what the loss makes of the inputs is needed
        return otherwise
    return flat if flat is not None and flat.shape == otherwise.shape else otherwise


def quality(outputs: Tensor, targets: Tensor, task: Task) -> float:
    """How good answers are, 0 for a constant's and 1 for perfect ones; see :class:`Glance`."""
    if not bool(torch.isfinite(outputs).all()):
        return -1.0
    if task.kind == "classes":
        hits = float((outputs.argmax(1) == targets).float().mean())
        most = float(torch.bincount(targets.long()).max()) / len(targets)
        return (hits - most) / (1 - most) if most < 1 else 0.0
    if task.kind == "binary":  # twice the area under the curve, less 1: no threshold, logits or probabilities alike
        scores, truth = outputs.reshape(-1), targets.reshape(-1).bool()
        positives, negatives = int(truth.sum()), int((~truth).sum())
        if not positives or not negatives:
            return 0.0
        ranks = _ranks(scores)
        area = (float(ranks[truth].sum()) - positives * (positives + 1) / 2) / (positives * negatives)
        return 2 * area - 1
    wanted = targets.reshape(outputs.shape)
    total = float((wanted - wanted.mean(0)).square().sum())
    if not total > 0:
        return 0.0
    explained = 1 - float((outputs - wanted).square().sum()) / total
    if task.form in ("Huber loss", "absolute error", ""):  # some targets may be wild, and are not aimed at
        aside = float((wanted - wanted.median(0).values).abs().sum())
        explained = max(explained, 1 - float((outputs - wanted).abs().sum()) / aside if aside > 0 else explained)
    return max(explained, -1.0)


def rank(outputs: Tensor, targets: Tensor, task: Task) -> float:
    """How well outputs are in the order of the targets; see :class:`Glance`."""
    if task.kind == "classes" or not bool(torch.isfinite(outputs).all()):
        return float("nan")
    one, other = (_places(table.reshape(len(outputs), -1)) for table in (outputs, targets))
    pairs = (one.T @ other).flatten()
    return float(pairs[pairs.abs().argmax()])


def _places(table: Tensor) -> Tensor:
    """For each column the ranks of its numbers, equal ones sharing theirs, of mean 0 and length 1."""
    ranks = torch.stack([_ranks(column) for column in table.T], 1)
    away = ranks - ranks.mean(0)
    alike: Tensor = away / away.norm(dim=0).clamp_min(1e-12)
    return alike


def _ranks(numbers: Tensor) -> Tensor:
    """From 1 on; equal ones share their mean."""
    _, place, counts = torch.unique(numbers, return_inverse=True, return_counts=True)
    ranks: Tensor = (counts.cumsum(0).double() - (counts.double() - 1) / 2)[place]
    return ranks


def outputs_spread(outputs: Tensor, task: Task) -> tuple[float, float, float, float]:
    """r = (mean over outputs of the standard deviation over examples) / (that of all outputs), the numerator by itself,
    the largest share of one predicted class, and the standard deviation of all outputs."""
    over = float(outputs.std(0, correction=0).mean())
    whole = float(outputs.std(correction=0))
    if outputs.shape[1] == 1 or task.kind != "classes":  # no classes to be told apart: against the targets' spread
        whole = task.spread if math.isfinite(task.spread) and task.spread > 0 else max(whole, over)
    top = float("nan")
    if task.kind == "classes":
        predicted = outputs.argmax(1)
        top = float(torch.bincount(predicted, minlength=task.classes).max()) / len(predicted)
    return (over / whole if whole > 0 else 0.0), over, top, float(outputs.std(correction=0))
