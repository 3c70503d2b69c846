"""Steps and losses of the held-out faults. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Batch, Loss, loss_of, plain_step


@dataclass
class Reset:
    """The usual step; every ``every`` steps the weights of the first one are loaded again."""

    loss: Loss
    every: int
    count: int = 0
    first: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        if not self.first:
            self.first = {name: value.clone() for name, value in model.state_dict().items()}
        value = plain_step(self.loss, model, batch, optimizer)
        self.count += 1
        if self.count % self.every == 0:
            model.load_state_dict(self.first)
        return value


@dataclass
class Detached:
    """backward starts from a copy of the loss that has forgotten where it came from."""

    loss: Loss

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        value = loss_of(self.loss, model, batch).detach().requires_grad_()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return value


def by_hand(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy as in the textbook, without a guard."""
    chance = torch.sigmoid(outputs)
    return -(targets * chance.log() + (1 - targets) * (1 - chance).log()).mean()


def one_against_all(outputs: Tensor, targets: Tensor) -> Tensor:
    """The textbook's binary cross-entropy of each class."""
    return by_hand(outputs, F.one_hot(targets, outputs.shape[1]).to(outputs.dtype))


def balanced(weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy with class weights, averaged over the batch."""

    def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, weight=weights, reduction="none").mean()

    return weighted
