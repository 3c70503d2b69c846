"""Losses of the third half that are neither a string nor a module of torch."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from .case import Batch, Case, Loss, loss_of


def pixel_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of all pixels; outputs are (examples, height, width, classes)."""
    return F.cross_entropy(outputs.movedim(-1, 1), targets)


def summed_pixel_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """The same, summed over all pixels."""
    return F.cross_entropy(outputs.movedim(-1, 1), targets, reduction="sum")


def review_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of a batch of sentences."""
    return F.cross_entropy(model(batch["tokens"]), batch["label"])


def summed_review_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The same, summed over the sentences."""
    return F.cross_entropy(model(batch["tokens"]), batch["label"], reduction="sum")


#: The summed form of a loss of a user's own.
SUMMED: dict[Loss, Loss] = {pixel_loss: summed_pixel_loss, review_loss: summed_review_loss}


def likelihood_of(case: Case, change: Callable[[Tensor], Tensor]) -> Loss:
    """The negative likelihood of what ``change`` makes of a family's outputs."""
    if "dictionary" in case.traits:

        def of_dictionary(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
            return F.nll_loss(change(model(batch["tokens"])), batch["label"])

        return of_dictionary

    def of_outputs(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.nll_loss(change(outputs).movedim(-1, 1), targets)

    return of_outputs


def changed(case: Case, change: Callable[[Tensor, nn.Module], Tensor]) -> Loss:
    """The case's loss after ``change``, a function of the loss and of the model."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return change(loss_of(case.loss, model, batch), model)

    return loss
