"""What of the outputs counts in the loss: how much it pulls at the examples of each class, at each example, and whether
it stays a number when answers become confident."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from orograph.basics.errors import ModelError
from orograph.diagnose.losses import parts_of
from orograph.diagnose.patient import Copy
from orograph.diagnose.task import Task, soft_labels
from orograph.initialize.probing import probing
from orograph.objective.criterion import IGNORED, classes_last

_CONFIDENT = 30.0  # a logit that well-trained networks reach


@dataclass(frozen=True)
class Counting:
    """What counts in the loss; NaN where that cannot be said.

    ``weights``: by class of the first batch, how hard the loss pulls at its examples beside cross-entropy, over the
    largest. ``first``: the share of the whole pull that goes to the class with the largest (the ``leader``), of
    examples that make up ``first_share``. ``without``: the share of examples at which the loss does not pull at all;
    ``by_class``: whether these are all of their classes. ``breaks``: whether the loss ceases to be finite where
    outputs are confident.
    """

    weights: dict[int, float]
    first: float = math.nan
    first_share: float = math.nan
    leader: int = -1
    without: float = math.nan
    by_class: bool = False
    breaks: bool = False


def counting_of(gradient: Tensor | None, outputs: Tensor | None, batch: Any, task: Task) -> Counting:
    """From the outputs of a batch and the gradient of the loss by them."""
    try:
        return _counting_of(gradient, outputs, batch, task)
    except (RuntimeError, ValueError, TypeError, IndexError):  # targets of a kind that cannot be counted
        return Counting({})


def _counting_of(gradient: Tensor | None, outputs: Tensor | None, batch: Any, task: Task) -> Counting:
    if gradient is None or outputs is None or gradient.dim() == 0 or not bool(torch.isfinite(gradient).all()):
        return Counting({})
    targets = parts_of(batch)[1]
    rows = gradient.reshape(len(gradient), -1)
    without = float((rows == 0).all(1).float().mean()) if bool(rows.any()) and len(rows) >= 8 else math.nan
    if not isinstance(targets, Tensor) or task.kind not in ("classes", "binary") or soft_labels(targets):
        return Counting({}, without=without)
    if task.kind == "binary":
        scores = outputs.detach().float().reshape(-1)
        labels = targets.reshape(-1).long()
        return _weighed(gradient.float().reshape(-1, 1), (scores.sigmoid() - labels)[:, None], labels, without)
    try:
        pull, labels = classes_last(gradient.float(), targets)
        logits, _ = classes_last(outputs.detach().float(), targets)
    except ModelError:
        return Counting({}, without=without)
    kept = labels != IGNORED
    pull, labels, logits = pull[kept], labels[kept], logits[kept]
    if not len(labels):
        return Counting({}, without=without)
    return _weighed(pull, logits.softmax(1) - F.one_hot(labels, logits.shape[1]), labels, without)


def _weighed(pull: Tensor, entropic: Tensor, labels: Tensor, without: float) -> Counting:
    """``pull`` is what the loss does to the outputs, ``entropic`` what cross-entropy would."""
    usual = entropic.norm(dim=1)
    if _cosine(pull, entropic) < 0.9:  # a loss that pulls another way weighs nothing that could be compared
        return Counting({}, without=without)
    weights: dict[int, float] = {}
    shares: dict[int, float] = {}
    for label in sorted(set(labels.tolist())):
        own = labels == label
        if float(usual[own].sum()) > 1e-3 * int(own.sum()):
            weights[label] = float(pull[own].norm(dim=1).sum() / usual[own].sum())
            shares[label] = float(own.float().mean())
    still = pull.norm(dim=1) == 0
    counted = torch.tensor([weights.get(label, 0.0) > 0 for label in labels.tolist()], device=labels.device)
    by_class = bool(counted.any()) and float(still[counted].float().mean()) < 0.5
    largest = max(weights.values(), default=0.0)
    whole = sum(weights[label] * shares[label] for label in weights)
    if largest <= 0 or whole <= 0:
        return Counting({}, without=without)
    first = max(weights, key=lambda label: weights[label] * shares[label])
    return Counting(
        {label: weight / largest for label, weight in weights.items()},
        weights[first] * shares[first] / whole,
        shares[first] / sum(shares.values()),
        first,
        without,
        by_class,
    )


def _cosine(one: Tensor, other: Tensor) -> float:
    """The mean cosine of rows, where neither is zero."""
    lengths = one.norm(dim=1) * other.norm(dim=1)
    kept = lengths > 0
    return float(((one * other).sum(1)[kept] / lengths[kept]).mean()) if bool(kept.any()) else 0.0


def steady(counts: Counting, made: Copy, batch: Any, task: Task) -> Counting:
    """What of it is also so where all answers are the other way round.

    A class that does not count is left out whatever the answers are. Losses of the hardest examples, of margins, and
    of focus leave out what happens to be answered well, which early in training is often one class.
    """
    turned: list[Tensor] = []

    def turn(model: Any, args: Any, output: Any) -> Any:
        if not isinstance(output, Tensor) or turned:
            return output
        turned.append((-output.detach()).requires_grad_())
        return turned[0]

    with probing(made.model):
        handle = made.model.register_forward_hook(turn)
        try:
            loss = made.loss(made.model, made.change(batch))
            (pull,) = torch.autograd.grad(loss, turned, allow_unused=True)
        except Exception:  # a loss that cannot bear such answers, or calls no network
            return counts
        finally:
            handle.remove()
    other = counting_of(pull, turned[0].detach(), batch, task)
    if not math.isfinite(other.without) or (counts.weights and not other.weights):
        return counts
    weights = {label: max(weight, other.weights.get(label, 0.0)) for label, weight in counts.weights.items()}
    first = min(counts.first, other.first) if counts.leader == other.leader else math.nan
    return replace(counts, weights=weights, first=first, without=min(counts.without, other.without))


def breaks(made: Copy, batch: Any) -> bool:
    """Whether the loss is no number for logits that are scaled up to 30 or down to -30 (for probabilities of which the
    larger half is 1, as they round to), though it is one for these."""
    factor = 1.0

    def sharpened(model: Any, args: Any, output: Any) -> Any:
        if not isinstance(output, Tensor):
            return output
        if bool(((output >= 0) & (output <= 1)).all()):
            return torch.where(output > output.median(), torch.ones_like(output), output)
        largest = float((output.detach() * factor).max())
        return output * (factor * _CONFIDENT / largest) if largest > 0 else output

    with probing(made.model), torch.no_grad():
        try:
            if not math.isfinite(float(made.loss(made.model, made.change(batch)))):
                return False
            handle = made.model.register_forward_hook(sharpened)
            try:
                for factor in (1.0, -1.0):  # noqa: B007  the hook reads it
                    if not math.isfinite(float(made.loss(made.model, made.change(batch)))):
                        return True
            finally:
                handle.remove()
        except Exception:  # a loss that works in training only
            return False
    return False
