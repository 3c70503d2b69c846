r"""What a network is asked to do, read off its outputs, its targets and the value of the user's loss.

The loss may be any callable, so its form is found by comparison: cross-entropy of the outputs, negative log-likelihood
of them, cross-entropy of their softmax, squared error and so on, each as a mean and as a sum.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from orograph.basics.errors import ModelError
from orograph.diagnose.losses import parts_of
from orograph.diagnose.watching import first_tensor
from orograph.objective.criterion import IGNORED, classes_last

Kind = Literal["classes", "binary", "numbers", "other"]
_NEAR = 2e-3


@dataclass(frozen=True, eq=False)
class Task:
    """A kind of task, and how the loss compares with what is usual for it.

    ``form`` is the formula that the loss agrees with ("" for none); ``times`` the loss over that formula's mean;
    ``baseline`` the loss of the best answer that ignores the input, in the user's own units (NaN where unknown), less
    the ``constant`` that the loss adds;
    ``entropy`` that of the labels in nats; ``shares`` of the classes, or () for other tasks.
    """

    kind: Kind
    form: str = ""
    times: float = float("nan")
    classes: int = 0
    baseline: float = float("nan")
    entropy: float = float("nan")
    shares: tuple[float, ...] = ()
    spread: float = float("nan")
    offset: float = float("nan")
    output_shape: tuple[int, ...] = ()
    target_shape: tuple[int, ...] = ()
    matches: tuple[str, ...] = ()  # every formula that would do
    constant: float = 0.0  # what the loss adds to ``times`` the formula

    @property
    def words(self) -> str:
        """In words."""
        what = {"classes": f"{self.classes} classes", "binary": "two classes", "numbers": "numbers", "other": "other"}
        return f"{what[self.kind]}, loss {self.form or 'of its own'}"


def task_of(
    outputs: Any, batch: Any, loss: float, batches: Sequence[Any], allowed: Collection[str] | None = None
) -> Task:
    """The task, from the network's outputs on ``batch`` and the loss there; ``batches`` say how targets are spread.

    ``allowed`` are the formulas that hold on another batch, as a single batch may agree with one by chance.
    """
    targets = parts_of(batch)[1]
    scores = first_tensor(outputs)
    if scores is None:
        return Task("other")
    scores = scores.detach().float()
    if isinstance(targets, Tensor) and soft_labels(targets) and scores.shape == targets.shape:
        return _soft(scores, targets.float(), _Matching(loss, allowed), batches)
    if targets is None or not isinstance(targets, Tensor):
        return Task("other", output_shape=tuple(scores.shape))
    shapes: dict[str, Any] = {"output_shape": tuple(scores.shape), "target_shape": tuple(targets.shape)}
    if not targets.is_floating_point() and targets.dtype != torch.bool:
        try:
            logits, labels = classes_last(scores, targets)
        except ModelError:
            return Task("other", **shapes)
        known = labels_of_batches(batches)
        if known.numel() and not 0 <= int(known.min()) <= int(known.max()) < logits.shape[1]:
            return Task("other", **shapes)  # marks and grades that the user's own loss knows the meaning of
        if logits.shape[1] > 1:
            return _classes(logits, labels, _Matching(loss, allowed), batches, shapes)
    if scores.numel() == targets.numel() and _two_valued(targets):
        return _binary(scores.reshape(-1), targets.reshape(-1).float(), _Matching(loss, allowed), batches, shapes)
    if scores.numel() == targets.numel() and targets.is_floating_point():
        return _numbers(scores, targets.float(), _Matching(loss, allowed), batches, shapes)
    return Task("other", **shapes)


def soft_labels(targets: Tensor) -> bool:
    """Whether targets are (n, classes) probabilities, and not mere marks of 0 and 1."""
    if targets.dim() != 2 or targets.shape[1] < 2 or not targets.is_floating_point():
        return False
    return bool((targets >= 0).all()) and bool(((targets.sum(1) - 1).abs() < 1e-4).all())


def flat_outputs(outputs: Any, batch: Any, kind: Kind) -> Tensor | None:
    """(samples, outputs) of a batch; positions of a sequence count as samples where classes are told apart."""
    scores = first_tensor(outputs)
    if scores is None or scores.dim() == 0:
        return None
    scores = scores.detach().float()
    targets = parts_of(batch)[1]
    if kind == "classes" and isinstance(targets, Tensor) and soft_labels(targets):
        return scores
    if kind == "classes" and isinstance(targets, Tensor):
        logits, labels = classes_last(scores, targets)
        return logits[labels != IGNORED]
    return scores.reshape(scores.shape[0], -1)


def flat_targets(batch: Any, kind: Kind) -> Tensor:
    """The targets of :func:`flat_outputs`' samples: (samples,) labels, or numbers as they are."""
    targets: Tensor = parts_of(batch)[1]
    if kind == "classes":
        targets = targets.argmax(1) if soft_labels(targets) else targets
        flat: Tensor = targets.reshape(-1)
        return flat[flat != IGNORED]
    return targets.float().reshape(len(targets), -1)


def labels_of_batches(batches: Sequence[Any]) -> Tensor:
    """All labels that count, flat; empty where there are none."""
    found = [(t.argmax(1) if soft_labels(t) else t).reshape(-1) for b in batches
             if isinstance(t := parts_of(b)[1], Tensor)]  # fmt: skip
    labels = torch.cat(found) if found else torch.empty(0)
    return labels[labels != IGNORED]


class _Matching:
    """The formulas that agree with a loss, and the first of them that may be meant."""

    def __init__(self, loss: float, allowed: Collection[str] | None) -> None:
        self.loss, self._allowed = loss, allowed
        self.found: dict[str, float] = {}

    def __call__(self, forms: dict[str, Tensor], counts: tuple[int, ...]) -> None:
        """Note which formulas the loss equals, as a mean if any, else as a sum over one of the counts."""
        for times in (1, *sorted({count for count in counts if count > 1})):
            for name, value in forms.items():
                expected = float(value) * times
                near = math.isfinite(expected) and abs(self.loss - expected) <= _NEAR * max(abs(expected), 1e-12)
                if near and name not in self.found:
                    self.found[name] = float(times)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.found)

    @property
    def first(self) -> tuple[str, float]:
        """The formula and its factor; none where no formula holds on both batches."""
        usable = ((name, times) for name, times in self.found.items() if self._allowed is None or name in self._allowed)
        return next(usable, ("", float("nan")))


def _soft(scores: Tensor, targets: Tensor, matching: _Matching, batches: Sequence[Any]) -> Task:
    """Classes of which targets give the probabilities, as mixed examples have them; one of 0 and 1 is one of them."""
    matching({"cross-entropy": F.cross_entropy(scores, targets), "squared error": (scores - targets).square().mean()},
             (len(targets),))  # fmt: skip
    form, times = matching.first
    labels = labels_of_batches(batches).long()
    shares = torch.bincount(labels, minlength=scores.shape[1]).double() / max(len(labels), 1)
    entropy = float(-(shares[shares > 0] * shares[shares > 0].log()).sum())
    spread = float(targets.std(0, correction=0).square().mean())
    baseline = {"cross-entropy": entropy, "squared error": spread}.get(form, float("nan"))
    return Task(
        "classes", form, times, scores.shape[1], baseline * times, entropy, tuple(shares.tolist()),
        matches=matching.names, output_shape=tuple(scores.shape), target_shape=tuple(targets.shape),
    )  # fmt: skip


def _classes(
    logits: Tensor, labels: Tensor, matching: _Matching, batches: Sequence[Any], shapes: dict[str, Any]
) -> Task:
    classes = logits.shape[1]
    every = labels_of_batches(batches).long().clamp(0, classes - 1)
    shares = torch.bincount(every, minlength=classes).double() / max(len(every), 1)
    entropy = float(-(shares[shares > 0] * shares[shares > 0].log()).sum())
    kept = labels != IGNORED
    logits, labels = logits[kept], labels[kept]
    if len(labels) and (int(labels.max()) >= classes or int(labels.min()) < 0):
        return Task("classes", classes=classes, entropy=entropy, shares=tuple(shares.tolist()), **shapes)
    picked = logits.gather(1, labels[:, None]).squeeze(1)
    forms = {
        "cross-entropy": F.cross_entropy(logits, labels),
        "negative log-likelihood": -picked.mean(),
        **squashed_first(logits, labels),
        "log of probabilities": -(picked.clamp_min(1e-30)).log().mean(),
    }
    matching(forms, (len(labels), shapes["target_shape"][0]))
    if matching.loss > 0 and (strength := _smoothing(logits, labels, matching.loss)):
        # Before the others, if not before plain cross-entropy: one strength on several batches is no chance.
        smoothed = {f"cross-entropy, smoothing {strength:.3g}": 1.0}
        plain = {name: times for name, times in matching.found.items() if name == "cross-entropy"}
        matching.found = {**plain, **smoothed, **matching.found}
    form, times = matching.first
    factor = times if math.isfinite(times) else 1.0
    return Task(
        "classes",
        form,
        times,
        classes,
        entropy * factor,
        entropy,
        tuple(shares.tolist()),
        matches=matching.names,
        **shapes,
    )


def squashed_first(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Losses of logits, given something else of the outputs; of outputs near 0 other losses agree with them by chance.
    ``outputs`` (n, classes) with labels, or as many numbers as targets of 0 and 1."""
    if outputs.shape == targets.shape:
        return {"binary cross-entropy of sigmoid": F.binary_cross_entropy_with_logits(outputs.sigmoid(), targets)}
    return {
        "cross-entropy of softmax": F.cross_entropy(outputs.softmax(1), targets),
        "cross-entropy of sigmoid": F.cross_entropy(outputs.sigmoid(), targets),
        "cross-entropy of ReLU": F.cross_entropy(outputs.relu(), targets),
    }


def _smoothing(logits: Tensor, labels: Tensor, loss: float) -> float:
    """The strength of label smoothing that gives this loss, which is linear in it; 0 for none."""
    hard = float(F.cross_entropy(logits, labels))
    soft = float(F.cross_entropy(logits, labels, label_smoothing=1.0))
    if abs(soft - hard) < 1e-9:
        return 0.0
    strength = (loss - hard) / (soft - hard)
    return strength if 0 < strength <= 1 + _NEAR else 0.0


def _binary(
    scores: Tensor, targets: Tensor, matching: _Matching, batches: Sequence[Any], shapes: dict[str, Any]
) -> Task:
    share = float(labels_of_batches(batches).float().mean())
    entropy = -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)
    inside = scores.clamp(1e-7, 1 - 1e-7)
    forms = {
        "binary cross-entropy of logits": F.binary_cross_entropy_with_logits(scores, targets),
        "binary cross-entropy of probabilities": F.binary_cross_entropy(inside, targets),
        "squared error": (scores - targets).square().mean(),
        **squashed_first(scores, targets),
    }
    matching(forms, (len(targets), shapes["target_shape"][0]))
    form, times = matching.first
    if form == "squared error":
        return Task("numbers", form, times, 0, share * (1 - share) * times, spread=math.sqrt(share * (1 - share)),
                    offset=share, matches=matching.names, **shapes)  # fmt: skip
    factor = times if math.isfinite(times) else 1.0
    return Task(
        "binary", form, times, 2, entropy * factor, entropy, (1 - share, share), matches=matching.names, **shapes
    )


def _numbers(
    scores: Tensor, targets: Tensor, matching: _Matching, batches: Sequence[Any], shapes: dict[str, Any]
) -> Task:
    same = scores.reshape(targets.shape)
    forms = {
        "squared error": (same - targets).square().mean(),
        "absolute error": (same - targets).abs().mean(),
        "Huber loss": F.smooth_l1_loss(same, targets),
    }
    if scores.shape != targets.shape:
        try:
            forms["squared error of every output with every target"] = (scores - targets).square().mean()
            forms["absolute error of every output with every target"] = (scores - targets).abs().mean()
        except RuntimeError:
            pass
    counts = (targets.numel(), targets.shape[0], targets.numel() // max(targets.shape[0], 1))
    matching(forms, counts)
    form, times = matching.first
    rows = [t for b in batches if isinstance(t := parts_of(b)[1], Tensor)]
    every = torch.cat([row.reshape(len(row), -1).float() for row in rows if row.shape[1:] == targets.shape[1:]])
    away = every - every.mean(0)
    factor = times if math.isfinite(times) else 1.0
    middle = every.median(0).values
    baseline = {
        "absolute error": (every - middle).abs().mean(),
        "Huber loss": F.smooth_l1_loss(middle.expand_as(every), every),
    }.get(form, away.square().mean())
    return Task(
        "numbers",
        form,
        times,
        baseline=float(baseline) * factor if form else float("nan"),
        spread=float(away.square().mean().sqrt()),
        offset=float(every.mean()),
        matches=matching.names,
        **shapes,
    )


def _two_valued(targets: Tensor) -> bool:
    return targets.dtype == torch.bool or bool(((targets == 0) | (targets == 1)).all())
