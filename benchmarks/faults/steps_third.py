"""Steps of training loops of the third half, sound ones and broken ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .case import Batch, Loss, loss_of, plain_step


def backward(loss: Loss, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
    """zero_grad, loss and backward: the first half of a step."""
    optimizer.zero_grad()
    value = loss_of(loss, model, batch)
    value.backward()  # type: ignore[no-untyped-call]
    return value


@dataclass
class WarmedAndClipped:
    """The usual step with the rate rising over ``warm`` steps and the gradient clipped to ``norm``."""

    loss: Loss
    warm: int
    norm: float = float("inf")
    count: int = 0

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        self.count += 1
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * min(1.0, self.count / self.warm)
        value = backward(self.loss, model, batch, optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), self.norm)
        optimizer.step()
        return value


@dataclass
class OneCycle:
    """Torch's one-cycle schedule over ``total`` steps, stepped after each batch."""

    loss: Loss
    peak: float
    total: int
    schedule: torch.optim.lr_scheduler.OneCycleLR | None = None

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        if self.schedule is None:
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=self.peak, total_steps=self.total + 1, cycle_momentum=False
            )
        value = plain_step(self.loss, model, batch, optimizer)
        if self.schedule.last_epoch < self.total:
            self.schedule.step()
        return value


@dataclass
class AverageKept:
    """The usual step; an average of the weights is kept beside the model and touches nothing."""

    loss: Loss
    decay: float = 0.98
    average: nn.Module | None = None

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        if self.average is None:
            self.average = copy.deepcopy(model).requires_grad_(False)
        value = plain_step(self.loss, model, batch, optimizer)
        with torch.no_grad():
            for mean, parameter in zip(self.average.parameters(), model.parameters(), strict=True):
                mean.lerp_(parameter, 1 - self.decay)
        return value


@dataclass
class SharpnessAware:
    """Gradients are taken a little uphill of the weights, and stepped with from where the weights are."""

    loss: Loss
    radius: float = 0.02

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = backward(self.loss, model, batch, optimizer)
        held = [parameter for parameter in model.parameters() if parameter.grad is not None]
        before = [parameter.detach().clone() for parameter in held]
        norm = torch.stack([parameter.grad.norm() for parameter in held if parameter.grad is not None]).norm()
        with torch.no_grad():
            for parameter in held:
                parameter.add_(parameter.grad, alpha=self.radius / float(norm + 1e-12))
        backward(self.loss, model, batch, optimizer)
        with torch.no_grad():
            for parameter, old in zip(held, before, strict=True):
                parameter.copy_(old)
        optimizer.step()
        return value


@dataclass
class CopyTrained:
    """Losses and gradients are those of a copy that was made before the loop; the optimiser holds the original."""

    loss: Loss
    twin: nn.Module | None = None

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        if self.twin is None:
            self.twin = copy.deepcopy(model)
        optimizer.zero_grad()
        self.twin.zero_grad()
        value = loss_of(self.loss, self.twin, batch)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return value


@dataclass
class TargetsLate:
    """Inputs meet the targets of the batch before, as when the two are fetched ahead on their own."""

    loss: Loss
    last: Tensor | None = None

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        inputs, targets = batch.values() if isinstance(batch, Mapping) else batch
        used = targets if self.last is None else self.last
        count = min(len(inputs), len(used))
        self.last = targets
        both = (inputs[:count], used[:count])
        late = dict(zip(batch, both, strict=True)) if isinstance(batch, Mapping) else both
        return plain_step(self.loss, model, late, optimizer)


@dataclass
class NoisyGradients:
    """Normal noise on every gradient, as for privacy."""

    loss: Loss
    deviation: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = backward(self.loss, model, batch, optimizer)
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.add_(torch.randn_like(parameter), alpha=self.deviation)
        optimizer.step()
        return value


@dataclass
class AveragedBack:
    """A running average of the weights is written back into the model after every step."""

    loss: Loss
    decay: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        before = [parameter.detach().clone() for parameter in model.parameters()]
        value = plain_step(self.loss, model, batch, optimizer)
        with torch.no_grad():
            for parameter, old in zip(model.parameters(), before, strict=True):
                parameter.lerp_(old, self.decay)
        return value


@dataclass
class Clamped:
    """Every parameter is clamped to [-limit, limit] after each step, as critics were."""

    loss: Loss
    limit: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = plain_step(self.loss, model, batch, optimizer)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.clamp_(-self.limit, self.limit)
        return value
