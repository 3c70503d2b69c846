r"""Losses and metrics of one batch: the one place that knows what a network's output means.

Built-in losses, in nats per example, with logits z and class y:

- ``cross_entropy``: :math:`-\log p_y`
- ``abyss``: :math:`-\log(1 - p_y) = \mathrm{lse}(z) - \mathrm{lse}(z_{k \ne y})`, the stable form of the loss with
  which ElasticDL issue 179 trains towards the lowest accuracy
- ``mse``: mean squared error over an example's entries (not in nats)

A loss of one's own is a module or function of (outputs, targets), as torch's are, or a function of (model, batch)
(:mod:`orograph.objective.calling` tells which). It returns the batch's mean (a scalar), which counts by the batch's
examples, or one value per example: only that gives losses of single examples and the standard errors that come of them,
so ``nn.CrossEntropyLoss(reduction="none")`` says more than ``nn.CrossEntropyLoss()``. Metrics are alike.

For the built-in losses outputs may be tensors, tuples (the first tensor counts) or mappings (``logits``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from orograph.basics.errors import ModelError, UsageError, nearest
from orograph.objective.calling import LABELS as LABELS
from orograph.objective.calling import Called, called, name_of

Batch = Any
LossFunction = Callable[..., Any]
"""A module or function of (outputs, targets), or a function of (model, batch)."""
LOSSES = ("cross_entropy", "abyss", "mse")
METRICS = ("accuracy", "top5")
IGNORED = -100  # torch's own mark for positions without a label


@dataclass(frozen=True)
class Terms:
    """What one batch contributes: ``losses`` and each metric are (n,) for n examples, or a scalar mean over them."""

    losses: Tensor
    metrics: dict[str, Tensor]
    examples: int


def check_name(loss: str) -> None:
    """Raise UsageError for what is not the name of a loss."""
    if loss not in LOSSES:
        raise UsageError(
            f"unknown loss {loss!r}{nearest(loss, LOSSES)}; use {', '.join(LOSSES)}, file.py:function or, in Python, a "
            "callable"
        )


class Criterion:
    """A loss and metrics, applied to a network and a batch: ``criterion(model, batch) -> Terms``.

    Gradients flow through ``Terms.losses`` unless the caller switches them off, so training and evaluation share it.
    """

    def __init__(
        self,
        loss: str | LossFunction = "cross_entropy",
        metrics: Sequence[str | LossFunction] | None = None,
        *,
        label_smoothing: float = 0.0,
    ) -> None:
        if isinstance(loss, str):
            check_name(loss)
        self.loss = loss
        self._own = None if isinstance(loss, str) else Called(loss)
        self.label_smoothing = label_smoothing
        self.classifies = loss in ("cross_entropy", "abyss")
        chosen = (("accuracy",) if self.classifies else ()) if metrics is None else tuple(metrics)
        for metric in chosen:
            if isinstance(metric, str) and metric not in METRICS:
                raise UsageError(f"unknown metric {metric!r}{nearest(metric, METRICS)}; use {', '.join(METRICS)}")
            if isinstance(metric, str) and not self.classifies:
                raise UsageError(f"metric {metric!r} needs the loss cross_entropy or abyss; give a callable instead")
        self.metrics = chosen
        self._own_metrics = {name_of(m): Called(m, "metric") for m in chosen if not isinstance(m, str)}

    @property
    def name(self) -> str:
        """The loss's name, for provenance."""
        return self.loss if isinstance(self.loss, str) else name_of(self.loss)

    @property
    def own_functions(self) -> tuple[LossFunction, ...]:
        """The user's own loss and metrics."""
        return tuple(part for part in (self.loss, *self.metrics) if not isinstance(part, str))

    @property
    def unit(self) -> str:
        """The loss's unit: nats where it is minus a log-probability, else none that is known."""
        return "nats" if self.classifies else ""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics in order."""
        return tuple(m if isinstance(m, str) else name_of(m) for m in self.metrics)

    def run(self, model: Callable[..., Any], batch: Batch) -> None:
        """Pass a batch through the network as the loss would, whatever comes out."""
        if self._own is None:
            forward(model, batch)
        else:
            self._own(model, batch)

    def mean(self, model: Callable[..., Any], batch: Batch) -> Tensor:
        """The mean loss of a batch, to be differentiated; see :meth:`require_gradient`."""
        return self.require_gradient(self(model, batch).losses.mean())

    def require_gradient(self, value: Tensor) -> Tensor:
        """``value``, the mean loss. Raises UsageError where gradients are wanted and it is cut off from the network."""
        if torch.is_grad_enabled() and not value.requires_grad:
            raise UsageError(
                f"the loss {self.name} has no gradient: it is a plain number, or was cut off from the network "
                "(detach(), item() or no_grad() on the way); return a tensor made of the network's outputs"
            )
        return value

    def __call__(self, model: Callable[..., Any], batch: Batch) -> Terms:
        examples = batch_size(batch)
        values: dict[str, Tensor] = {}
        if self.classifies:
            losses, values = self._classify(*forward(model, batch))
        elif self._own is None:
            losses = squared_error(*forward(model, batch))
        else:
            losses = _checked(self._own(model, batch), examples, self.name)
        for name, metric in self._own_metrics.items():
            values[name] = _checked(metric(model, batch), examples, name)
        return Terms(losses, {name: values[name] for name in self.metric_names}, examples)

    def _classify(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits, labels = classes_last(outputs, targets)
        wide = logits if logits.dtype == torch.float64 else logits.float()
        try:
            if self.loss == "abyss":
                losses = abyss(wide, labels)
            else:
                smoothing = self.label_smoothing
                losses = F.cross_entropy(
                    wide, labels, reduction="none", ignore_index=IGNORED, label_smoothing=smoothing
                )
        except (IndexError, RuntimeError) as error:
            check_labels(labels, logits.shape[1])
            raise error
        names = [metric for metric in self.metrics if isinstance(metric, str)]
        hits = {name: top_k(logits, labels, 1 if name == "accuracy" else 5) for name in names}
        examples = len(targets)
        return _per_example(losses, labels, examples), {
            name: _per_example(values, labels, examples) for name, values in hits.items()
        }


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """(n,) mean squared error over the entries of each example. Raises ModelError where the shapes do not fit."""
    if outputs.numel() != targets.numel() or outputs.shape[:1] != targets.shape[:1]:
        shapes = f"shape {tuple(outputs.shape)} but the targets {tuple(targets.shape)}"
        raise ModelError(f"the network's output has {shapes}; the loss mse needs as many numbers of both")
    wide = outputs if outputs.dtype == torch.float64 else outputs.float()
    return (wide.reshape(targets.shape) - targets).square().reshape(len(targets), -1).mean(1)


def forward(model: Callable[..., Any], batch: Batch) -> tuple[Tensor, Tensor]:
    """The network's logits (or predictions) and the targets of a batch ``(inputs, targets)`` or a dictionary.

    Raises ModelError where the batch has no targets or the output holds no tensor.
    """
    if isinstance(batch, Mapping):
        key = next((name for name in LABELS if name in batch), None)
        if key is None:
            raise ModelError(
                f"the batch has keys {', '.join(map(str, batch))} but none of {', '.join(LABELS)}; pass loss="
            )
        outputs = called(model, {name: value for name, value in batch.items() if name != key})
        return logits_of(outputs), batch[key]
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and isinstance(batch[1], Tensor):
        inputs, targets = batch
        outputs = called(model, inputs) if isinstance(inputs, Mapping) else model(inputs)
        return logits_of(outputs), targets
    raise ModelError("a batch must be (inputs, targets) or a dictionary; for any other structure pass loss=callable")


def logits_of(output: Any) -> Tensor:
    """The logits in a network's output: itself, ``output["logits"]``, ``output.logits`` or its first tensor."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        for key in ("logits", "out", "prediction"):
            if isinstance(output.get(key), Tensor):
                return output[key]  # type: ignore[no-any-return]
        output = list(output.values())
    elif isinstance(getattr(output, "logits", None), Tensor):
        return output.logits  # type: ignore[no-any-return]
    if isinstance(output, (tuple, list)):
        found = next((item for item in output if isinstance(item, Tensor)), None)
        if found is not None:
            return found
    raise ModelError(f"the network returned a {type(output).__name__} without logits; pass loss=callable(model, batch)")


def classes_last(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits as (positions, classes) and labels as (positions,): also for sequences and for pictures of labels.

    Accepts (n, K) with (n,); (n, ..., K) with (n, ...), as language models have it; and (n, K, ...) with (n, ...), as
    segmentation has it. Raises ModelError where nothing fits.
    """
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise ModelError(
            f"class labels must be integers, not {targets.dtype}; for other targets pass loss='mse' or a callable"
        )
    if outputs.dim() < 2 or not targets.dim() or outputs.shape[0] != targets.shape[0]:
        raise ModelError(_misfit(outputs, targets))
    if targets.dim() == outputs.dim() and targets.shape[-1] == 1 and outputs.dim() == 2:
        targets = targets.squeeze(-1)
    if outputs.shape[:-1] == targets.shape:
        logits = outputs.reshape(-1, outputs.shape[-1])
    elif outputs.shape[2:] == targets.shape[1:]:
        logits = outputs.movedim(1, -1).reshape(-1, outputs.shape[1])
    else:
        raise ModelError(_misfit(outputs, targets))
    labels = targets.reshape(-1).long()
    if labels.is_cuda:  # elsewhere the loss itself refuses a label out of range; there it would end the process
        check_labels(labels, logits.shape[1])
    return logits, labels


def check_labels(labels: Tensor, classes: int) -> None:
    """Raise ModelError, naming the label, unless all lie in 0 … classes - 1 (or are the mark for "none")."""
    known = labels[labels != IGNORED]
    if not known.numel() or (int(known.max()) < classes and int(known.min()) >= 0):
        return
    worst = int(known.max()) if int(known.max()) >= classes else int(known.min())
    raise ModelError(
        f"the targets hold class {worst} but the network has {classes} outputs (classes 0 to {classes - 1}); "
        "give it more outputs or mend the labels"
    )


def abyss(logits: Tensor, labels: Tensor) -> Tensor:
    """(n,) -log(1 - p_y) = lse(z) - lse(z without y), finite wherever the logits are."""
    safe = labels.clamp_min(0)
    others = logits.scatter(1, safe.unsqueeze(1), float("-inf"))
    values = torch.logsumexp(logits, 1) - torch.logsumexp(others, 1)
    return torch.where(labels == IGNORED, torch.zeros_like(values), values)


def top_k(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """(positions,) 1 where the label is among the k highest logits, else 0."""
    if k == 1:
        return (logits.argmax(1) == labels).float()
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return (best == labels.unsqueeze(1)).any(1).float()


def batch_size(batch: Batch) -> int:
    """How many examples a batch holds: the first axis of its first tensor."""
    if isinstance(batch, Tensor):
        return batch.shape[0] if batch.dim() else 1
    items = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (tuple, list)) else ()
    for item in items:
        size = batch_size(item)
        if size:
            return size
    return 0


def _per_example(values: Tensor, labels: Tensor, examples: int) -> Tensor:
    """(examples,) mean over the labelled positions of each example."""
    if values.numel() == examples:
        return values
    counted = (labels != IGNORED).view(examples, -1)
    return (values.view(examples, -1) * counted).sum(1) / counted.sum(1).clamp_min(1)


def _checked(value: Any, examples: int, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        if isinstance(value, (int, float)):
            return torch.tensor(float(value))
        raise ModelError(
            f"{name} returned a {type(value).__name__}; it must return a tensor, the mean or one per example"
        )
    if value.numel() == 1 and examples != 1:
        return value.reshape(())
    if value.shape != (examples,):
        if value.numel() == 1:
            return value.reshape(1)
        raise ModelError(
            f"{name} returned shape {tuple(value.shape)} for {examples} examples; it must return the mean (a scalar) "
            f"or one value per example, shape ({examples},)"
        )
    return value


def _misfit(outputs: Tensor, targets: Tensor) -> str:
    return (
        f"the network's output has shape {tuple(outputs.shape)}, which does not fit targets of shape "
        f"{tuple(targets.shape)}; expected (n, classes) for n labels, or pass loss=callable(model, batch)"
    )
