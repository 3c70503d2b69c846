"""Steps of training loops of the fourth half, sound ones and broken ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .case import Batch, Loss, loss_of, plain_step


@dataclass
class ClippedThenCleared:
    """The norm of the gradient is clipped, and zero_grad closes the step."""

    loss: Loss
    norm: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = loss_of(self.loss, model, batch)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), self.norm)
        optimizer.step()
        optimizer.zero_grad()
        return value


@dataclass
class OnPlateau:
    """Torch's plateau schedule, asked after each batch; ``mode`` "max" takes every fall of the loss for a plateau."""

    loss: Loss
    mode: str
    patience: int
    schedule: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        if self.schedule is None:
            self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, mode="max" if self.mode == "max" else "min", patience=self.patience
            )
        value = plain_step(self.loss, model, batch, optimizer)
        self.schedule.step(float(value))
        return value


@dataclass
class Seldom:
    """Gradients of ``every`` batches are averaged, then comes one step."""

    loss: Loss
    every: int
    count: int = 0

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = loss_of(self.loss, model, batch) / self.every
        value.backward()  # type: ignore[no-untyped-call]
        self.count += 1
        if self.count % self.every == 0:
            optimizer.step()
            optimizer.zero_grad()
        return value * self.every


@dataclass
class Restarting:
    """Torch's cosine schedule with warm restarts every ``period`` steps."""

    loss: Loss
    period: int
    schedule: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts | None = None

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        if self.schedule is None:
            self.schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=self.period)
        value = plain_step(self.loss, model, batch, optimizer)
        self.schedule.step()
        return value


@dataclass
class LookAhead:
    """Every ``every`` steps the weights go half the way back to where they were then."""

    loss: Loss
    every: int = 5
    count: int = 0
    slow: list[Tensor] = field(default_factory=list)

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        if not self.slow:
            self.slow = [parameter.detach().clone() for parameter in model.parameters()]
        value = plain_step(self.loss, model, batch, optimizer)
        self.count += 1
        if self.count % self.every == 0:
            with torch.no_grad():
                for slow, parameter in zip(self.slow, model.parameters(), strict=True):
                    slow.lerp_(parameter, 0.5)
                    parameter.copy_(slow)
        return value


@dataclass
class MadeAnew:
    """The usual step of an optimiser that was made in the loop: it remembers nothing of the steps before."""

    loss: Loss

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.state.clear()
        return plain_step(self.loss, model, batch, optimizer)
