"""Steps of training loops: sound ones that traps use, and broken ones.

A step is a callable object ``step(model, batch, optimizer) -> loss``. What it counts it keeps in itself, and a deep
copy counts on its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .case import Batch, Loss, loss_of, plain_step


@dataclass
class ZeroSometimes:
    """zero_grad only every ``every``-th step, or never if that is 0."""

    loss: Loss
    every: int = 0
    count: int = 0

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        if self.every and self.count % self.every == 0:
            optimizer.zero_grad()
        self.count += 1
        value = loss_of(self.loss, model, batch)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return value


@dataclass
class NoStep:
    """backward, and no optimizer.step; with ``erase`` the step comes after the gradients are gone."""

    loss: Loss
    erase: bool = False

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = loss_of(self.loss, model, batch)
        value.backward()  # type: ignore[no-untyped-call]
        if self.erase:
            optimizer.zero_grad(set_to_none=False)
            optimizer.step()
        else:
            optimizer.zero_grad()
        return value


@dataclass
class Clipped:
    """The usual step with the norm of the gradient clipped."""

    loss: Loss
    norm: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        value = loss_of(self.loss, model, batch)
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), self.norm)
        optimizer.step()
        return value


@dataclass
class Decaying:
    """A schedule inside the loop that multiplies the learning rate by ``factor`` after every batch."""

    loss: Loss
    factor: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = plain_step(self.loss, model, batch, optimizer)
        for group in optimizer.param_groups:
            group["lr"] *= self.factor
        return value


@dataclass
class Scheduled:
    """Linear warm-up over ``warm`` steps, then a cosine to zero at step ``total``."""

    loss: Loss
    warm: int
    total: int
    count: int = 0

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        self.count += 1
        share = min(1.0, max(0, self.count - self.warm) / max(1, self.total - self.warm))
        factor = min(1.0, self.count / max(1, self.warm)) * 0.5 * (1 + float(torch.tensor(3.14159 * share).cos()))
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * factor
        return plain_step(self.loss, model, batch, optimizer)


@dataclass
class Accumulated:
    """Gradients of ``every`` batches are averaged before a step."""

    loss: Loss
    every: int
    count: int = 0

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = loss_of(self.loss, model, batch)
        (value / self.every).backward()  # type: ignore[no-untyped-call]
        self.count += 1
        if self.count % self.every == 0:
            optimizer.step()
            optimizer.zero_grad()
        return value


@dataclass
class Autocast:
    """Forward pass and loss in bfloat16 where autocast allows it."""

    loss: Loss

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            value = loss_of(self.loss, model, batch)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return value


@dataclass
class Multiplied:
    """The loss times ``factor`` before backward: -1 drives it up."""

    loss: Loss
    factor: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        value = self.factor * loss_of(self.loss, model, batch)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return value


@dataclass
class InEval:
    """The usual step on a model that is in evaluation mode, because nothing ever switches it back."""

    loss: Loss

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        model.eval()
        return plain_step(self.loss, model, batch, optimizer)
