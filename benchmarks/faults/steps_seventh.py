"""Steps of training loops of the seventh part, sound ones and broken ones, and losses that wrap another loss."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Batch, Loss, loss_of, plain_step

Weights = list[Tensor]


def back(value: Tensor) -> None:
    """Run backward."""
    value.backward()  # type: ignore[no-untyped-call]


def copied(model: nn.Module) -> Weights:
    """Copies of all parameters."""
    return [parameter.detach().clone() for parameter in model.parameters()]


@dataclass
class Rising:
    """A linear warm-up of the rate over ``warm`` steps, whatever the training's length."""

    loss: Loss
    warm: int
    count: int = 0

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        self.count += 1
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * min(1.0, self.count / self.warm)
        return plain_step(self.loss, model, batch, optimizer)


@dataclass
class Restarting:
    """A cosine from the full rate to nothing, over and over again."""

    loss: Loss
    period: int
    count: int = 0

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        share = self.count % self.period / self.period
        self.count += 1
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * 0.5 * (1 + math.cos(math.pi * share))
        return plain_step(self.loss, model, batch, optimizer)


@dataclass
class SlowCopy:
    """An average of the weights; every ``every`` steps it takes ``share`` of the new ones and replaces them."""

    loss: Loss
    share: float
    every: int = 1
    count: int = 0
    slow: Weights = field(default_factory=list)

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        self.slow = self.slow or copied(model)
        value = plain_step(self.loss, model, batch, optimizer)
        self.count += 1
        if self.count % self.every == 0:
            with torch.no_grad():
                for kept, parameter in zip(self.slow, model.parameters(), strict=True):
                    kept.lerp_(parameter, self.share)
                    parameter.copy_(kept)
        return value


@dataclass
class Reloading:
    """Every ``every`` steps the weights are loaded from the file that was saved before the training."""

    loss: Loss
    every: int
    count: int = 0
    saved: dict[str, Any] = field(default_factory=dict)

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        self.saved = self.saved or copy.deepcopy(model.state_dict())
        if self.count % self.every == 0:
            model.load_state_dict(self.saved)
        self.count += 1
        return plain_step(self.loss, model, batch, optimizer)


@dataclass
class ClippedValues:
    """The usual step with each number of the gradient clipped."""

    loss: Loss
    limit: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        value = loss_of(self.loss, model, batch)
        back(value)
        nn.utils.clip_grad_value_(model.parameters(), self.limit)
        optimizer.step()
        return value


@dataclass
class Sharpness:
    """Two passes in each step: the gradient counts at the worst point within ``radius`` of the weights."""

    loss: Loss
    radius: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        value = loss_of(self.loss, model, batch)
        back(value)
        before = copied(model)
        with torch.no_grad():
            length = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.add_(parameter.grad, alpha=self.radius / (float(length) + 1e-12))
        optimizer.zero_grad()
        back(loss_of(self.loss, model, batch))
        with torch.no_grad():
            for parameter, old in zip(model.parameters(), before, strict=True):
                parameter.copy_(old)
        optimizer.step()
        return value


@dataclass
class Looking:
    """Each step first looks at the loss in evaluation mode, for a plot, and then trains."""

    loss: Loss

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        model.eval()
        with torch.no_grad():
            loss_of(self.loss, model, batch)
        model.train()
        return plain_step(self.loss, model, batch, optimizer)


@dataclass
class TwoOptimizers:
    """The given optimiser and a ``second`` one for the other parameters step together."""

    loss: Loss
    second: torch.optim.Optimizer

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        model.zero_grad()
        value = loss_of(self.loss, model, batch)
        back(value)
        optimizer.step()
        self.second.step()
        return value


@dataclass
class Changed:
    """A loss made of another one: ``rewrapped`` as a new tensor, with a ``penalty`` on all weights, scaled, moved."""

    loss: Loss
    rewrapped: bool = False
    penalty: float = 0.0
    factor: float = 1.0
    offset: float = 0.0
    logarithm: bool = False

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        value = loss_of(self.loss, model, batch)
        if self.rewrapped:
            return torch.tensor(float(value), requires_grad=True)
        if self.logarithm:
            value = (value + 1e-3).log()
        if self.penalty:
            value = value + self.penalty * torch.stack([p.abs().sum() for p in model.parameters()]).sum()
        return self.factor * value + self.offset


@dataclass
class Mixup:
    """Cross-entropy of pairs of examples that are mixed by a random share, against both labels."""

    strength: float

    def __call__(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = batch
        share = float(torch.distributions.Beta(self.strength, self.strength).sample())
        order = torch.randperm(len(inputs))
        logits = model(share * inputs + (1 - share) * inputs[order])
        return share * F.cross_entropy(logits, targets) + (1 - share) * F.cross_entropy(logits, targets[order])
