"""By what a copy is judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from orograph.diagnose.chart import Edit
from orograph.diagnose.losses import Loss
from orograph.diagnose.patient import Copy
from orograph.objective.criterion import classes_last, logits_of


def other_loss(name: str, loss: Callable[[Any, Any], Tensor]) -> Edit:
    """Another loss of (outputs, targets), with the ordinary step."""

    def change(made: Copy) -> None:
        made.loss = Loss(loss)
        made.loss.of_outputs = True

    return Edit(name, change, ordinary=True)


def scaled_loss(factor: float) -> Edit:
    """The user's loss times a number, with the ordinary step."""

    def change(made: Copy) -> None:
        user = made.loss
        made.loss = Loss(lambda model, batch: factor * user(model, batch))
        made.loss.of_outputs = False

    return Edit(f"loss x {factor:.3g}", change, ordinary=True)


def log_of_probabilities(outputs: Any, targets: Tensor) -> Tensor:
    """Cross-entropy of outputs that are probabilities already."""
    scores, labels = classes_last(logits_of(outputs), targets)
    return F.nll_loss(scores.clamp_min(1e-12).log(), labels)


def cross_entropy(outputs: Any, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits."""
    return F.cross_entropy(*classes_last(logits_of(outputs), targets))


def binary_cross_entropy(outputs: Any, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy of logits."""
    return F.binary_cross_entropy_with_logits(logits_of(outputs).reshape(targets.shape).float(), targets.float())


def squared_error_of_pairs(outputs: Any, targets: Tensor) -> Tensor:
    """Mean squared error with outputs brought to the targets' shape."""
    return (logits_of(outputs).reshape(targets.shape) - targets).square().mean()
