"""Steps of training loops of the sixth half, sound ones and broken ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .case import Batch, Loss, loss_of, plain_step
from .steps_third import backward


def with_inputs(batch: Batch, inputs: Tensor) -> Batch:
    """The batch with other inputs, in the same form."""
    if isinstance(batch, Mapping):
        first = next(iter(batch))
        return {**batch, first: inputs}
    return inputs, batch[1]


@dataclass
class Adversarial:
    """The usual step on inputs that were moved by ``size`` in the direction that raises the loss."""

    loss: Loss
    size: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        inputs = next(iter(batch.values())) if isinstance(batch, Mapping) else batch[0]
        moved = inputs.clone().requires_grad_()
        (uphill,) = torch.autograd.grad(loss_of(self.loss, model, with_inputs(batch, moved)), moved)
        return plain_step(self.loss, model, with_inputs(batch, inputs + self.size * uphill.sign()), optimizer)


@dataclass
class ScheduleMadeAnew:
    """The usual step; a linear warm-up is made in the loop, again for each batch."""

    loss: Loss

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=100)
        value = plain_step(self.loss, model, batch, optimizer)
        schedule.step()
        return value


@dataclass
class BestRestored:
    """The usual step; the weights of the best batch so far are loaded again when a batch is no better."""

    loss: Loss
    best: float = math.inf
    kept: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        value = plain_step(self.loss, model, batch, optimizer)
        if float(value) < self.best:
            self.best, self.kept = float(value), before
        elif self.kept:
            model.load_state_dict(self.kept)
        return value


@dataclass
class InTurns:
    """The head and the rest of the network are updated in turns."""

    loss: Loss
    count: int = 0

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = backward(self.loss, model, batch, optimizer)
        self.count += 1
        for name, parameter in model.named_parameters():
            if ("head" in name) is (self.count % 2 == 0):
                parameter.grad = None
        optimizer.step()
        return value


@dataclass
class Milestones:
    """Torch's schedule of milestones: a tenth of the rate from each of them on."""

    loss: Loss
    milestones: tuple[int, ...]
    schedule: torch.optim.lr_scheduler.MultiStepLR | None = None

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        if self.schedule is None:
            self.schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(self.milestones))
        value = plain_step(self.loss, model, batch, optimizer)
        self.schedule.step()
        return value
